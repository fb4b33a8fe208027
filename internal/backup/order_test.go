package backup

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// Each of these lives tries to make a base and the increments after it leave a row out.

func newSmallWorld(t *testing.T) *world {
	return newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), nil, 1))
}

// wantNewest checks that a restore of the newest entry brings back everything acknowledged, once the
// process has nothing left to do, and everything else that must hold.
func (w *world) wantNewest() {
	w.t.Helper()
	w.settle()
	w.check()
}

func TestFinishedSnapshotsOfOthersStayOld(t *testing.T) {
	w := newSmallWorld(t)
	w.db.flush(users)
	w.open()
	w.full()
	w.settle()
	w.db.snapshot("monthly")
	w.db.flush(users)
	w.settle()
	for range 2 {
		w.db.compact(users)
		w.full()
		w.settle()
		if r := w.settle(); r.NewBytes > 0 || len(r.Manifests) > 0 {
			t.Errorf("after a full, snapshots that were stored before it are stored again: %d manifests", len(r.Manifests))
		}
		w.db.flush(events)
		w.restart()
		w.wantNewest()
	}
}

// The database goes on while the first full can't be committed.
func TestFirstFullThatIsRepeated(t *testing.T) {
	for _, kind := range buckettest.Kinds() {
		for at := 1; at < 12; at++ {
			w := newSmallWorld(t)
			w.wait = 0
			w.open()
			w.db.flush(users)
			w.db.compact(users) // nothing is left in backups/
			w.pruneAll()
			w.goWrong(kind, at, 20)
			w.between = func() { w.db.flush(users) }
			w.full()
			w.wantNewest()
		}
	}
}

// pruneAll is an operator who empties backups/.
func (w *world) pruneAll() {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	for path := range w.db.paths {
		if filepath.Base(filepath.Dir(path)) == "backups" || filepath.Base(filepath.Dir(filepath.Dir(path))) == "backups" {
			w.db.unlink(path)
		}
	}
}

func TestClockIsSetBackDuringTheFirstFull(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		w := newSmallWorld(t)
		w.open()
		w.full()
		w.clock.set(by)
		w.db.flush(users)
		w.wantNewest()
		w.db.flush(users)
		w.wantNewest()
	}
}

// A pass without nodetool, on a node that lives: a snapshot that is not ready yet has begun.
func TestFirstPassSeesAnUnfinishedSnapshot(t *testing.T) {
	w := newSmallWorld(t)
	w.open()
	w.node.Snapshots = nil
	w.db.flush(users)
	w.db.snapshot("theirs")
	schemas, _ := filepath.Glob(filepath.Join(w.db.temp, "data*", "*", "*", "snapshots", "theirs", "schema.cql"))
	for _, f := range schemas {
		w.db.must(os.Rename(f, f+".later"))
	}
	w.clock.advance(time.Hour)
	w.db.flush(users)
	for range 3 {
		w.pass()
		w.clock.advance(2 * time.Second)
	}
	for _, f := range schemas {
		w.db.must(os.Rename(f+".later", f))
	}
	w.clock.advance(time.Minute)
	w.wantNewest()
}

// A new history puts what it finds in the order of time, so what is ready at first sight waits for what
// isn't: a set without TOC.txt that is older than a snapshot.
func TestFirstPassKeepsTheOrderOfTime(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = time.Millisecond
	w.open()
	w.db.flush(events)
	tocs, err := filepath.Glob(filepath.Join(w.db.temp, "data*", "*", "*", "backups", "*-TOC.txt"))
	if err != nil || len(tocs) != 1 {
		t.Fatalf("%v, %v", tocs, err)
	}
	w.db.unlink(tocs[0])
	w.clock.advance(time.Hour)
	w.db.compact(events)
	w.db.snapshot("theirs")
	w.clock.advance(time.Hour)
	for quiet := time.Duration(0); quiet < w.wait+time.Second; {
		l, err := watcher.Scan(t.Context(), w.db.dirs)
		w.db.must(err)
		quiet = l.Quiet
	}
	var kinds []manifest.Kind
	for range 2 {
		for _, m := range w.pass().Manifests {
			kinds = append(kinds, m.Kind)
		}
		w.clock.advance(time.Second)
	}
	if !slices.Equal(kinds, []manifest.Kind{manifest.Increment, manifest.Full}) {
		t.Errorf("committed %v", kinds)
	}
}

// Half of a snapshot is stored and then cleared before the other half is.
func TestSnapshotIsClearedWhileItIsStored(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	w.parts = 1
	w.db.snapshot("theirs")
	w.db.flush(users)
	w.db.flush(events)
	for kind := manifest.Increment; kind != manifest.Full; {
		kind = w.pass().Manifests[0].Kind
	}
	w.db.clear("theirs", events)
	w.wantNewest()
}

// A table of our snapshot appears after the scan, and the note that it succeeded before the note is
// read.
func TestI10_NodetoolEndsWhileThePassRuns(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	const tag = TagPrefix + "by-hand"
	began := w.clock.Now()
	notes := w.node.Snapshots
	w.db.must(notes.write(note{Tag: tag, Began: began, All: true}))
	w.db.flush(events)
	w.pass()
	w.db.snapshot(tag, users)
	w.node.Scanned = func(watcher.Listing) {
		w.db.snapshot(tag, events)
		w.db.must(notes.write(note{Tag: tag, Began: began, Ended: began, All: true}))
		w.node.Scanned = nil
	}
	w.wantNewest()
}

// What a scan could not see, no full may leave out.
func TestI10_FullWhileATableIsUnreadable(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	w.db.flush(events)
	w.pass()
	const tag = TagPrefix + "hidden"
	w.db.must(w.node.Snapshots.Take(context.Background(), tag, nil))
	r := w.blind(events)
	if r.Complete() {
		t.Error("a pass that could not see a table is complete")
	}
	if whole := w.node.Uploader.History.State().Whole(); whole.Tag == tag {
		t.Error("a full without a table that could not be seen counts as whole")
	}
	if len(r.Cleared) > 0 {
		t.Errorf("%v is cleared, and not all of it is stored", r.Cleared)
	}
	w.wantNewest()
	if whole := w.node.Uploader.History.State().Whole(); whole.Tag != tag {
		t.Errorf("the newest whole full is %q, want %s", whole.Tag, tag)
	}
}
