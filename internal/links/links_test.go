package links

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

var users = sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280e58c11f199085b39e1f4c1a0"}

// node is a data directory with one live SSTable and its links in backups/.
type node struct {
	t      *testing.T
	data   string
	live   string
	set    sstable.SSTable
	stored manifest.SSTable
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, data: t.TempDir()}
	n.live = filepath.Join(n.data, users.Keyspace, users.Dir())
	rel := filepath.Join(users.Keyspace, users.Dir(), "backups")
	n.set = sstable.SSTable{Table: users, Stem: "nb-1-big", DataDir: n.data, Dir: rel}
	n.stored = manifest.SSTable{Stem: "nb-1-big"}
	if err := os.MkdirAll(filepath.Join(n.data, rel), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"Data.db", "Index.db", "Statistics.db", "TOC.txt"} {
		content := []byte("content of " + c)
		n.write(filepath.Join(n.live, "nb-1-big-"+c), content)
		if err := os.Link(filepath.Join(n.live, "nb-1-big-"+c), n.path(c)); err != nil {
			t.Fatal(err)
		}
		fp := n.fingerprint(n.path(c))
		n.set.Files = append(n.set.Files, sstable.File{Component: c, Fingerprint: fp})
		n.stored.Components = append(n.stored.Components, manifest.Component{
			Name: c, Size: fp.Size, Hash: chunker.Sum(content), FS: fp.FS, Inode: fp.Inode, Mtime: fp.Mtime,
		})
	}
	return n
}

func (n *node) path(component string) string {
	return filepath.Join(n.data, n.set.Dir, "nb-1-big-"+component)
}

func (n *node) write(path string, content []byte) {
	n.t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) fingerprint(path string) sstable.Fingerprint {
	n.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	fp, err := fileid.Of(f)
	if err != nil {
		n.t.Fatal(err)
	}
	return fp
}

// left are the components that still have a link in backups/.
func (n *node) left() (names []string) {
	for _, c := range []string{"Data.db", "Index.db", "Statistics.db", "TOC.txt"} {
		if _, err := os.Lstat(n.path(c)); err == nil {
			names = append(names, c)
		}
	}
	return names
}

func (n *node) prune(wantKept int) {
	n.t.Helper()
	_, kept, err := Prune(context.Background(), n.set, n.stored)
	if err != nil {
		n.t.Error(err)
	}
	if len(kept) != wantKept {
		n.t.Errorf("kept %v, want %d", kept, wantKept)
	}
}

func TestI8_PruneUnlinksTheSameFilesOnly(t *testing.T) {
	n := newNode(t)
	before := map[string]sstable.Fingerprint{}
	for _, c := range n.left() {
		before[c] = n.fingerprint(filepath.Join(n.live, "nb-1-big-"+c))
	}
	n.prune(0)
	if left := n.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	for c, fp := range before {
		if now := n.fingerprint(filepath.Join(n.live, "nb-1-big-"+c)); now != fp {
			t.Errorf("live %s was %v and is %v", c, fp, now)
		}
	}
	if info, err := os.Stat(filepath.Join(n.data, n.set.Dir)); err != nil || !info.IsDir() {
		t.Errorf("backups/ itself: %v", err)
	}
}

