package restore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
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

// Somebody else fills the disk while we restore, sooner or later: no half file ever has its final
// name, and after making room the next run goes on.
func TestStageWhenTheDiskFills(t *testing.T) {
	w, want := small(t)
	for _, d := range disks(t) {
		for turn := range w.gets(w.plan(Request{To: t.TempDir()})) {
			w.fillAt(d, turn, want)
		}
	}
}

// disk is one that can be filled up.
type disk struct {
	dir         string
	fill, empty func()
	want        error // what a write to the full disk returns
}

// limitSelf is set in a process of its own, because it can't write any file while the limit holds.
const limitSelf = "SSTASH_TEST_LIMIT_SELF"

// disks are a file system of 1 MiB, where we may mount one, and everywhere a limit on the size of files:
// writes fail with it too, though with another error.
func disks(t *testing.T) []disk {
	t.Helper()
	if os.Getenv(limitSelf) != "" {
		return []disk{limitedDisk(t)}
	}
	limited := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	limited.Env = append(os.Environ(), limitSelf+"=1")
	if out, err := limited.CombinedOutput(); err != nil {
		t.Errorf("with a limit on the size of files: %v\n%s", err, out)
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("mount: %v; that it was tested with a limit on the size of files must do", err)
		return nil
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	hog := filepath.Join(dir, "hog")
	return []disk{{dir: dir, want: ErrNoSpace, empty: func() { remove(t, hog) }, fill: func() {
		f, err := os.Create(hog)
		for err == nil {
			_, err = f.Write(make([]byte, 4<<10))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
		f.Close()
	}}}
}

func limitedDisk(t *testing.T) disk {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(limit uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
			t.Error(err)
		}
	}
	return disk{dir: t.TempDir(), want: unix.EFBIG, fill: func() { set(0) }, empty: func() { set(old.Cur) }}
}

// fillAt fills the disk at one GET of a restore.
func (w *world) fillAt(disk disk, turn int, want map[string][]byte) {
	t := w.t
	t.Helper()
	to := filepath.Join(disk.dir, fmt.Sprint(turn))
	p := w.plan(Request{To: to})
	gets := 0
	tap := &tapped{Bucket: w.bucket, get: func(_ string, _ int64, b []byte, err error) ([]byte, error) {
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
