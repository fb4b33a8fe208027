package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// SSTables that are damaged on the node, in one way or another, are stored, named, and restored as they were.
func TestI10_DamagedSSTablesComeBack(t *testing.T) {
	c := newCLI(t)
	dirs := c.tree("")
	read := func(pattern string) (path string, content []byte) {
		t.Helper()
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		if content, err = os.ReadFile(found[0]); err != nil {
			t.Fatal(err)
		}
		return found[0], content
	}
	damaged := map[string]bool{} // contents
	damage := func(pattern string, how func([]byte) []byte) {
		t.Helper()
		path, content := read(pattern)
		content = how(content)
		if err := os.WriteFile(path, content, 0o644); err != nil { // the links too
			t.Fatal(err)
		}
		damaged[string(content)] = true
	}
	_, stranger := read(filepath.Join(dirs[0], "shop", "users-*", "nb-7-big-Statistics.db"))
	damage(filepath.Join(dirs[0], "shop", "users-*", "nb-7-big-Data.db"), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	damage(filepath.Join(dirs[1], "shop", "users-*", "nb-8-big-CompressionInfo.db"), func(b []byte) []byte { return b[:len(b)-8] })
	damage(filepath.Join(dirs[0], "shop", "users-*", ".users_city", "nb-5-big-Data.db"), func(b []byte) []byte { return b[:len(b)/2] })
	damage(filepath.Join(dirs[1], "shop", "users_by_city-*", "nb-8-big-Statistics.db"), func([]byte) []byte { return stranger })

	var doc backupDoc
	c.json(&doc, 0, "backup")
	// The snapshot with two sets whose files don't fit together, these two, and the one with a flipped bit.
	if len(doc.Incomplete) != 0 || len(doc.Damaged) != 4 {
		t.Errorf("incomplete %v, damaged %v", doc.Incomplete, doc.Damaged)
	}
	to := c.path("restored")
	c.want(0, "restore", "--to", to, "--point", fmt.Sprint(doc.Seq)) // the snapshot that they are in
	err := filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		delete(damaged, string(content))
		return err
	})
	if err != nil || len(damaged) != 0 {
		t.Errorf("%d damaged files have not come back: %v", len(damaged), err)
	}
}
