package backup

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// Existing is what the database says of its tables.
type Existing struct {
	HostID string // 32 hex digits
	// Tables are all tables and views, by id; nil: not known.
	Tables map[string]sstable.Table
	// Truncated are the newest truncations, by table id.
	Truncated map[string]cassandra.Truncation
}

// has tells whether the database names t.
func (e Existing) has(t sstable.Table) bool {
	_, ok := e.Tables[t.ID]
	return ok
}

// cut is a TRUNCATE or DROP that the history does not know.
type cut struct {
	table sstable.Table
	manifest.Cut
	base string // id of the final set; empty: there is none
	// log is where in the commit log of host the flush of a TRUNCATE ended; zero: not known.
	log  sstable.Position
	host string
	// gone: the database has no such table, so whatever there is of it comes before the cut.
	gone bool
	// final are the SSTables of the auto snapshot, by their Data.db; nil: there is none.
	final map[sstable.Fingerprint]bool
}

// findCuts compares what is there with what the history knows: a table is cut where an auto snapshot
// is there that is not stored, where the database remembers a TRUNCATE, and where it is among drops.
// Those of a table are in the order in which they happened.
func findCuts(p plan, holds map[sstable.Table]bool, drops map[sstable.Table]time.Time, s *manifest.State, e Existing) []cut {
	cuts := tagged(p.snapshots, holds, drops, s, e)
	for t := range holds {
		if r, ok := e.Truncated[t.ID]; ok {
			cuts = truncated(cuts, t, r, s, e.HostID)
		}
		if at, ok := drops[t]; ok {
			cuts = dropped(cuts, t, at, s)
		}
	}
	cuts = slices.DeleteFunc(cuts, func(c cut) bool {
		c.place(s)
		last, again := s.LastCut(c.table)
		again = again && last.Why == c.Why && last.At.Equal(c.At)
		return !again && !s.Cuts(c.table, c.Cut)
	})
	slices.SortStableFunc(cuts, func(a, b cut) int {
		return cmp.Or(manifest.CompareTables(a.table, b.table), a.At.Compare(b.At))
	})
	return cuts
}

// holding are the tables of which there is something to cut: stored, or new.
func holding(p plan, s *manifest.State) map[sstable.Table]bool {
	holds := map[sstable.Table]bool{}
	for _, t := range s.Tables() {
		if !isEmpty(s.Chain(t)) {
			holds[t] = true
		}
	}
	for _, set := range p.news {
		holds[set.Table] = true
	}
	return holds
}

// place orders the cut among the bases that are stored by now.
func (c *cut) place(s *manifest.State) {
	switch {
	case c.base != "":
		c.After = s.After(c.Tag, []string{c.base})
	case c.Why == manifest.Truncated:
		c.After = s.CutAfter(c.table, c.At)
	default:
		c.After = s.Seq()
	}
}

// placed are cuts as the uploader wants them, given what is stored by now.
func placed(cuts []cut, s *manifest.State) (all []uploader.Cut) {
	for _, c := range cuts {
		c.place(s)
		all = append(all, uploader.Cut{Table: c.table, Cut: c.Cut, Lives: c.lives(s)})
	}
	return all
}

// tagged finds cuts by the tags of their auto snapshots. That a table is gone, a tag that names a DROP
// confirms; one of before 3.10 may be of a TRUNCATE.
func tagged(
	snapshots []snapshot, holds map[sstable.Table]bool, drops map[sstable.Table]time.Time, s *manifest.State, e Existing,
) (cuts []cut) {
	for _, sn := range snapshots {
		for _, w := range sn.open {
			tag, ok := autoTag(w)
			last, before := s.LastCut(w.Table)
			known := before && last.Tag == "" && last.Why == manifest.Dropped
			_, certain := drops[w.Table]
			answer, gone := e, false
			if e.Tables != nil && !e.has(w.Table) {
				if gone = certain || known || !tag.Truncate; !gone {
					answer = Existing{}
				}
			}
			early := ok && known && tag.Drop && (gone || !holds[w.Table])
			if !ok || s.HasCut(w.Table, w.Tag) || !holds[w.Table] && !early {
				continue
			}
			c := cut{table: w.Table, gone: gone && tag.Drop, base: baseID(w), final: map[sstable.Fingerprint]bool{}, Cut: manifest.Cut{
				Why: why(tag, answer, w.Table), At: tag.At, Tag: w.Tag,
			}}
			for _, set := range w.SSTables {
				if f, ok := set.File(sstable.Data); ok {
					c.final[f.Fingerprint] = true
				}
			}
			if early { // the DROP was noticed before the snapshot was there
				c.Why, c.At = last.Why, last.At
			}
			cuts = append(cuts, c)
		}
	}
	return cuts
}

