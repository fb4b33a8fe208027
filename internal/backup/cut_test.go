package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// newCutWorld is a small world in which a full was taken, and rows of users are in it and behind it.
func newCutWorld(t *testing.T) *world {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	w.db.flush(users)
	w.settle()
	return w
}

// wantOnly checks that a restore of the newest entry brings back what is acknowledged and nothing else,
// and that the last state before the newest cut of users holds exactly the rows of last.
func (w *world) wantOnly(last []int) {
	w.t.Helper()
	w.settle()
	a := w.check()
	state := w.node.Uploader.History.State()
	if got, want := keys(a.rows(w.db, state.Seq())), keys(w.db.acked()); !slices.Equal(got, want) {
		w.t.Errorf("a restore brings back %v, want %v", got, want)
	}
	if last == nil {
		return
	}
	all := w.endings(a)
	if len(all) == 0 {
		w.t.Fatal("no cut of users is known")
	}
	found := map[int]bool{}
	for _, st := range all[len(all)-1].Last.SSTables {
		data, _ := st.Component(sstable.Data)
		for _, r := range w.db.holds[a.content(st.From, data)] {
			found[r] = true
		}
	}
	slices.Sort(last)
	if got := keys(found); !slices.Equal(got, last) {
		w.t.Errorf("the last state holds %v, want %v", got, last)
	}
}

// endings are the cuts of users in all of the history.
func (w *world) endings(a *archive) []manifest.Ending {
	s := manifest.NewState()
	for _, m := range a.manifests {
		w.db.must(s.Apply(m))
	}
	return s.Endings("shop", "users")
}

func keys(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }

// rowsOf are the rows of a table that were acknowledged and not removed.
func (d *database) rowsOf(n int) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]int{}, d.tables[n].acked...)
}

// What lies before a TRUNCATE or DROP is in no restore after it, and all of it in one before, whatever
// sstash has seen meanwhile.
func TestCuts(t *testing.T) {
	flush := func(w *world) { w.db.flush(users) }
	compact := func(w *world) { w.db.compact(users) }
	settle := func(w *world) { w.settle() }
	nothing := func(*world) {}
	letters := func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}
	both := func(fs ...func(*world)) func(*world) {
		return func(w *world) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	minute := func(w *world) { w.clock.advance(time.Minute) }
	for _, tag := range []string{"truncated-%013d-%s", "dropped-%013d-%s", "%013d-truncated-%s", "%013d-dropped-%s"} {
		for name, c := range map[string]struct{ before, after func(*world) }{
			"seen at once":                {nothing, settle},
			"with flushes around it":      {flush, flush},
			"with a compaction before":    {both(flush, compact), flush},
			"with a compaction after":     {flush, both(flush, compact)},
			"while sstash was down":       {both(flush, compact, flush), both(flush, minute, compact, (*world).restart)},
			"and a full before the pass":  {flush, both(flush, minute, func(w *world) { w.full() })},
			"and a snapshot before it":    {both(flush, minute, func(w *world) { w.db.snapshot("theirs") }, flush), flush},
			"and a snapshot after it":     {both(flush, compact), both(minute, flush, func(w *world) { w.db.snapshot("theirs") }, flush)},
			"between the parts of a full": {both(func(w *world) { w.parts = 1; w.full() }, flush), both(flush, settle, func(w *world) { w.parts = 0 })},
		} {
			t.Run(fmt.Sprintf("%s %s", strings.Map(letters, tag), name), func(t *testing.T) {
				w := newCutWorld(t)
				c.before(w)
				last := w.db.rowsOf(users)
				w.db.end(users, tag)
				c.after(w)
				w.wantOnly(last)
				w.db.flush(users)
				w.restart()
				w.wantOnly(last)
				w.full()
				w.wantOnly(nil)
			})
		}
	}
}

// Without auto_snapshot, the database tells of a TRUNCATE by its record, and of a DROP by its schema.
func TestCutsWithoutAutoSnapshot(t *testing.T) {
	for _, drop := range []bool{false, true} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("drop %v, down %v", drop, down), func(t *testing.T) {
				w := newCutWorld(t)
				e := Existing{Tables: map[string]sstable.Table{}, Truncated: map[string]cassandra.Truncation{}}
				for _, tb := range w.db.tables {
					e.Tables[tb.ID] = tb.Table
				}
				w.tables = func(context.Context) (Existing, error) { return e, nil }
				w.restart()
				w.db.flush(users)
				w.db.compact(users)
				w.db.flush(users)
				last := w.db.rowsOf(users)
				if !down {
					w.settle()
				}
				id := w.db.tables[users].ID
				at := w.db.end(users, "")
				if drop {
					delete(e.Tables, id)
				} else {
					e.Truncated[id] = cassandra.Truncation{At: at.Truncate(time.Millisecond)}
					w.db.flush(users)
				}
				w.db.flush(events) // as a system table would be
				w.wantOnly(last)
				w.restart()
				w.db.flush(events)
				w.wantOnly(last)
				if n := len(w.endings(w.check())); n != 1 {
					t.Errorf("%d cuts are recorded of one", n)
				}
				w.full()
				w.wantOnly(nil)
			})
		}
	}
}

