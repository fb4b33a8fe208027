package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// mortal is a context that ends when it has been asked so many times: a process that is told to stop
// between any two steps.
type mortal struct {
	context.Context
	left int
}

func (m *mortal) Err() error {
	if m.left--; m.left < 0 {
		return context.Canceled
	}
	return nil
}

// A prune that is cut off anywhere is finished by the next pass, and what it left is no news.
func TestI8_PruneIsCutOff(t *testing.T) {
	for asked, alive := 1, true; alive; asked++ {
		w := newSmallWorld(t)
		w.wait, w.prune = 0, false
		w.open()
		w.full()
		w.settle()
		w.db.flush(users)
		w.settle()
		w.node.Prune = true
		ctx := &mortal{context.Background(), asked}
		_, err := w.node.Pass(ctx)
		if alive = err != nil; alive && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.guard.verifyTree()
		w.prune = true
		if r := w.settle(); len(r.Manifests) > 0 {
			t.Errorf("after the %d. step: what a prune left was stored again", asked)
		}
		if left := w.db.links(); len(left) > 0 {
			t.Errorf("after the %d. step: %v are left", asked, left)
		}
		w.check()
	}
}

// links are the files in backups/.
func (d *database) links() (paths []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, tb := range d.tables {
		for _, dir := range d.dirs {
			for _, sub := range []string{"", tb.index} {
				found, err := filepath.Glob(filepath.Join(dir, tb.Keyspace, tb.Dir(), "backups", sub, "nb-*"))
				d.must(err)
				paths = append(paths, found...)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// replace puts another file of the same name, size and time in the place of one.
func (d *database) replace(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.paths[path]
	content := d.noise(int(id.size))
	d.must(os.WriteFile(path+".new", content, 0o644))
	d.must(os.Chtimes(path+".new", time.Unix(0, id.mtime), time.Unix(0, id.mtime)))
	d.must(os.Rename(path+".new", path))
	d.note(path, content)
}

// extend appends to a file in place.
func (d *database) extend(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.paths[path]
	content, err := os.ReadFile(path)
	d.must(err)
	content = append(content, "\nSI_users.db\n"...)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	d.must(err)
	_, err = f.WriteString("\nSI_users.db\n")
	d.must(errors.Join(err, f.Close()))
	for p, id := range d.paths {
		if id == old {
			d.note(p, content)
		}
	}
}

// Between the commit and the prune, a file is replaced under its name, or grows.
func TestI8_FilesThatChangeBeforeThePrune(t *testing.T) {
	f := func(what, component string, change func(*database, string)) {
		t.Helper()
		w := newSmallWorld(t)
		w.wait = 0
		w.open()
		w.full()
		w.settle()
		w.db.flush(events)
		path := w.db.links()[0]
		path = path[:len(path)-len(filepath.Ext(path))] // nb-1-big-CRC
		path = path[:len(path)-len("CRC")] + component
		w.guard.committed = func() {
			w.guard.committed = func() {}
			change(w.db, path)
		}
		r := w.pass()
		if len(r.Manifests) != 1 || len(r.Kept) != 1 || r.Pruned.Files != 0 {
			t.Errorf("%s: committed %d, kept %v, unlinked %d", what, len(r.Manifests), r.Kept, r.Pruned.Files)
		}
		w.settle()
		if left := w.db.links(); len(left) > 0 {
			t.Errorf("%s: %v are left", what, left)
		}
		w.check()
	}
	f("another Data.db", "Data.db", (*database).replace)
	f("another Index.db", "Index.db", (*database).replace)
	f("another Statistics.db", "Statistics.db", (*database).replace)
	f("a longer TOC.txt", "TOC.txt", (*database).extend)
}

// What is not ours or not known stays: other people's snapshots, odd files, empty directories.
func TestI8_NothingElseIsTouched(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	backups := filepath.Join(w.db.dirs[0], "shop", w.db.tables[users].Dir(), "backups")
	for _, odd := range []string{"README", "nb-1-big", "nb-7-big-Data.db.tmp", "x-Data.db"} {
		w.db.create1(filepath.Join(backups, odd), []byte(odd))
	}
	w.db.must(os.Mkdir(filepath.Join(backups, "directory"), 0o755))
	for _, tag := range []string{"monthly", TagPrefix[:len(TagPrefix)-1], "pre-" + TagPrefix, "1764000000000-upgrade"} {
		w.db.snapshot(tag)
	}
	w.db.flush(users)
	w.open()
	for range 3 {
		w.full()
		w.settle()
		w.db.flush(users)
		w.db.flush(events)
		w.db.compact(users)
		w.settle()
	}
	w.check()
	if _, err := os.Stat(filepath.Join(backups, "directory")); err != nil {
		t.Error(err)
	}
}

// While the bucket is away nothing is unlinked, however long.
func TestI8_BucketIsAway(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	w.open()
	w.full()
	w.settle()
	before := len(w.db.links())
	for n := 1; n < 10; n++ {
		w.db.flush(users)
		w.arm(1)
		if r, err := w.node.Pass(context.Background()); !errors.Is(err, bucket.ErrUnreachable) || r.Pruned.Files > 0 {
			t.Errorf("pass %d: unlinked %d, %v", n, r.Pruned.Files, err)
		}
		if got, want := len(w.db.links())-before, 12*n; got != want {
			t.Errorf("%d links after %d flushes, want %d", got, n, want)
		}
	}
	w.arm(0)
	w.settle()
	w.check()
}

// Every call of nodetool goes wrong once, without its effect, with half and with all of it.
func TestNodetoolGoesWrong(t *testing.T) {
	for _, how := range []trouble{before, half, after} {
		for at, more := 1, true; more; at++ {
			w := newSmallWorld(t)
			w.wait = 0
			w.between = func() { w.db.flush(users); w.settle() }
			w.tool.goWrong(at, how)
			w.db.flush(users)
			w.db.flush(events)
			w.open()
			w.full()
			w.settle()
			w.db.compact(users)
			w.db.flush(events)
			w.full()
			w.settle()
			w.check()
			more = w.tool.goWrong(0, none) >= at
			if whole := w.node.Uploader.History.State().Whole().Tag; whole != "sstash-0002" {
				t.Errorf("%d. call: the newest whole full is %q", at, whole)
			}
		}
	}
}