// autoTag tells whether Cassandra took the snapshot before a TRUNCATE or DROP. Tags without a word for
// it are of versions before 4.0: later, somebody has chosen that one.
func autoTag(w watcher.Snapshot) (sstable.AutoTag, bool) {
	tag, ok := sstable.ParseAutoTag(w.Tag, w.Table)
	if ok && tag.Truncate && tag.Drop {
		ok = !slices.ContainsFunc(w.SSTables, func(set sstable.SSTable) bool { return set.Name().Version >= "na" })
	}
	return tag, ok
}

// why is the reason that a tag gives; where it may be either, the database knows.
func why(tag sstable.AutoTag, e Existing, t sstable.Table) manifest.Why {
	switch {
	case !tag.Drop:
		return manifest.Truncated
	case !tag.Truncate:
		return manifest.Dropped
	case e.Tables == nil:
		return manifest.Ended
	case e.has(t):
		return manifest.Truncated
	}
	return manifest.Dropped
}

// truncated adds what the database remembers to the cut that an auto snapshot tells of, or as a cut of
// its own. The record is written when a TRUNCATE is over: it belongs to the first snapshot that is not
// older.
func truncated(cuts []cut, t sstable.Table, r cassandra.Truncation, s *manifest.State, host string) []cut {
	if last, ok := s.LastCut(t); ok && !r.At.After(last.At) {
		return cuts
	}
	log := sstable.Position{Segment: r.Segment, Offset: r.Offset}
	newest := -1
	for i, c := range cuts {
		if c.table == t && !c.At.Before(r.At) && (newest < 0 || c.At.Before(cuts[newest].At)) {
			newest = i
		}
	}
	if newest >= 0 {
		c := &cuts[newest]
		c.At, c.log, c.host = r.At, log, host
		return cuts
	}
	return append(cuts, cut{table: t, log: log, host: host, Cut: manifest.Cut{Why: manifest.Truncated, At: r.At}})
}

// dropped adds that a table is no more, unless a snapshot has told of it. What is found of a table
// after its DROP belongs to that.
func dropped(cuts []cut, t sstable.Table, at time.Time, s *manifest.State) []cut {
	if slices.ContainsFunc(cuts, func(c cut) bool { return c.table == t && c.Why.Is(manifest.Dropped) }) {
		return cuts
	}
	c := cut{table: t, gone: true, Cut: manifest.Cut{Why: manifest.Dropped, At: at}}
	if last, ok := s.LastCut(t); ok && last.Why.Is(manifest.Dropped) {
		c.Why, c.At = last.Why, last.At
	}
	return append(cuts, c)
}

func isEmpty(c manifest.Chain) bool { return c.Tag == "" && len(c.SSTables) == 0 }

// evidence is what tells whether an SSTable was written before a cut or after it.
type evidence struct {
	data        sstable.Fingerprint
	from, until sstable.Position // of the commit log of host; zero: not known
	host        string
	seq         uint64 // of the entry that names it; 0: none does
	// live: Cassandra has it, for it has more links than backups/ and snapshots hold.
	live bool
}

// after tells whether the SSTable survives the cut. docs/design.md says why so, and what can't be told.
func (c cut) after(x evidence) bool {
	if c.gone {
		return false
	}
	placed := c.log != sstable.Position{} && x.host == c.host && x.until != sstable.Position{}
	if placed && x.from != (sstable.Position{}) && !x.from.Less(c.log) {
		return true
	}
	placed = placed && !c.log.Less(x.until)
	written := time.Unix(0, x.data.Mtime)
	later := written.UnixMilli() > c.At.UnixMilli()
	switch {
	case x.seq > 0 && x.seq <= c.After:
		return false
	case c.final == nil:
		return later
	case c.final[x.data]:
		return later && !placed
	case x.live:
		return true
	case written.Nanosecond() == 0: // of a tree that was copied by a tool that keeps whole seconds
		return written.Add(slack).After(c.At)
	}
	return later
}

// split tells, of sets that no entry names, which come before each of the cuts, and which after all.
func split(cuts []cut, sets []sstable.SSTable, l watcher.Listing) (before [][]sstable.SSTable, after []sstable.SSTable) {
	before = make([][]sstable.SSTable, len(cuts))
	links := countLinks(l)
	for _, set := range sets {
		if i := cutOf(cuts, set, links); i >= 0 {
			before[i] = append(before[i], set)
		} else {
			after = append(after, set)
		}
	}
	return before, after
}

