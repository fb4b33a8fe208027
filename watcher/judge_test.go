package watcher

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/sstable"
)

// oneSet makes a complete set in backups/ and lists it.
func oneSet(t *testing.T) (root string, set sstable.SSTable) {
	t.Helper()
	s := newScript(t, false)
	s.run("create", []string{"data1/ks/t/nb-1-big"})
	s.run("link", []string{"data1/ks/t/nb-1-big", "data1/ks/t/backups"})
	return s.dirs[0], scan(t, s.dirs[0]).Backups[0]
}

// settled is what a new Judge says of a set after it has settled.
func settled(set sstable.SSTable) Verdict {
	j := Judge{Settle: time.Second, Patience: time.Minute}
	j.Backup(set, time.Unix(0, 0))
	return j.Backup(set, time.Unix(1, 0))
}

// What was put in the place of a file since the scan is not read.
func TestJudgeReadsOnlyWhatTheScanSaw(t *testing.T) {
	replace := map[string]func(path string) error{
		"another file":                 func(path string) error { return os.WriteFile(path, []byte("Data.db"), 0o644) },
		"a symbolic link out of it":    func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a link to the data directory": func(path string) error { return os.Symlink("../../../ks", path) },
		"a pipe":                       func(path string) error { return unix.Mkfifo(path, 0o600) },
		"nothing":                      func(string) error { return nil },
	}
	for name, f := range replace {
		for _, component := range []string{sstable.TOC, sstable.CompressionInfo} {
			root, set := oneSet(t)
			path := filepath.Join(root, set.Rel(component))
			if v := settled(set); v.State != Ready {
				t.Fatalf("before: %+v", v)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := f(path); err != nil {
				t.Fatal(err)
			}
			if v := settled(set); v.State != Waiting || v.Why == "" {
				t.Errorf("%s instead of %s: %+v", name, component, v)
			}
		}
	}
}

func TestJudgeLimitsWhatItReads(t *testing.T) {
	root, set := oneSet(t)
	if err := os.Truncate(filepath.Join(root, set.Rel(sstable.TOC)), tocLimit+1); err != nil {
		t.Fatal(err)
	}
	if v := settled(scan(t, root).Backups[0]); v.State != Waiting || !strings.Contains(v.Why, "too many") {
		t.Errorf("a huge TOC.txt: %+v", v)
	}
	// 2^29 chunks of 2^18 bytes are 4 GiB of offsets (a sparse file, here). Only the
	// ends are read.
	root, set = oneSet(t)
	const chunks = 1 << 29
	head := append([]byte{0, 1}, "X"...)
	for _, v := range []uint32{0, 1 << 18, 1<<31 - 1, 1 << 15, 0, chunks} { // 2^47 bytes of data
		head = binary.BigEndian.AppendUint32(head, v)
	}
	path := filepath.Join(root, set.Rel(sstable.CompressionInfo))
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(head))+8*chunks); err != nil {
		t.Fatal(err)
	}
	if v := settled(scan(t, root).Backups[0]); v.State != Ready {
		t.Errorf("a large CompressionInfo.db: %+v", v)
	}
}

// A Judge doesn't grow with all the sets that there ever were.
func TestJudgeForgets(t *testing.T) {
	j := Judge{Settle: time.Second, Patience: time.Minute}
	now := time.Unix(0, 0)
	for i := range 1000 {
		now = now.Add(time.Second)
		j.Backup(sstable.SSTable{Stem: fmt.Sprintf("nb-%d-big", i)}, now)
	}
	if n := len(j.seen); n > 150 {
		t.Errorf("%d sets are remembered", n)
	}
	// What is asked for again and again is kept, however rarely.
	set := sstable.SSTable{Stem: "nb-0-big"}
	first := j.sight("x", nil, now)
	for range 5 {
		now = now.Add(time.Hour)
		j.Backup(set, now)
		if j.sight("x", nil, now) != first {
			t.Fatal("forgotten although it was asked for")
		}
	}
}

