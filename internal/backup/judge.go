package backup

import (
	"fmt"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/watcher"
)

// ready is a snapshot of which at least one table is complete and not stored yet, or all are stored.
type ready struct {
	tag    string
	begun  time.Time // zero when nobody knows
	made   time.Time
	tables []readyTable
	all    []watcher.Snapshot // the tables of the tag, stored ones too
	// final: every table that the node has under the tag was seen, and is stored or ready.
	final bool
}

type readyTable struct {
	watcher.Snapshot
	schemaCQL string
}

// began is the best that is known of when the snapshot began, for ordering only.
func (r ready) began() time.Time {
	if r.begun.IsZero() {
		return r.made
	}
	return r.begun
}

func (r ready) ids() []string {
	ids := make([]string, len(r.all))
	for i, w := range r.all {
		ids[i] = baseID(w)
	}
	return ids
}

func (n *Node) judgeSets(r *Report, sets []sstable.SSTable) []sstable.SSTable {
	var complete []sstable.SSTable
	for _, set := range sets {
		v := n.Judge.Backup(set, n.Now())
		if v.State != watcher.Ready && len(v.Missing) > 0 {
			if whole, ok := watcher.Complete(set); ok {
				complete = append(complete, whole)
				continue
			}
		}
		if r.hold(v, pathOf(set)) {
			complete = append(complete, set)
		}
	}
	return complete
}

// hold notes what is not ready, or damaged, and tells whether it is ready.
func (r *Report) hold(v watcher.Verdict, path string) bool {
	switch v.State {
	case watcher.Ready:
		if v.Why != "" {
			r.Damaged = append(r.Damaged, Held{path, v.Why})
		}
		return true
	case watcher.Quarantined:
		r.Quarantined = append(r.Quarantined, Held{path, v.Why})
	default:
		r.Waiting = append(r.Waiting, Held{path, v.Why})
	}
	return false
}

func (n *Node) judgeSnapshots(r *Report, snapshots []snapshot) []ready {
	var found []ready
	for _, s := range snapshots {
		rd := ready{tag: s.tag, made: s.made(), all: s.tables, final: !r.Scan.Partial()}
		if note := n.note(s.tag); note.ok() {
			rd.begun = note.Began
		} else if !n.ended(s.tag) {
			rd.final = false // nodetool is still at it
		}
		ephemeral := false
		for _, w := range s.open {
			v := n.Judge.Snapshot(w, n.Now())
			if ephemeral = v.Ephemeral; ephemeral {
				break
			}
			if !r.hold(v, fmt.Sprintf("snapshot %q of %s.%s", w.Tag, w.Table.Keyspace, w.Table.Name)) {
				rd.final = false
				continue
			}
			if rd.begun.IsZero() {
				rd.begun = v.CreatedAt
			}
			if tag, ok := autoTag(w); ok && rd.begun.IsZero() {
				rd.begun = tag.At
			}
			rd.tables = append(rd.tables, readyTable{w, v.SchemaCQL})
		}
		if !ephemeral && (len(rd.tables) > 0 || len(s.open) == 0 && rd.final) {
			found = append(found, rd)
		}
	}
	return found
}