func TestTwoTruncationsWhileDown(t *testing.T) {
	w := newCutWorld(t)
	w.stop()
	w.db.flush(users)
	w.db.truncate(users)
	w.clock.advance(time.Minute)
	w.db.flush(users)
	w.db.compact(users)
	w.db.flush(users)
	last := w.db.rowsOf(users)
	w.db.truncate(users)
	w.clock.advance(time.Minute)
	w.db.flush(users)
	w.db.compact(users)
	w.open()
	w.wantOnly(last)
	if n := len(w.endings(w.check())); n != 2 {
		t.Errorf("%d cuts of 2", n)
	}
}

// A set that comes before the cut and is not whole yet keeps the cut waiting.
func TestCutWaitsForWhatComesBefore(t *testing.T) {
	w := newCutWorld(t)
	w.db.flush(users)
	path := w.db.newest(users, "backups")
	w.db.compact(users)
	last := w.db.rowsOf(users)
	w.db.take(path)
	w.db.truncate(users)
	w.pass()
	if w.node.Uploader.History.State().HasCut(w.db.tables[users].Table, w.db.tags(users)[0]) {
		t.Error("the cut did not wait")
	}
	w.db.giveBack(path)
	w.wantOnly(last)
}

// What was truncated before there was a backup can be had by its auto snapshot.
func TestCutBeforeTheFirstFull(t *testing.T) {
	w := newSmallWorld(t)
	w.db.flush(users)
	w.db.compact(users)
	last := w.db.rowsOf(users)
	w.db.truncate(users)
	w.clock.advance(time.Hour)
	w.db.flush(users)
	w.open()
	w.full()
	w.wantOnly(last)
	w.db.flush(users)
	w.wantOnly(last)
}

func TestAfter(t *testing.T) {
	at := time.Date(2026, 11, 22, 2, 0, 0, int(500*time.Millisecond), time.UTC)
	position := func(n int32) sstable.Position { return sstable.Position{Segment: 7, Offset: n} }
	file := func(inode uint64, later time.Duration) sstable.Fingerprint {
		return sstable.Fingerprint{Inode: inode, Mtime: at.Add(later).UnixNano()}
	}
	c := cut{Cut: manifest.Cut{At: at, After: 10}, log: position(100), host: "ours"}
	f := func(what string, want bool, x evidence, change func(*cut)) {
		t.Helper()
		c := c
		change(&c)
		if got := c.after(x); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	as := func(*cut) {}
	final := func(c *cut) { c.final = map[sstable.Fingerprint]bool{file(1, 0): true, file(1, time.Second): true} }
	noLog := func(c *cut) { final(c); c.log = sstable.Position{} }

	f("flushed before", false, evidence{data: file(1, -time.Second), from: position(50), until: position(100), host: "ours"}, as)
	f("flushed after", true, evidence{data: file(1, time.Second), from: position(100), until: position(150), host: "ours"}, as)
	f("flushed after, before it was noticed", true, evidence{data: file(1, -time.Second), from: position(100), until: position(150), host: "ours", seq: 9}, as)
	f("seen before", false, evidence{data: file(1, time.Second), seq: 10}, as)
	f("seen with it", true, evidence{data: file(1, time.Second), seq: 11}, as)
	f("streamed before: its log is another's", false, evidence{data: file(1, -time.Second), from: position(500), until: position(600), host: "theirs"}, as)
	f("imported after: its log is old", true, evidence{data: file(2, time.Second), from: position(50), until: position(60), host: "ours"}, final)
	f("imported after, as old as it was", true, evidence{data: file(2, -time.Hour), live: true}, final)
	f("compacted before", false, evidence{data: file(2, -time.Hour)}, final)
	f("in the final set, and survived: the snapshot's own flush", true, evidence{data: file(1, time.Second), from: position(100), until: position(110), host: "ours"}, final)
	f("in the final set, the clock was set back", false, evidence{data: file(1, time.Second), from: position(90), until: position(100), host: "ours"}, final)
	f("in the final set, by the clock", false, evidence{data: file(1, 0)}, noLog)
	f("after it, by the clock", true, evidence{data: file(2, time.Millisecond)}, noLog)
	f("in the same millisecond", false, evidence{data: file(2, time.Microsecond)}, noLog)
	f("copied with whole seconds", true, evidence{data: file(2, -500*time.Millisecond)}, noLog)
}

// Tags of before 3.10 are nobody's choice only with the files of such a version.
func TestAutoTag(t *testing.T) {
	f := func(stem, tag string, want bool) {
		t.Helper()
		w := watcher.Snapshot{Table: sstable.Table{Keyspace: "shop", Name: "users"}, Tag: tag, SSTables: []sstable.SSTable{{Stem: stem}}}
		if _, ok := autoTag(w); ok != want {
			t.Errorf("%s of %s: %v", tag, stem, ok)
		}
	}
	f("shop-users-ka-1", "1795255200123-users", true)
	f("me-1-big", "1795255200123-users", true)
	f("nb-1-big", "1795255200123-users", false)
	f("nb-1-big", "truncated-1795255200123-users", true)
	f("pa-1-big", "1795255200123-dropped-users", true)
}

// tags are those of the snapshots of a table, in order.
func (d *database) tags(n int) []string {
	found := map[string]bool{}
	for path := range d.paths {
		if _, rest, ok := strings.Cut(path, d.tables[n].Dir()+"/snapshots/"); ok {
			tag, _, _ := strings.Cut(rest, "/")
			found[tag] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
