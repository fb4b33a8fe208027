package backup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// flush is one of all tables that succeeded and is to become a barrier.
type flush struct {
	began, ended time.Time
	// need are the sets that the first scan after it saw and that were not durable, by path; nil before
	// that scan. Those that appear later hold nothing that was acknowledged before it began.
	need map[string]sstable.SSTable
	not  []manifest.Hold // tables of which that scan did not see everything
}

// Flushed tells that a flush of all tables, which began and ended then, was seen to succeed. Once what
// it has written is durable, a pass commits the barrier. Where that takes longer than to the next flush,
// the one is waited for, and of those after it the newest.
func (n *Node) Flushed(began, ended time.Time) {
	f := &flush{began: began.UTC().Round(0), ended: ended}
	if n.flush == nil || n.flush.need == nil {
		n.flush = f
	} else {
		n.later = f
	}
}

// nextFlush goes on to the flush after the one that has become a barrier, or never will.
func (n *Node) nextFlush() { n.flush, n.later = n.later, nil }

func (f *flush) scanned(l watcher.Listing, news []sstable.SSTable) {
	f.need = byPath(news)
	for _, t := range l.Unlisted {
		f.not = append(f.not, manifest.Hold{Table: t, Why: "its directories could not be listed"})
	}
}

func byPath(sets []sstable.SSTable) map[string]sstable.SSTable {
	m := make(map[string]sstable.SSTable, len(sets))
	for _, s := range sets {
		m[pathOf(s)] = s
	}
	return m
}

// pathOf is what a report calls a set.
func pathOf(s sstable.SSTable) string { return filepath.Join(s.DataDir, s.Dir, s.Stem) }

// barrier is what the flush proves once this pass has stored what is ready; nil when nothing, or not
// yet. gaps are those that are recorded with it, seen and observed what Observer says.
func (n *Node) barrier(r *Report, gaps []manifest.Gap, seen []manifest.Node, observed error) *manifest.Barrier {
	state := n.Uploader.History.State()
	switch {
	case n.flush == nil:
		return nil
	case observed != nil:
		r.Problems = append(r.Problems, fmt.Errorf("a flush proves nothing yet: %w", observed))
		return nil
	case seen[len(seen)-1].Backups != manifest.BackupsOn || state.Fresh() || n.blocked(gaps):
		n.nextFlush() // I10
		return nil
	}
	b := &manifest.Barrier{At: n.flush.began, Not: slices.Clone(n.flush.not)}
	for _, name := range seen[len(seen)-1].Unlinked {
		keyspace, table, _ := strings.Cut(name, ".")
		b.Not = append(b.Not, manifest.Hold{Table: sstable.Table{Keyspace: keyspace, Name: table}, Why: "incremental backups of the table are off"})
	}
	for _, h := range r.Waiting {
		if _, ok := n.flush.need[h.Path]; ok {
			return nil
		}
	}
	for _, h := range r.Quarantined {
		if set, ok := n.flush.need[h.Path]; ok {
			b.Not = append(b.Not, manifest.Hold{Table: set.Table, Why: set.Stem + ": " + h.Why})
		}
	}
	return b
}

// blocked tells whether there is a gap in all tables, before which no barrier proves anything.
func (n *Node) blocked(gaps []manifest.Gap) bool {
	return slices.ContainsFunc(gaps, func(g manifest.Gap) bool { return g.Table == nil }) ||
		slices.ContainsFunc(n.Uploader.History.State().Gaps(), func(g manifest.OpenGap) bool { return g.Table == nil })
}

// holes are the gaps that this scan shows: sets that stayed incomplete, and sets that vanished before
// they were durable.
func (n *Node) holes(r Report, news []sstable.SSTable) (gaps []manifest.Gap) {
	state := n.Uploader.History.State()
	if state.Fresh() {
		return nil
	}
	there := byPath(news)
	for _, h := range r.Quarantined {
		set, ok := there[h.Path]
		if _, known := state.Partial(set); ok && !known {
			gaps = append(gaps, manifest.Gap{
				Table: &set.Table, Why: set.Stem + " stays incomplete: " + h.Why, Partial: []manifest.SSTable{manifest.Unstored(set)},
			})
		}
	}
	if r.Scan.Partial() {
		return gaps
	}
	for _, set := range r.Scan.Backups {
		there[pathOf(set)] = set
	}
	for path, set := range n.open {
		_, still := there[path]
		if _, durable := state.Match(set); !still && !durable {
			gaps = append(gaps, manifest.Gap{Table: &set.Table, Why: set.Stem + " vanished from backups/ before it was stored"})
		}
	}
	return gaps
}

// committed notes what the manifests of a pass have told the history, also of one that failed later:
// seen is how much the Observer had seen.
func (n *Node) committed(ms []*manifest.Manifest, seen int) {
	if len(ms) > 0 && n.Observer != nil {
		n.Observer.told(seen)
	}
	if slices.ContainsFunc(ms, func(m *manifest.Manifest) bool { return m.Body.Barrier != nil }) {
		n.nextFlush()
	}
}
