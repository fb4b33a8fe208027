package watcher

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// The scripts in testdata/scripts say what a node does, command by command, and
// after Output: what each scan and judgement makes of it. Every script runs twice,
// with file events and with all of them dropped, and must come out the same (I7).
//
//	create  <dir>/<stem> [component…]         a live SSTable, of all components or these
//	link    <dir>/<stem> <dir> [component…]   hard-link it, in the order given
//	write   <path> [text]                     in place, as Cassandra writes manifest.json
//	remove  <path>…
//	mkdir   <path>
//	symlink <target> <path>
//	advance <duration>                        the clock that the Judge is told
//	hint                                      wait for one; without events there is none to wait for
//	scan                                      print all verdicts
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/scripts/*")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts %v, %v", scripts, err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		commands, want, ok := strings.Cut(string(text), "\nOutput:\n")
		if !ok {
			t.Fatalf("%s has no Output:", path)
		}
		for _, events := range []bool{true, false} {
			name := map[bool]string{true: "/events", false: "/drop-events"}[events]
			t.Run(filepath.Base(path)+name, func(t *testing.T) {
				s := newScript(t, events)
				for line := range strings.Lines(commands) {
					line, _, _ = strings.Cut(line, "#")
					if words := strings.Fields(line); len(words) > 0 {
						s.run(words[0], words[1:])
					}
				}
				if got := s.out.String(); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

type script struct {
	t     *testing.T
	root  string
	dirs  []string
	watch *Watcher // nil: events are dropped
	judge Judge
	clock time.Duration
	out   strings.Builder
}

func newScript(t *testing.T, events bool) *script {
	root := t.TempDir()
	s := &script{t: t, root: root, judge: Judge{Settle: time.Second, Patience: time.Minute}}
	for _, dir := range []string{"data1", "data2"} {
		s.dirs = append(s.dirs, filepath.Join(root, dir))
		touch(t, root, dir+"/")
	}
	if events {
		var err error
		if s.watch, err = newWatcher(s.dirs, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.watch.Close() })
	}
	return s
}

func (s *script) run(command string, args []string) {
	s.t.Helper()
	path := func(i int) string { return filepath.Join(s.root, args[i]) }
	var err error
	switch command {
	case "create":
		s.create(path(0), args[1:])
	case "link":
		s.link(path(0), path(1), args[2:])
	case "write":
		touch(s.t, s.root, args[0])
		err = os.WriteFile(path(0), []byte(strings.Join(args[1:], " ")), 0o644)
	case "remove":
		for i := range args {
			err = os.RemoveAll(path(i))
		}
	case "mkdir":
		touch(s.t, s.root, args[0]+"/")
	case "symlink":
		err = os.Symlink(args[0], path(1))
	case "advance":
		var d time.Duration
		d, err = time.ParseDuration(args[0])
		s.clock += d
	case "hint":
		err = s.hint()
	case "scan":
		s.scan()
	default:
		err = fmt.Errorf("no such command")
	}
	if err != nil {
		s.t.Fatalf("%s %v: %v", command, args, err)
	}
}

func (s *script) hint() error {
	if s.watch == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s.watch.Wait(ctx)
}

func (s *script) create(path string, components []string) {
	if len(components) == 0 {
		components = []string{sstable.Data, sstable.Index, sstable.Statistics, sstable.CompressionInfo, sstable.Filter, sstable.TOC}
	}
	touch(s.t, "/", filepath.Dir(path)+"/")
	for _, c := range components {
		content := []byte(c)
		switch c {
		case sstable.Data:
			content = make([]byte, 100)
		case sstable.CompressionInfo:
			content = compressionInfo()
		case sstable.TOC:
			content = []byte(strings.Join(components, "\n"))
		}
		if err := os.WriteFile(path+"-"+c, content, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

// compressionInfo describes, for nb, two chunks in 51 to 100 bytes of Data.db.
func compressionInfo() []byte {
	b := append([]byte{0, 13}, "LZ4Compressor"...)
	for _, v := range []uint32{0, 16384, 1<<31 - 1} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, 20000)
	b = binary.BigEndian.AppendUint32(b, 2)
	b = binary.BigEndian.AppendUint64(b, 0)
	return binary.BigEndian.AppendUint64(b, 46)
}

func (s *script) link(from, dir string, components []string) {
	touch(s.t, "/", dir+"/")
	if len(components) == 0 {
		all, err := filepath.Glob(from + "-*")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, file := range all {
			components = append(components, strings.TrimPrefix(file, from+"-"))
		}
	}
	for _, c := range components {
		if err := os.Link(from+"-"+c, filepath.Join(dir, filepath.Base(from)+"-"+c)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// scan prints, each on its line, what it finds in the order of the listing.
func (s *script) scan() {
	l := scan(s.t, s.dirs...)
	if s.watch != nil {
		if err := s.watch.Follow(l); err != nil {
			s.t.Fatal(err)
		}
	}
	now := time.Unix(1e9, 0).Add(s.clock)
	fmt.Fprintf(&s.out, "%s:\n", s.clock)
	print := func(what string, v Verdict) {
		line := fmt.Sprintf("  %-11s %s", v.State, what)
		if v.Why != "" {
			line += ": " + v.Why
		}
		if v.State == Ready && len(v.Missing) > 0 {
			line += " without " + strings.Join(v.Missing, ", ")
		}
		if v.Ephemeral {
			line += " (ephemeral)"
		}
		fmt.Fprintln(&s.out, strings.ReplaceAll(line, s.root+"/", ""))
	}
	for _, set := range l.Backups {
		print(places(s.root, []sstable.SSTable{set})[0], s.judge.Backup(set, now))
	}
	for _, sn := range l.Snapshots {
		print(sn.key(), s.judge.Snapshot(sn, now))
	}
	for _, u := range relative(s.root, l.Unknown) {
		fmt.Fprintf(&s.out, "  %-11s %s\n", "unknown", u)
	}
	for _, e := range slices.Clone(l.Errors) {
		fmt.Fprintf(&s.out, "  %-11s %s\n", "error", strings.ReplaceAll(e.Error(), s.root+"/", ""))
	}
}
