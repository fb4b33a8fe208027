package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// full is what the uploader is told of a snapshot.
func (n *Node) full(s ready, pending []string) uploader.Full {
	note := n.note(s.tag)
	f := uploader.Full{
		Part: manifest.FullPart{
			Tag: s.tag, Began: s.begun, After: n.Uploader.History.State().After(s.tag, s.ids()), All: note.ok() && note.All,
		},
		Pending: slices.DeleteFunc(slices.Clone(pending), func(t string) bool { return t == s.tag }),
		Final:   s.final,
	}
	for _, w := range s.all {
		f.Snapshot = append(f.Snapshot, w.SSTables...)
	}
	for _, t := range s.tables {
		b := uploader.Base{Table: t.Table, ID: baseID(t.Snapshot), SchemaCQL: t.schemaCQL, SSTables: t.SSTables}
		if note.ok() {
			b.Proven = note.Began
		}
		if tag, ok := autoTag(t.Snapshot); ok {
			b.Final = why(tag, Existing{}, t.Table)
		}
		f.Tables = append(f.Tables, b)
	}
	return f
}

// closeFull adds to a full of all tables what its last part says: with it, nothing is needed any more that
// the history holds up to After. So it must have all tables.
func (n *Node) closeFull(ctx context.Context, r *Report, f *uploader.Full) {
	if !f.Part.All || !f.Final {
		return
	}
	if lost := n.lost(r.Scan, *f, n.existing(ctx, r)); len(lost) > 0 {
		f.Part.All = false
		r.Problems = append(r.Problems, fmt.Errorf("snapshot %s was cleared in part before it was stored: nothing of it is left in %s; the next full is to have all tables",
			f.Part.Tag, strings.Join(lost, ", ")))
		return
	}
	state := n.Uploader.History.State()
	for _, set := range r.Scan.Backups {
		st, ok := state.Match(set)
		gap, partial := state.Partial(set)
		if ok && st.From.Seq <= f.Part.After || partial && gap.Seq <= f.Part.After {
			f.Superseded = append(f.Superseded, set)
		}
	}
	f.Finished = finished(state, r.Scan, f.Part.Tag)
}

// lost are the tables that need what the full ends and are not in its last part: somebody has cleared them
// under its tag. There is a table if it has live SSTables and the history knows it, or if the database
// names it; of keyspace system only if that does, for releases leave old tables behind.
func (n *Node) lost(l watcher.Listing, f uploader.Full, e Existing) (names []string) {
	state := n.Uploader.History.State()
	known := state.Tables()
	for _, t := range l.Tables {
		created, dated := manifest.Created(t)
		needed, there := dated && created.Before(f.Part.Began), e.has(t)
		if slices.Contains(known, t) {
			needed = needs(state.Chain(t), f.Part.After)
			there = there || t.Keyspace != "system" && n.alive(t)
		}
		in := slices.ContainsFunc(f.Tables, func(b uploader.Base) bool { return b.Table == t })
		if needed && there && !in {
			names = append(names, t.Keyspace+"."+t.Name)
		}
	}
	return names
}

// alive tells whether there are live SSTables of the table, or may be.
func (n *Node) alive(t sstable.Table) bool {
	bytes, err := watcher.LiveBytes(n.DataDirs, t)
	return bytes > 0 || err != nil
}

// needs tells whether the chain needs an entry up to that one. One that begins with nothing may: there may
// be links that were seen and not stored.
func needs(c manifest.Chain, seq uint64) bool {
	older := func(s manifest.Stored) bool { return s.From.Seq <= seq }
	return c.BaseSeq == 0 && len(c.SSTables) == 0 || c.BaseSeq > 0 && c.BaseSeq <= seq || slices.ContainsFunc(c.SSTables, older)
}
