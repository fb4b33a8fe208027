package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Which increments a base goes on behind rests on which snapshots a scan has seen. Each of these lives
// tries to make one see less than there is, while a row is flushed that the snapshot does not hold.

// newSeeing is a world in which a full was taken, and users and events are one SSTable each.
func newSeeing(t *testing.T) *world {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	w.db.compact(users)
	w.db.compact(events)
	return w
}

// A tag that is used again: what nodetool left of the snapshot that was stored says nothing of another
// one in the making.
func TestTagThatIsUsedAgain(t *testing.T) {
	for name, between := range map[string]func(*world){
		"at once":      func(*world) {},
		"after a full": func(w *world) { w.full(); w.settle() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSeeing(t)
			tag := TagPrefix + "twice"
			w.db.snapshot(tag, events)
			w.settle() // stored and cleared
			w.db.must(w.node.Snapshots.write(note{Tag: tag, Began: w.clock.Now()}))
			w.db.snapshot(tag, events)
			path := w.db.manifestOf(events, tag)
			w.db.take(path)
			between(w)
			w.db.flush(events)
			w.pass()
			w.db.giveBack(path)
			w.wantNewest()
		})
	}
}

// manifestOf is the manifest.json of a snapshot.
func (d *database) manifestOf(n int, tag string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	for path := range d.paths {
		for _, dir := range d.dirs {
			if path == filepath.Join(dir, tb.Keyspace, tb.Dir(), "snapshots", tag, "manifest.json") {
				return path
			}
		}
	}
	d.t.Fatalf("no snapshot %s", tag)
	return ""
}

// A scan that could not list a snapshot does not tell that it was not there.
func TestI10_SnapshotThatAScanCannotList(t *testing.T) {
	for name, before := range map[string]func(*world){
		"never seen before": func(*world) {},
		"seen before":       func(w *world) { w.db.flush(users); w.pass() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSeeing(t)
			w.db.snapshot("theirs", events)
			path := w.db.manifestOf(events, "theirs")
			w.db.take(path) // it is not complete yet
			before(w)
			w.db.flush(events)
			w.blind(events)
			w.db.giveBack(path)
			w.wantNewest()
		})
	}
}

// blind passes while the snapshots of a table can't be listed: what stands in the way is no directory, as
// a bad disk's is none.
func (w *world) blind(n int) Report {
	w.t.Helper()
	var hidden []string
	for _, dir := range w.db.dirs {
		d := filepath.Join(dir, "shop", w.db.tables[n].Dir(), "snapshots")
		if os.Rename(d, d+"+") == nil { // it may not be there yet
			w.db.must(os.Symlink("/nowhere", d))
			hidden = append(hidden, d)
		}
	}
	r := w.pass()
	for _, d := range hidden {
		w.db.must(errors.Join(os.Remove(d), os.Rename(d+"+", d)))
	}
	return r
}

// counted is a context that does something when it has been asked so many times.
type counted struct {
	context.Context
	left int
	do   func()
}

func (c *counted) Err() error {
	if c.left--; c.left == 0 {
		c.do()
	}
	return nil
}

// Somebody takes a snapshot at any moment of a scan, and the database flushes right after it.
func TestSnapshotDuringAScan(t *testing.T) {
	for at, during := 1, true; during; at++ {
		w := newSeeing(t)
		over := false
		w.afterScan(func() { over = true })
		during = false
		ctx := &counted{context.Background(), at, func() {
			if over {
				return
			}
			during = true
			w.db.snapshot("theirs", events)
			w.db.together(events, "theirs")
			w.db.flush(events) // into one data directory,
			w.db.flush(events) // and into the other
		}}
		if _, err := w.node.Pass(ctx); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(time.Second)
		w.wantNewest()
		if t.Failed() {
			t.Fatalf("at the %d. step of the scan", at)
		}
	}
}

// together moves all of a snapshot into the directory that holds its one SSTable.
func (d *database) together(n int, tag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	sub := filepath.Join(tb.Keyspace, tb.Dir(), "snapshots", tag)
	for _, name := range []string{"manifest.json", "schema.cql"} {
		to := filepath.Join(tb.live[0].dir, sub, name)
		for _, dir := range d.dirs {
			from := filepath.Join(dir, sub, name)
			if id, ok := d.paths[from]; ok && from != to {
				d.must(os.Rename(from, to))
				delete(d.paths, from)
				d.paths[to] = id
			}
		}
	}
	for _, dir := range d.dirs {
		_ = os.Remove(filepath.Join(dir, sub)) // if it is empty
	}
}

// Two snapshots were taken between two scans, and the later one is stored first, by a clock that was set
// back. What was linked in part between them is in that one, and its links are unlinked for that.
func TestLaterSnapshotIsStoredFirst(t *testing.T) {
	w := newSeeing(t)
	w.db.snapshot("first", events)
	path := w.db.manifestOf(events, "first")
	w.db.take(path)
	w.db.flush(events)
	w.db.unlink(strings.Replace(w.db.newest(events, "backups"), "Data.db", "Index.db", 1)) // it died while it linked
	w.clock.set(-3 * time.Hour)
	w.db.snapshot("second", events)
	w.db.compact(events)
	w.settled()
	w.db.giveBack(path)
	w.wantNewest()
}

// settled passes as often as settle does at most, while a snapshot waits.
func (w *world) settled() {
	for range 3 {
		w.pass()
		w.clock.advance(time.Second)
	}
}
