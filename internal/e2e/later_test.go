package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// lived is a copied tree whose node goes on: it flushes, compacts, and has a nodetool.
type lived struct {
	*copied
	tables []string // the table's directory in each data directory
	stems  int
	flush  []string // live SSTables that flushes made, by path and stem
}

// nodetoolScript links and removes snapshots of one table, which has these directories.
const nodetoolScript = `set -e
verb=$1 tag=$3 files=
for table in %[1]s; do
	at=$table/snapshots/$tag
	if [ "$verb" = clearsnapshot ]; then rm -rf "$at"; continue; fi
	cd "$table"
	for f in nb-*-big-* .[a-z]*/nb-*-big-*; do
		[ -e "$f" ] || continue
		mkdir -p "$at/$(dirname "$f")"
		ln "$f" "$at/$f"
		case $f in *-Data.db) files="$files${files:+, }\"$f\"" ;; esac
	done
done
if [ "$verb" = clearsnapshot ]; then exit; fi
printf '{"files": [%%s], "created_at": "%%s"}' "$files" "$(date -u +%%Y-%%m-%%dT%%H:%%M:%%S.000Z)" >"$at/manifest.json"
echo 'CREATE TABLE backups.kv' >"$at/schema.cql"
`

// liveOn lets a clone live on, after a first backup.
func liveOn(t *testing.T, c *copied) *lived {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(c.dir, "data?", "backups", "kv-*"))
	if err != nil || len(tables) != 2 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	l := &lived{copied: c, tables: tables, stems: 100}
	script := filepath.Join(c.dir, "nodetool")
	quoted := "'" + strings.Join(tables, "' '") + "'"
	if err := os.WriteFile(script, fmt.Appendf(nil, nodetoolScript, quoted), 0o600); err != nil {
		t.Fatal(err)
	}
	rewrite(t, c.Sstash, "cassandra: {", fmt.Sprintf("cassandra: {nodetool: [/bin/sh, %q], ", script))
	if err := c.backup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// goOn flushes two SSTables, compacts two that were flushed before, and takes what is there then for
// what must stay, or become durable.
func (l *lived) goOn() error {
	for range 2 {
		stem, err := l.write()
		if err != nil {
			return err
		}
		files, err := filepath.Glob(stem + "*")
		for _, f := range files {
			if err == nil {
				err = os.Link(f, filepath.Join(filepath.Dir(f), "backups", filepath.Base(f)))
			}
		}
		if err != nil {
			return err
		}
		l.flush = append(l.flush, stem)
	}
	if len(l.flush) > 2 {
		if _, err := l.write(); err != nil {
			return err
		}
		for _, stem := range l.flush[:2] {
			files, err := filepath.Glob(stem + "*")
			for _, f := range files {
				if err == nil {
					err = os.Remove(f)
				}
			}
			if err != nil {
				return err
			}
		}
		l.flush = l.flush[2:]
	}
	return l.look()
}

// write makes a live SSTable and returns how its paths begin.
func (l *lived) write() (stem string, err error) {
	l.stems++
	stem = filepath.Join(l.tables[l.stems%len(l.tables)], fmt.Sprintf("nb-%d-big-", l.stems))
	for name, content := range map[string][]byte{
		"Data.db": noise(2000), "Index.db": noise(100), "Statistics.db": noise(300), "Filter.db": noise(16), "CRC.db": noise(8),
		"TOC.txt": []byte("CRC.db\nData.db\nIndex.db\nStatistics.db\nFilter.db\nTOC.txt\n"),
	} {
		if err := os.WriteFile(stem+name, content, 0o644); err != nil {
			return "", err
		}
	}
	return stem, nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

// survived lets the node go on, and a backup with a snapshot meet the fault; then another backup.
func (l *lived) survived(ctx context.Context, f fault, n int32) (met bool, err error) {
	if err := l.goOn(); err != nil {
		return false, err
	}
	trace := filepath.Join(l.dir, "trace")
	failed := l.run(ctx, f.detached(l.copied, trace, n), "backup", "--snapshot")
	text, err := os.ReadFile(trace)
	if err != nil {
		return false, err
	}
	met = bytes.Contains(text, []byte("(INJECTED)")) || killed(failed)
	if !met && failed != nil {
		return met, fmt.Errorf("without a fault: %w", failed)
	}
	if err := l.check(ctx, failed == nil); err != nil {
		return met, fmt.Errorf("after the fault (%v): %w", failed, err)
	}
	if err := l.backup(ctx); err != nil {
		return met, fmt.Errorf("the backup after a fault (%v): %w", failed, err)
	}
	if err := l.check(ctx, true); err != nil {
		return met, fmt.Errorf("the backup after a fault (%v): %w", failed, err)
	}
	return met, nil
}

// restores checks that a restore brings back what is live, after one more full.
func (l *lived) restores(ctx context.Context) error {
	if err := l.run(ctx, nil, "backup", "--snapshot"); err != nil {
		return err
	}
	got, err := l.converged(ctx)
	if err != nil {
		return err
	}
	found := map[chunker.Hash]bool{}
	for _, hash := range got {
		found[hash] = true
	}
	for path, f := range l.kept {
		if kindOf(below(path, l.data...)) == live && !found[f.Hash] {
			return fmt.Errorf("%s was not restored", path)
		}
	}
	return nil
}

// detached is strace without what the program starts.
func (f fault) detached(w *copied, trace string, n int32) []string {
	argv := append(f.strace(w, trace, n), "--detach-on=execve")
	// A filter that nobody listens to any more lets no call through.
	return slices.DeleteFunc(argv, func(arg string) bool { return arg == "--seccomp-bpf" })
}

// The same as TestFileOperationsFail, for a node with a past: there is a history, a cache, a full, and
// links and snapshots to be removed. Each backup of such a life meets the next call's fault.
func TestFileOperationsFailLater(t *testing.T) {
	checkStrace(t)
	template := copyTree(t)
	all := append(faults(), fault{"rename fails", "renameat", eio, nil}, fault{"rename is the last", "renameat", kill, nil})
	for _, f := range all {
		if f.name == "read fails" {
			continue // what is read, and how, is the same the first time
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			l := liveOn(t, template.clone(t, f.name))
			n := int32(1)
			for met := true; met; n++ {
				var err error
				if met, err = l.survived(t.Context(), f, n); err != nil {
					t.Fatalf("call %d: %v", n, err)
				}
			}
			if t.Logf("%d calls", n-2); n == 2 {
				t.Error("there was no such call")
			}
			if err := l.restores(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