// A snapshot is not complete if a part of it may be where the scan could not look.
func TestJudgePartialSnapshot(t *testing.T) {
	s := newScript(t, false)
	s.run("write", []string{"data1/ks/t/snapshots/tag/manifest.json", `{"files":[]}`})
	s.run("write", []string{"data1/ks/t/snapshots/tag/schema.cql", "CREATE TABLE"})
	sn := scan(t, s.dirs...).Snapshots[0]
	sn.Partial = true
	j := Judge{Settle: time.Second, Patience: time.Minute}
	now := time.Unix(0, 0)
	for range 5 {
		if v := j.Snapshot(sn, now); v.State != Waiting {
			t.Errorf("%+v", v)
		}
		now = now.Add(time.Hour)
	}
	sn.Partial = false
	if v := j.Snapshot(sn, now); v.State != Ready || v.SchemaCQL != "CREATE TABLE" {
		t.Errorf("%+v", v)
	}
	sn.Partial = true
	if v := j.Snapshot(sn, now); v.State != Waiting {
		t.Errorf("partial again: %+v", v)
	}
}

// Where nothing has changed for long, by the files' times, a snapshot that proves that it is linked needs no
// second look, unless there is something in backups/. What it lacks is waited for all the same.
func TestJudgeQuiet(t *testing.T) {
	const tag = "data1/ks/t/snapshots/tag"
	s := newScript(t, false)
	s.run("create", []string{"data1/ks/t/nb-1-big"})
	f := func(what string, quiet time.Duration, want State) {
		t.Helper()
		l := scan(t, s.dirs...)
		l.Quiet = quiet
		j := Judge{Settle: time.Second, Patience: time.Minute}
		j.Listed(l)
		if v := j.Snapshot(l.Snapshots[0], time.Unix(0, 0)); v.State != want {
			t.Errorf("%s: %+v, want %s", what, v, want)
		}
		for _, set := range l.Backups {
			if v := j.Backup(set, time.Unix(0, 0)); v.State != Waiting {
				t.Errorf("%s: a set in backups/: %+v", what, v)
			}
		}
	}
	s.run("link", []string{"data1/ks/t/nb-1-big", tag})
	f("no manifest.json", time.Hour, Waiting)
	s.run("write", []string{tag + "/manifest.json", `{"files":["nb-1-big-Data.db"]}`})
	f("no schema.cql", time.Hour, Waiting)
	s.run("write", []string{tag + "/schema.cql", "CREATE TABLE"})
	f("whole", 2*time.Second, Ready)
	f("changed just now", 2*time.Second-1, Waiting)
	f("a clock that was set back", -time.Hour, Waiting)
	s.run("link", []string{"data1/ks/t/nb-1-big", "data2/ks/t/backups"})
	f("beside a set in backups/", time.Hour, Waiting)
	s.run("remove", []string{"data2/ks/t/backups"})
	s.run("remove", []string{tag + "/nb-1-big-TOC.txt"})
	f("a set without TOC.txt", time.Hour, Waiting)
	s.run("link", []string{"data1/ks/t/nb-1-big", tag, "TOC.txt"})
	s.run("remove", []string{tag + "/nb-1-big-Filter.db"})
	f("a set without what TOC.txt lists", time.Hour, Waiting)
	s.run("link", []string{"data1/ks/t/nb-1-big", tag, "Filter.db"})
	s.run("write", []string{tag + "/manifest.json", `{"files":["nb-1-big-Data.db","nb-2-big-Data.db"]}`})
	f("no set that manifest.json names", time.Hour, Waiting)
}

// 4.1+ say when a snapshot was taken, for all tables of a command alike.
func TestJudgeSnapshotTimes(t *testing.T) {
	s := newScript(t, false)
	s.run("write", []string{"data1/ks/t/snapshots/tag/manifest.json",
		`{"files":[],"created_at":"2026-11-21T09:05:35.989Z","expires_at":"2026-11-22T09:05:35.989Z"}`})
	s.run("write", []string{"data2/ks/t/snapshots/tag/manifest.json", `{"files":[],"created_at":"2026-11-21T09:05:35.989Z","expires_at":null}`})
	s.run("write", []string{"data2/ks/t/snapshots/tag/schema.cql", "CREATE TABLE"})
	sn := scan(t, s.dirs...).Snapshots[0]
	j := Judge{Patience: time.Minute}
	v := j.Snapshot(sn, time.Unix(0, 0))
	want := time.Date(2026, 11, 21, 9, 5, 35, 989e6, time.UTC)
	if v.State != Ready || !v.CreatedAt.Equal(want) {
		t.Errorf("%+v, want created at %s", v, want)
	}
}
