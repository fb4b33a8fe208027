package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/watcher"
)

// afterScan does something once, between the next scan and what it leads to.
func (w *world) afterScan(do func()) {
	w.node.Scanned = func(watcher.Listing) {
		w.node.Scanned = nil
		do()
	}
}

// without passes while a file is away, from after the scan to the end.
func (w *world) without(path string) Report {
	w.t.Helper()
	w.afterScan(func() { w.db.take(path) })
	r := w.pass()
	w.db.giveBack(path)
	return r
}

// take moves a file away until giveBack.
func (d *database) take(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = path
	d.must(os.Rename(path, path+".away"))
}

func (d *database) giveBack(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away == path {
		d.must(errors.Join(os.RemoveAll(path), os.Rename(path+".away", path)))
	}
	d.away = ""
}

// newest is the newest Data.db of a table, as it is in sub.
func (d *database) newest(n int, sub string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	return d.path(tb, tb.live[len(tb.live)-1], sub, "Data.db")
}

// A set that can't be read fails alone: the others of the pass are stored, the failure is reported,
// and the next pass tries again.
func TestI10_UnreadableSets(t *testing.T) {
	f := func(what string, want error, put func(path string) error) {
		t.Helper()
		for _, sub := range []string{"backups", "snapshots/theirs"} {
			w := newSmallWorld(t)
			w.wait = 0
			w.open()
			w.full()
			w.settle()
			w.db.flush(events)
			if sub != "backups" {
				w.settle()
				w.db.compact(events) // what compaction wrote is in the snapshot alone
				w.db.snapshot("theirs")
			}
			w.db.flush(users)
			path := w.db.newest(events, sub)
			w.afterScan(func() { w.db.take(path); w.db.must(put(path)) })
			r := w.pass()
			if len(r.Failed) != 1 || r.Complete() || !errors.Is(r.Err(), want) || !strings.Contains(r.Err().Error(), sub+"/nb-") {
				t.Errorf("%s in %s: failed %v, complete %v", what, sub, r.Err(), r.Complete())
			}
			if r.SSTables == 0 {
				t.Errorf("%s in %s: nothing else was stored", what, sub)
			}
			w.db.giveBack(path)
			w.wantNewest()
		}
	}
	f("nothing", fs.ErrNotExist, func(string) error { return nil })
	f("a directory", fileid.ErrChanged, func(p string) error { return os.Mkdir(p, 0o755) })
	f("a named pipe", fileid.ErrChanged, func(p string) error { return unix.Mkfifo(p, 0o644) })
	f("a symbolic link", unix.ELOOP, func(p string) error { return os.Symlink(filepath.Base(p), p) })
	f("another file", fileid.ErrChanged, func(p string) error { return os.WriteFile(p, []byte("other"), 0o644) })
}

// What is no regular file when it is scanned is no component: the set waits, and is reported when
// that takes too long.
func TestI10_IncompleteSets(t *testing.T) {
	w := newSmallWorld(t)
	w.open()
	w.full()
	w.settle()
	w.db.flush(events)
	path := w.db.newest(events, "backups")
	w.db.take(path)
	w.db.must(unix.Mkfifo(path, 0o644))
	w.db.compact(events) // else it would be completed from the live one
	w.db.flush(users)
	for range 40 {
		w.pass()
		w.clock.advance(2 * time.Second)
	}
	r := w.pass()
	if len(r.Quarantined) != 1 || r.Complete() || !strings.Contains(r.Quarantined[0].Why, "Data.db") {
		t.Errorf("quarantined: %v", r.Quarantined)
	}
	w.db.giveBack(path)
	w.wantNewest()
}

// An SSTable that stays unreadable, and is the first in order, holds up neither the parts of an
// increment nor those of a full.
func TestPartsBesideAnUnreadableSet(t *testing.T) {
	w := newSmallWorld(t)
	w.wait, w.parts = 0, time.Microsecond
	w.open()
	w.full()
	w.settle()
	w.db.flush(events)
	bad := w.db.newest(events, "backups")
	for range 5 {
		w.db.flush(users)
	}
	f := func(want int) {
		t.Helper()
		stored, committed := 0, 0
		for range 4 * want {
			r := w.without(bad)
			stored += r.SSTables
			committed += len(r.Manifests)
		}
		if stored != want || committed > want+1 {
			t.Errorf("%d SSTables of %d are stored, in %d entries", stored, want, committed)
		}
	}
	f(10) // with those of the index
	w.settle()
	w.db.compact(events)
	w.db.compact(users)
	w.db.snapshot("theirs")
	bad = w.db.newest(events, "snapshots/theirs")
	f(2)
	w.wantNewest()
}

// An SSTable in backups/ can't be read while somebody's snapshot, which has it too, is stored in part;
// and then the snapshot is cleared. The link is all there is.
func TestI8_UnfinishedBasesMakeNoLinkDurable(t *testing.T) {
	w := newSmallWorld(t)
	w.wait, w.parts = 0, time.Microsecond
	w.open()
	w.full()
	w.settle()
	w.db.flush(events)
	bad := w.db.newest(events, "backups")
	w.db.flush(events)
	w.db.snapshot("theirs", events)
	for range 3 {
		w.without(bad)
	}
	w.db.clear("theirs")
	w.wantNewest()
}

// A history with a damaged entry is left behind: the one that begins after it needs nothing before,
// whether a new full begins it or one that was taken for the old history.
func TestStartOver(t *testing.T) {
	for _, taken := range []bool{false, true} {
		w := newSmallWorld(t)
		w.wait = 0
		w.db.flush(users)
		w.open()
		w.full()
		w.settle()
		w.db.flush(users)
		w.settle()
		w.db.compact(users)
		if taken {
			w.db.must(w.node.Snapshots.Take(context.Background(), TagPrefix+"taken", nil))
		}

		w.damaged = w.node.Uploader.History.State().Seq()
		w.startOver, w.points = true, nil
		w.open()
		if !taken {
			w.full()
		}
		w.settle()
		w.startOver = false
		w.restart()
		w.db.flush(events)
		w.settle()
		w.full()
		w.wantNewest()
	}
}
