package backup

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/sstable"
)

// readers tells which of the files that it was given have been read since, whoever it was.
type readers struct {
	t     *testing.T
	file  *os.File // inotify
	names map[int32]string
}

func watchReads(t *testing.T, paths []string) *readers {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	r := &readers{t, os.NewFile(uintptr(fd), "inotify"), map[int32]string{}}
	t.Cleanup(func() { r.file.Close() })
	for _, p := range paths {
		wd, err := unix.InotifyAddWatch(fd, p, unix.IN_ACCESS)
		if err != nil {
			t.Fatal(err)
		}
		r.names[int32(wd)] = filepath.Base(p)
	}
	return r
}

// read names the files that were read; calling it again tells what was read since.
func (r *readers) read() (names []string) {
	r.t.Helper()
	const header = 16
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(int(r.file.Fd()), buf)
		if n <= 0 {
			if err != unix.EAGAIN {
				r.t.Fatal(err)
			}
			slices.Sort(names)
			return slices.Compact(names)
		}
		for b := buf[:n]; len(b) >= header; b = b[header+binary.NativeEndian.Uint32(b[12:]):] {
			names = append(names, r.names[int32(binary.NativeEndian.Uint32(b))])
		}
	}
}

// liveData are the paths of all live Data.db.
func (d *database) liveData() (paths []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, tb := range d.tables {
		for _, l := range tb.live {
			paths = append(paths, d.path(tb, l, "", sstable.Data))
		}
	}
	return paths
}

// What is durable is not read again: not by another full, not by somebody's snapshot, not in parts,
// not by a process that has lost its local state.
func TestDurableDataIsNotReadAgain(t *testing.T) {
	w := newSmallWorld(t)
	w.wait = 0
	for range 4 {
		w.db.flush(users)
		w.db.flush(events)
	}
	w.db.compact(users)
	w.open()
	w.full()
	w.settle()
	w.db.flush(events)
	w.db.flush(users)
	w.settle()

	live := w.db.liveData()
	reads := watchReads(t, live)
	f := func(what string, do func()) {
		t.Helper()
		before := w.sum.NewBytes
		do()
		w.settle()
		if names, n := reads.read(), w.sum.NewBytes-before; len(names) > 0 || n > 0 {
			t.Errorf("%s read %v, and stored %d bytes", what, names, n)
		}
	}
	f("a full", func() { w.full() })
	f("a full in parts", func() { w.parts = time.Microsecond; w.full() })
	f("somebody's snapshot", func() { w.db.snapshot("theirs") })
	f("a restart", w.restart)
	w.forget = true
	f("a restart without local state", w.restart)
	f("a full after that", func() { w.full() })
	f("a pass with links: off", func() { w.prune = false })

	w.db.repair(events)
	before := w.sum.NewBytes
	w.full()
	w.settle()
	if w.sum.NewBytes == before {
		t.Error("a rewritten Statistics.db was not stored")
	}
	if names := reads.read(); len(names) > 0 {
		t.Errorf("a full after a repair read %v", names)
	}
	if _, err := os.ReadFile(live[0]); err != nil {
		t.Fatal(err)
	}
	if names := reads.read(); !slices.Equal(names, []string{filepath.Base(live[0])}) {
		t.Errorf("the watch has seen %v", names)
	}
	w.check()
}

// Local state vanishes between any two steps of a life, from under the process and with it. Nothing
// is stored twice for it, and no pack is read.
func TestI5_LocalStateVanishes(t *testing.T) {
	real := realSSTables(t)
	run := func(t *testing.T, lose func(w *world, step int)) int64 {
		w := newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), real, 1))
		w.cached, w.wait = true, 0
		for n, s := range slices.Concat(life(), end()) {
			if w.node != nil {
				lose(w, n)
			}
			s.run(w)
		}
		for _, op := range w.fault.Trace() {
			if strings.HasPrefix(op, "get "+prefix+"packs/") {
				t.Errorf("%s", op)
			}
		}
		w.check()
		return w.sum.NewBytes
	}
	want := run(t, func(*world, int) {})
	const apart = 4 // steps
	for first := range apart {
		for _, kill := range []bool{false, true} {
			got := run(t, func(w *world, step int) {
				if step%apart != first {
					return
				}
				if kill {
					w.stop()
				}
				w.db.must(os.RemoveAll(w.state))
				if kill {
					w.open()
				}
			})
			if got != want {
				t.Errorf("without its state from step %d on, killed %v: %d bytes read and stored, want %d", first, kill, got, want)
			}
		}
	}
}
