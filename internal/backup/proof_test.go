package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// What a full claims, and what its snapshot is still needed for, rests on what is known of nodetool.

// While nodetool is at it, the next table may come any moment: tables are stored as they come, the full
// does not end, and the snapshot stays, even if everything that is there so far is stored. Without
// another word of nodetool it has served an hour later.
func TestI10_SnapshotInTheMaking(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.open()
	w.full()
	w.settle()
	w.db.compact(users)
	w.db.flush(events)
	tag := TagPrefix + "long"
	w.db.must(w.node.Snapshots.write(note{Tag: tag, Began: w.clock.Now().UTC().Round(0), All: true}))
	w.db.snapshot(tag, users)
	w.settle()
	state := w.node.Uploader.History.State()
	if c := state.Chain(w.db.tables[users].Table); c.Tag != tag || !c.Proven.IsZero() {
		t.Errorf("users goes back to %q, proven %v", c.Tag, c.Proven)
	}
	if state.Ended(tag) {
		t.Error("the full ended while nodetool was at it")
	}
	if !contains(w.pass().Scan, tag) {
		t.Error("the snapshot was cleared while nodetool was at it")
	}
	w.db.snapshot(tag, events)
	w.settle()
	if c := w.node.Uploader.History.State().Chain(w.db.tables[events].Table); c.Tag != tag {
		t.Errorf("events, which came later, goes back to %q", c.Tag)
	}
	w.clock.advance(2 * time.Hour)
	if r := w.pass(); !slices.Equal(r.Cleared, []string{tag}) {
		t.Errorf("two hours later: cleared %v", r.Cleared)
	}
	w.full()
	w.wantNewest()
}

// A snapshot that is taken again under a tag that was cleared a moment ago is cleared as well.
func TestSnapshotTwiceUnderOneTag(t *testing.T) {
	w := newSmallWorld(t)
	w.db.flush(users)
	w.open()
	for range 2 {
		tag := w.full()
		if r := w.settle(); len(r.Problems) > 0 || contains(w.pass().Scan, tag) {
			t.Errorf("%s is left: %v", tag, r.Problems)
		}
		w.fulls-- // the same tag once more
		w.clock.advance(time.Minute)
	}
}

// A table whose files are not all there yet keeps the full open; the others are stored.
func TestI10_FullWaitsForATable(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.db.flush(users)
	w.db.flush(events)
	w.open()
	w.full()
	w.settle()
	w.db.compact(users)
	w.db.compact(events)
	w.db.snapshot("theirs")
	path := w.db.newest(events, "snapshots/theirs")
	w.db.take(path)
	r := w.pass()
	state := w.node.Uploader.History.State()
	if len(r.Waiting) != 1 || len(r.Manifests) != 1 {
		t.Errorf("waiting for %v, committed %d", r.Waiting, len(r.Manifests))
	}
	if c := state.Chain(w.db.tables[users].Table); c.Tag != "theirs" {
		t.Errorf("users goes back to %q", c.Tag)
	}
	if state.Ended("theirs") {
		t.Error("the full ended without a table")
	}
	w.db.giveBack(path)
	w.settle()
	if !w.node.Uploader.History.State().Ended("theirs") {
		t.Error("the full does not end")
	}
	w.wantNewest()
}

// Somebody clears what a snapshot of all tables has of one, before it is stored. The full then ends
// nothing of that table's: what is older is still needed. The next one does.
func TestI10_FullThatLacksATable(t *testing.T) {
	for name, lose := range map[string]func(w *world, tag string){
		"cleared":                          func(w *world, tag string) { w.db.clear(tag, users) },
		"cleared, and flushed since":       func(w *world, tag string) { w.db.clear(tag, users); w.db.flush(users) },
		"cleared, then sstash was killed":  func(w *world, tag string) { w.db.clear(tag, users); w.restart() },
		"cleared after a part was stored":  func(w *world, tag string) { w.parts = 1; w.pass(); w.db.clear(tag, users) },
		"cleared, and it was never stored": func(w *world, tag string) { w.db.clear(tag, len(w.db.tables)-1) },
		"cleared, and nobody can be asked": func(w *world, tag string) { w.db.clear(tag, users); w.tables = nil; w.restart() },
		"cleared, and the schema is reset": func(w *world, tag string) {
			w.db.clear(tag, users)
			w.tables = func(context.Context) (Existing, error) { return Existing{Tables: map[string]sstable.Table{}}, nil }
			w.restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSchemas(t)
			x.db.createAs("d2c2ba90e5fb11f187fdfd6bd004d031", "more", "") // of 2026-11-21
			x.db.flush(users)
			x.settle()
			first := x.node.Uploader.History.State().Whole()
			x.db.compact(users)
			tag := TagPrefix + "another"
			x.db.must(x.node.Snapshots.Take(t.Context(), tag, nil))
			lose(x.world, tag)
			said := fmt.Sprint(x.settle().Problems)
			if !strings.Contains(said, "cleared in part") {
				t.Errorf("it says %v", said)
			}
			if now := x.node.Uploader.History.State().Whole(); now != first {
				t.Errorf("the newest whole full is %+v, want %+v", now, first)
			}
			x.restart()
			x.wantNewest()
			tag = x.full()
			x.settle()
			if now := x.node.Uploader.History.State().Whole(); now.Tag != tag {
				t.Errorf("the newest whole full is %+v, want that of %s", now, tag)
			}
			x.restart()
			x.wantNewest()
		})
	}
}