// cutOf is the first cut that the set comes before, -1 when there is none.
func cutOf(cuts []cut, set sstable.SSTable, links map[sstable.Fingerprint]uint64) int {
	return slices.IndexFunc(cuts, func(c cut) bool {
		if c.table != set.Table {
			return false
		}
		f, _ := set.File(sstable.Data)
		x := evidence{data: f.Fingerprint, live: f.Links > links[f.Fingerprint]}
		if c.log != (sstable.Position{}) {
			x.from, x.until, x.host = logOf(set)
		}
		return !c.after(x)
	})
}

// countLinks counts the links to each Data.db that the scan saw.
func countLinks(l watcher.Listing) map[sstable.Fingerprint]uint64 {
	links := map[sstable.Fingerprint]uint64{}
	count := func(sets []sstable.SSTable) {
		for _, set := range sets {
			if f, ok := set.File(sstable.Data); ok {
				links[f.Fingerprint]++
			}
		}
	}
	count(l.Backups)
	for _, w := range l.Snapshots {
		count(w.SSTables)
	}
	return links
}

// logOf reads which part of the commit log a set covers. What can't be read is not known.
func logOf(set sstable.SSTable) (from, until sstable.Position, host string) {
	b, err := os.ReadFile(filepath.Join(set.DataDir, set.Rel(sstable.Statistics)))
	if err != nil {
		return from, until, ""
	}
	stats, _ := sstable.ParseStats(set.Name(), b)
	return stats.LogFrom, stats.LogUntil, stats.HostID
}

// lives are the SSTables that the history names in the chain of a cut's table and that survive it.
func (c cut) lives(s *manifest.State) (lives []manifest.Stored) {
	for _, st := range s.Chain(c.table).SSTables {
		data, ok := st.Component(sstable.Data)
		x := evidence{
			data: data.Fingerprint(), from: st.LogFrom, until: st.LogUntil, host: st.OriginHost, seq: st.From.Seq,
		}
		if ok && st.From.Body.Full == nil && c.after(x) {
			lives = append(lives, st)
		}
	}
	return lives
}

// existing asks the database for its tables; nothing is known where there is none to ask, or no answer.
func (n *Node) existing(ctx context.Context, r *Report) (e Existing) {
	if n.Tables == nil {
		return e
	}
	e, err := n.Tables(ctx)
	if err != nil {
		r.Problems = append(r.Problems, err)
	}
	return e
}

// cuts finds what ends chains. Of what it finds, a scan must begin afterwards: only that sees all that
// was linked before.
func (n *Node) cuts(ctx context.Context, r *Report, p plan) []cut {
	var e Existing
	if len(p.news) > 0 || len(n.absent) > 0 { // each TRUNCATE and DROP flushes system tables
		e = n.existing(ctx, r)
	}
	s := n.Uploader.History.State()
	holds := holding(p, s)
	return findCuts(p, holds, n.drops(r, holds, e), s, e)
}

// settled leaves out the cuts of tables that have sets which come before them and are not complete yet:
// they wait for those, and their final sets for them.
func settled(cuts []cut, snapshots []ready, news []sstable.SSTable, r Report) ([]cut, []ready) {
	waiting := map[string]bool{}
	for _, h := range r.Waiting {
		waiting[h.Path] = true
	}
	links := countLinks(r.Scan)
	held := map[sstable.Table]bool{}
	for _, set := range news {
		if waiting[pathOf(set)] && cutOf(cuts, set, links) >= 0 {
			held[set.Table] = true
		}
	}
	for _, c := range cuts {
		snapshots = slices.DeleteFunc(snapshots, func(r ready) bool { return held[c.table] && r.tag == c.Tag })
	}
	return slices.DeleteFunc(cuts, func(c cut) bool { return held[c.table] }), snapshots
}

// cutSteps are the commits of cuts, and what sets come after all of them. One commit holds the first
// cut of each table, the next the second.
func cutSteps(cuts []cut, sets []sstable.SSTable, l watcher.Listing, s *manifest.State) (steps []step, after []sstable.SSTable) {
	before, after := split(cuts, sets, l)
	nth := map[sstable.Table]int{}
	for i, c := range cuts {
		last, _ := s.LastCut(c.table)
		if again := last.Why == c.Why && last.At.Equal(c.At); again && len(before[i]) == 0 && c.Tag == last.Tag && isEmpty(s.Chain(c.table)) {
			continue // the history says so already
		}
		k := nth[c.table]
		nth[c.table]++
		if k == len(steps) {
			steps = append(steps, step{})
		}
		steps[k].cuts = append(steps[k].cuts, c)
		steps[k].sets = append(steps[k].sets, before[i]...)
		if c.At.After(steps[k].asOf) {
			steps[k].asOf = c.At
		}
	}
	return steps, after
}