func TestI8_WhatChangedStays(t *testing.T) {
	f := func(what string, kept int, change func(*node)) {
		t.Helper()
		n := newNode(t)
		change(n)
		want := n.left()
		if kept == 0 {
			want = nil
		}
		n.prune(kept)
		if left := n.left(); !slices.Equal(left, want) {
			t.Errorf("%s: left %v, want %v", what, left, want)
		}
	}
	replace := func(c string) func(*node) {
		return func(n *node) {
			info, _ := os.Stat(n.path(c))
			content, _ := os.ReadFile(n.path(c))
			os.Remove(n.path(c))
			n.write(n.path(c), content) // same name, size, content and time; another file
			if err := os.Chtimes(n.path(c), info.ModTime(), info.ModTime()); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	f("another file under the name of Data.db", 1, replace("Data.db"))
	f("another file under the name of TOC.txt", 1, replace("TOC.txt"))
	f("a longer file", 1, func(n *node) {
		f, _ := os.OpenFile(n.path("Index.db"), os.O_APPEND|os.O_WRONLY, 0)
		f.WriteString("x")
		f.Close()
	})
	f("touched", 1, func(n *node) {
		os.Chtimes(n.path("Index.db"), time.Now(), time.Now().Add(time.Second))
	})
	f("mutable component rewritten in place, same size and time", 1, func(n *node) {
		info, _ := os.Stat(n.path("Statistics.db"))
		n.write(n.path("Statistics.db"), []byte("CONTENT OF Statistics.db"))
		os.Chtimes(n.path("Statistics.db"), info.ModTime(), info.ModTime())
	})
	f("symbolic link", 1, func(n *node) {
		os.Remove(n.path("Index.db"))
		os.Symlink(filepath.Join(n.live, "nb-1-big-Index.db"), n.path("Index.db"))
	})
	f("file that no manifest names", 1, func(n *node) {
		n.stored.Components = n.stored.Components[:3]
	})
	f("vanished meanwhile", 0, func(n *node) { os.Remove(n.path("Index.db")) })
}

// A prune that dies leaves Data.db to the end, so that the rest is recognised.
func TestPruneTakesDataLast(t *testing.T) {
	n := newNode(t)
	if last := dataLast(n.set.Files)[len(n.set.Files)-1].Component; last != "Data.db" {
		t.Errorf("%s goes last", last)
	}
}

func TestI8_OnlyInBackups(t *testing.T) {
	for _, dir := range []string{
		filepath.Join("shop", users.Dir()),
		filepath.Join("shop", users.Dir(), "snapshots", "x"),
		filepath.Join("shop", users.Dir(), "backups", "..", "snapshots"),
		filepath.Join("..", "shop", users.Dir(), "backups"),
		"/" + filepath.Join("shop", users.Dir(), "backups"),
		filepath.Join("shop", "other", "backups"),
	} {
		n := newNode(t)
		n.set.Dir = dir
		if _, _, err := Prune(context.Background(), n.set, n.stored); !errors.Is(err, ErrNotBackups) {
			t.Errorf("%s: %v, want ErrNotBackups", dir, err)
		}
	}
}

// backups/ replaced by a symbolic link to the live directory.
func TestI8_SymlinkedBackups(t *testing.T) {
	n := newNode(t)
	dir := filepath.Join(n.data, n.set.Dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(n.live, dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Prune(context.Background(), n.set, n.stored); err == nil {
		t.Error("pruned through a symbolic link")
	}
	if _, err := os.Stat(filepath.Join(n.live, "nb-1-big-Data.db")); err != nil {
		t.Errorf("live Data.db: %v", err)
	}
}

// Between the look at the whole set and the unlink of a file, that file is replaced: it stays, and so
// does Data.db, which goes last.
func TestI8_ReplacedAfterTheFirstLook(t *testing.T) {
	for _, c := range []string{"Data.db", "Index.db", "Statistics.db"} {
		n := newNode(t)
		root, err := descend(n.set.DataDir, n.set.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		n.write(n.path(c)+".new", []byte("another "+c))
		if err := os.Rename(n.path(c)+".new", n.path(c)); err != nil {
			t.Fatal(err)
		}
		_, kept, err := pruning{root, n.set, n.stored}.unlink(context.Background())
		if err != nil || len(kept) != 1 || filepath.Base(kept[0].Path) != "nb-1-big-"+c {
			t.Errorf("%s: kept %v, %v", c, kept, err)
		}
		if left := n.left(); !slices.Contains(left, c) || !slices.Contains(left, "Data.db") {
			t.Errorf("%s: left %v", c, left)
		}
	}
}