// A database that does not answer, maybe for ever, keeps no full from ending, and no snapshot on the disk.
func TestFullWithoutAnAnswer(t *testing.T) {
	x := newSchemas(t)
	x.err = errors.New("the password is another one")
	tag := x.full()
	r := x.settle()
	if now := x.node.Uploader.History.State().Whole(); now.Tag != tag || contains(r.Scan, tag) {
		t.Errorf("the newest whole full is %+v, want %s; its snapshot is there: %v", now, tag, contains(r.Scan, tag))
	}
	x.wantNewest()
}

// A full under a tag that was used before: what is left of that one is no table of this one, and that it
// ended does not end this one.
func TestI10_FullUnderAUsedTag(t *testing.T) {
	const tag = TagPrefix + "twice"
	begin := func(t *testing.T) (w *world, first string) {
		w = newCutWorld(t)
		first = w.node.Uploader.History.State().Whole().Tag
		for range 2 {
			w.db.compact(users)
			w.db.compact(events)
			w.db.must(w.node.Snapshots.Take(t.Context(), tag, nil))
			if !w.node.Uploader.History.State().Ended(tag) {
				w.db.clear(tag, users)
				w.settle()
			}
		}
		return w, first
	}
	want := func(w *world, tag string) {
		w.t.Helper()
		w.settle()
		if now := w.node.Uploader.History.State().Whole(); now.Tag != tag {
			w.t.Errorf("the newest whole full is %+v, want %s", now, tag)
		}
		w.wantNewest()
	}
	t.Run("stored before nodetool has ended", func(t *testing.T) {
		w, _ := begin(t)
		n := w.node.Snapshots.notes()[tag]
		w.db.must(w.node.Snapshots.write(note{Tag: tag, Began: n.Began, All: true}))
		w.pass()
		w.db.must(w.node.Snapshots.write(n))
		want(w, tag)
	})
	t.Run("cleared again", func(t *testing.T) {
		w, _ := begin(t)
		if r := w.settle(); !slices.Equal(r.Cleared, []string{tag}) || len(r.Problems) > 0 {
			t.Errorf("cleared %v, problems %v", r.Cleared, r.Problems)
		}
		want(w, tag)
	})
	t.Run("cleared in part, before a full and after it", func(t *testing.T) {
		w, _ := begin(t)
		w.settle()
		w.db.must(w.node.Snapshots.write(note{Tag: tag, Began: w.clock.Now()})) // nodetool is at it
		w.db.snapshot(tag, users)
		w.db.unlink(w.db.manifestOf(users, tag))
		first := w.full()
		w.settle()
		w.db.clear(tag)
		w.db.flush(users)
		w.settle()
		w.db.compact(users)
		w.db.must(w.node.Snapshots.Take(t.Context(), tag, nil))
		w.db.unlink(w.db.manifestOf(users, tag))
		want(w, first)
	})
	t.Run("cleared in part", func(t *testing.T) {
		w, first := begin(t)
		w.db.unlink(w.db.manifestOf(users, tag))
		want(w, first)
	})
}

// Cassandra refuses a tag that it has: the snapshot that is there is still worth what it was.
func TestRefusedSnapshotKeepsItsProof(t *testing.T) {
	s := notebook(t, "exit 0")
	f := func(script string, want error) {
		t.Helper()
		if err := os.WriteFile(s.Nodetool.Argv[1], []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.Take(context.Background(), "sstash-1", nil); !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", script, err, want)
		}
	}
	f("exit 0", nil)
	before := s.notes()["sstash-1"]
	f("echo 'error: Snapshot sstash-1 already exists.' >&2; exit 2", cassandra.ErrSnapshotExists)
	if n := s.notes()["sstash-1"]; n != before || !n.ok() {
		t.Errorf("was %+v, is %+v", before, n)
	}
}

// The database that answers is another node: nothing of what is there is stored as this one's.
func TestAnotherNodeAnswers(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.open()
	w.full()
	w.settle()
	w.db.flush(users)
	links := w.db.links()
	w.node.Describe = func(context.Context) (*manifest.Node, *manifest.Schema, error) {
		return nil, nil, fmt.Errorf("host 2: %w", ErrIdentity)
	}
	r, err := w.node.Pass(context.Background())
	if !errors.Is(err, ErrIdentity) || len(r.Manifests) > 0 {
		t.Errorf("%v, want ErrIdentity; committed %d", err, len(r.Manifests))
	}
	if left := w.db.links(); !slices.Equal(left, links) {
		t.Errorf("of %d links %d are left", len(links), len(left))
	}
	w.node.Describe = func(context.Context) (*manifest.Node, *manifest.Schema, error) {
		return nil, nil, errors.New("not now")
	}
	if r := w.pass(); len(r.Manifests) != 1 || len(r.Problems) != 1 {
		t.Errorf("a database that does not answer: committed %d, problems %v", len(r.Manifests), r.Problems)
	}
	w.wantNewest()
}
