package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
)

// notebook is a Snapshots whose nodetool is a shell script.
func notebook(t *testing.T, script string) Snapshots {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "nodetool")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return Snapshots{Nodetool: cassandra.Nodetool{Argv: []string{"/bin/sh", path}}, Dir: filepath.Join(dir, "snapshots"), Now: time.Now}
}

func TestNotes(t *testing.T) {
	s := notebook(t, "exit 0")
	ctx := context.Background()
	if err := s.Take(ctx, "sstash-1", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Take(ctx, "sstash-2", []string{"shop.users"}); err != nil {
		t.Fatal(err)
	}
	notes := s.notes()
	if n := notes["sstash-1"]; !n.ok() || !n.All || n.Began.IsZero() || n.Ended.Before(n.Began) {
		t.Errorf("a snapshot of everything: %+v", n)
	}
	if n := notes["sstash-2"]; !n.ok() || n.All {
		t.Errorf("a snapshot of a table: %+v", n)
	}
	for _, tag := range []string{"theirs", "sstash-../x", "sstash-/../../x"} {
		if err := s.Take(ctx, tag, nil); err == nil {
			t.Errorf("took a snapshot called %s", tag)
		}
	}
	if err := s.Clear(ctx, "theirs"); err == nil {
		t.Error("cleared a snapshot that is not ours")
	}
	// What is cut short, renamed or foreign is as good as lost.
	for name, content := range map[string]string{
		"sstash-1.json": `{"tag": "sstash-1", "beg`, "sstash-3.json": `{"tag": "sstash-2", "ended": "2026-11-22T02:00:00Z"}`, "x": "",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "sstash-4.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if notes := s.notes(); len(notes) != 1 || !notes["sstash-2"].ok() {
		t.Errorf("of damaged notes, these are left: %v", notes)
	}
	if err := s.Clear(ctx, "sstash-2"); err != nil {
		t.Error(err)
	}
	if notes := s.notes(); len(notes) != 0 {
		t.Errorf("after clearing: %v", notes)
	}
}

func TestI10_FailedSnapshotsAreNotProven(t *testing.T) {
	s := notebook(t, "exit 1")
	if err := s.Take(context.Background(), "sstash-1", nil); err == nil {
		t.Fatal("nodetool failed, and nobody noticed")
	}
	if n := s.notes()["sstash-1"]; n.ok() || n.Began.IsZero() {
		t.Errorf("%+v", n)
	}
}

// Two processes take a snapshot under one tag, and one clears what the other has: neither may say that
// all is there.
func TestI10_TwoProcessesTakeOneSnapshot(t *testing.T) {
	s := notebook(t, "")
	script := "printf '{\"tag\": \"sstash-1\", \"began\": \"2026-11-22T02:00:00Z\"}' >" + filepath.Join(s.Dir, "sstash-1.json")
	if err := os.WriteFile(s.Nodetool.Argv[1], []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Take(context.Background(), "sstash-1", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("%v, want ErrTaken", err)
	}
	if n := s.notes()["sstash-1"]; n.ok() {
		t.Errorf("%+v", n)
	}
	// A state directory that vanished meanwhile is no other process (I5).
	if err := os.WriteFile(s.Nodetool.Argv[1], []byte("rm -r "+s.Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Take(context.Background(), "sstash-1", nil); err != nil || !s.notes()["sstash-1"].ok() {
		t.Errorf("without the state directory: %v, %+v", err, s.notes())
	}
}
