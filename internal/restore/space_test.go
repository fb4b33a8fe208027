package restore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStageAsksForRoomFirst(t *testing.T) {
	tap := &tapped{get: func(name string, _ int64, b []byte, err error) ([]byte, error) {
		t.Errorf("fetched %s", name)
		return b, err
	}}
	p := good()
	p.To = t.TempDir()
	p.Tables[0].SSTables[0].Files[0].Size, p.Bytes = 1<<60, 1<<60
	if _, err := (&Stager{Bucket: tap}).Stage(t.Context(), p); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v, want %v", err, ErrNoSpace)
	}
}

// disk is one that can be filled up.
type disk struct {
	dir         string
	fill, empty func()
	want        error // what a write to the full disk returns
}

// smallDisk mounts a file system of 1 MiB. Who may not mount gets a limit on the size of files
// instead: writes fail then too, though with another error.
func smallDisk(t *testing.T) disk {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("mount: %v; limiting the size of files instead", err)
		return limitedDisk(t, dir)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	hog := filepath.Join(dir, "hog")
	return disk{dir: dir, want: ErrNoSpace, empty: func() { remove(t, hog) }, fill: func() {
		f, err := os.Create(hog)
		for err == nil {
			_, err = f.Write(make([]byte, 4<<10))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
		f.Close()
	}}
}

func limitedDisk(t *testing.T, dir string) disk {
	signal.Ignore(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(limit unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { set(old) })
	return disk{
		dir: dir, want: unix.EFBIG,
		fill:  func() { set(unix.Rlimit{Cur: 0, Max: old.Max}) },
		empty: func() { set(old) },
	}
}

// Somebody else fills the disk while we restore, sooner or later: no half file ever has its final
// name, and after making room the next run goes on.
func TestStageWhenTheDiskFills(t *testing.T) {
	w, _ := small(t)
	f := func(disk disk) {
		for turn := range w.gets(w.plan(Request{To: t.TempDir()})) {
			w.fillAt(disk, turn)
		}
	}
	f(smallDisk(t))
	f(limitedDisk(t, t.TempDir()))
}

// fillAt fills the disk at one GET of a restore.
func (w *world) fillAt(disk disk, turn int) {
	t := w.t
	t.Helper()
	_, want := small(t)
	to := filepath.Join(disk.dir, fmt.Sprint(turn))
	p := w.plan(Request{To: to})
	var mu sync.Mutex
	gets := 0
	tap := &tapped{Bucket: w.bucket, get: func(_ string, _ int64, b []byte, err error) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if gets == turn {
			disk.fill()
		}
		gets++
		return b, err
	}}
	_, err := (&Stager{Bucket: tap}).Stage(t.Context(), p)
	disk.empty()
	if !errors.Is(err, disk.want) {
		t.Errorf("turn %d: %v, want %v", turn, err, disk.want)
	}
	for name, b := range tree(t, to) {
		if !bytes.Equal(b, want[name]) && name != journalName {
			t.Errorf("turn %d: %s is there and not right", turn, name)
		}
		if strings.Contains(name, tempPrefix) {
			t.Errorf("turn %d: %s takes room", turn, name)
		}
	}
	w.stage(p)
	equal(t, to, want)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
}
