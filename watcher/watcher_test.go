package watcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

func newTestWatcher(t *testing.T, dirs ...string) *Watcher {
	t.Helper()
	w, err := newWatcher(dirs, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// wait fails if no hint comes, however late.
func wait(t *testing.T, w *Watcher, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.Wait(ctx); err != nil {
		t.Fatalf("no hint: %s: %v", what, err)
	}
}

func hinted(w *Watcher) bool {
	select {
	case <-w.hints:
		return true
	default:
		return false
	}
}

// follow scans until everything is watched.
func follow(t *testing.T, w *Watcher, dirs ...string) Listing {
	t.Helper()
	for range 100 {
		hinted(w)
		l := scan(t, dirs...)
		if err := w.Follow(l); err != nil {
			t.Fatal(err)
		}
		if !hinted(w) {
			return l
		}
	}
	t.Fatal("hints do not end")
	return Listing{}
}

// The directories of tables are not watched: every write of a compaction would be an
// event.
func TestWatcherLeavesLiveFilesAlone(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "ks/both/backups/.idx/", "ks/both/snapshots/tag/.idx/", "ks/none/nb-1-big-Data.db")
	w := newTestWatcher(t, root)
	follow(t, w, root)
	got := relative(root, w.events.WatchList())
	slices.Sort(got)
	wantList(t, "watched", got, ".", "ks", "ks/both/backups", "ks/both/backups/.idx", "ks/both/snapshots")
}

func TestWatcherHints(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "ks/t/backups/.idx/", "ks/t/snapshots/", "ks/u/")
	w := newTestWatcher(t, root)
	follow(t, w, root)
	for _, path := range []string{
		"ks2/", "ks/new/", "ks/t/backups/nb-1-big-Data.db", "ks/t/backups/.idx/nb-1-big-Data.db", "ks/t/backups/.other/", "ks/t/snapshots/tag/",
		"ks/u/backups/", "ks/u/snapshots/", "ks/u/backups/nb-1-big-Data.db", "ks/u/snapshots/tag/",
	} {
		touch(t, root, path)
		wait(t, w, path)
		follow(t, w, root)
	}
	// A directory that is made again is another one, which must be watched again.
	for _, path := range []string{"ks/t/backups", "ks/t/snapshots", "ks/u", "ks"} {
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
		wait(t, w, path+" removed")
		touch(t, root, "ks/t/backups/", "ks/t/snapshots/", "ks/u/backups/")
		follow(t, w, root)
		touch(t, root, "ks/t/backups/nb-2-big-Data.db")
		wait(t, w, path+" made again")
		follow(t, w, root)
		if err := os.Remove(filepath.Join(root, "ks/t/backups/nb-2-big-Data.db")); err != nil {
			t.Fatal(err)
		}
	}
}

// Our own unlinking, and what happens to a file, is no news.
func TestWatcherIgnores(t *testing.T) {
	w := newTestWatcher(t, t.TempDir())
	for _, op := range []fsnotify.Op{fsnotify.Remove, fsnotify.Write, fsnotify.Chmod, fsnotify.Rename} {
		w.event(fsnotify.Event{Name: "/d/ks/t/backups/nb-1-big-Data.db", Op: op})
		if hinted(w) {
			t.Errorf("%s of a component gives a hint", op)
		}
	}
	for _, e := range []fsnotify.Event{
		{Name: "/d/ks/t/backups/nb-1-big-Data.db", Op: fsnotify.Create},
		{Name: "/d/ks/t/backups", Op: fsnotify.Remove},
		{Name: "/d/ks/t/snapshots", Op: fsnotify.Rename},
	} {
		if w.event(e); !hinted(w) {
			t.Errorf("%s gives no hint", e)
		}
	}
}

// Links of 2,000 sets come in a burst, into new directories, while the watcher runs.
// Scans that follow hints, and nothing else, find them all.
func TestI7_BurstWhileWatching(t *testing.T) {
	const tables, sets = 20, 100
	s := newScript(t, false)
	s.run("create", []string{"live/nb-0-big"})
	components := []string{"Data.db", "Index.db", "Statistics.db", "CompressionInfo.db", "Filter.db", "TOC.txt"}
	w := newTestWatcher(t, s.dirs...)
	done := make(chan error, 1)
	go func() { done <- burst(filepath.Join(s.root, "live/nb-0-big"), s.dirs[1], components, tables, sets) }()

	found := map[string]bool{}
	look := func() {
		for _, set := range follow(t, w, s.dirs...).Backups {
			if len(set.Files) == len(components) {
				found[filepath.Join(set.Dir, set.Stem)] = true
			}
		}
	}
	for len(found) < tables*sets {
		wait(t, w, fmt.Sprintf("%d of %d sets found", len(found), tables*sets))
		look()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func burst(live, dataDir string, components []string, tables, sets int) error {
	for i := range tables * sets {
		dir := filepath.Join(dataDir, "ks", fmt.Sprintf("t%d", i%tables), "backups")
		if i/tables%2 == 1 {
			dir = filepath.Join(dir, ".idx")
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, c := range components {
			if err := os.Link(live+"-"+c, filepath.Join(dir, fmt.Sprintf("nb-%d-big-%s", i, c))); err != nil {
				return err
			}
		}
	}
	return nil
}

// When events were lost, watches may have been, too: all are made anew.
func TestI7_Overflow(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "ks/t/backups/")
	w := newTestWatcher(t, root)
	follow(t, w, root)
	var added []string
	w.add = func(path string) error { added = append(added, path); return w.events.Add(path) }
	w.events.Errors <- fsnotify.ErrEventOverflow
	wait(t, w, "overflow")
	follow(t, w, root)
	wantList(t, "watched again", relative(root, added), ".", "ks", "ks/t/backups")
}

// What the kernel won't watch is polled, and the caller is told once.
func TestWatcherLimited(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "ks/t/backups/", "ks/t/snapshots/")
	w := newTestWatcher(t, root)
	left := 1
	w.add = func(path string) error {
		if left == 0 {
			return unix.ENOSPC
		}
		left--
		return w.events.Add(path)
	}
	l := scan(t, root)
	err := w.Follow(l)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "polling 2 directories") || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") {
		t.Errorf("first: %v", err)
	}
	if err := w.Follow(l); err != nil {
		t.Errorf("told again: %v", err)
	}
	hinted(w)
	touch(t, root, "ks/t/backups/nb-1-big-Data.db")
	wait(t, w, "a polled directory")
	left = 10
	follow(t, w, root)
	if len(w.polled) > 0 {
		t.Errorf("still polled: %v", w.polled)
	}
	left = 0
	touch(t, root, "ks/t/backups/.idx/")
	if err := w.Follow(scan(t, root)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("limited again: %v", err)
	}
}

func TestWatcherEnds(t *testing.T) {
	w, err := New([]string{t.TempDir(), "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait after its context: %v", err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := w.Wait(context.Background()); !errors.Is(err, fsnotify.ErrClosed) {
		t.Errorf("Wait after Close: %v", err)
	}
}
