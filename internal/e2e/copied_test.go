package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/fixtures"
)

// copied is a copied tree of a node, and a bucket for it: a table with an index in two data
// directories, with a snapshot of it, and what was flushed after that.
type copied struct {
	*Sstash
	root   string // the clones are beside it
	dir    string
	bucket string
	data   []string
	// What a backup must not change, and what it unlinks, as it was at first.
	kept, links files
}

// copyTree makes the tree out of what a real node left.
func copyTree(t *testing.T) *copied {
	t.Helper()
	node := fixtures.Unpack(t, "5.0.8-nb")
	root := t.TempDir()
	dir := filepath.Join(root, "template")
	for _, data := range fixtures.DataDirs(node) {
		tables, err := filepath.Glob(filepath.Join(data, "backups", "kv-*"))
		if err != nil || len(tables) != 1 {
			t.Fatalf("%s: tables %v, %v", data, tables, err)
		}
		to := filepath.Join(dir, filepath.Base(data), "backups")
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tables[0], filepath.Join(to, filepath.Base(tables[0]))); err != nil {
			t.Fatal(err)
		}
	}
	c := &copied{Sstash: &Sstash{Binary: program(t)}, root: root, dir: dir}
	c.place()
	for path := range list(t, c.data, backups) {
		_, index, name := parsePath(below(path, c.data...))
		// One set of the table and one of its index, both of after the snapshot, keep the tests short.
		if keep := index == "" && name.ID == "3" || index != "" && name.ID == "2"; !keep {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// place sets what follows from the directory.
func (c *copied) place() {
	c.data = []string{filepath.Join(c.dir, "data1"), filepath.Join(c.dir, "data2")}
	c.bucket = "file://" + filepath.Join(c.dir, "bucket")
	c.Config = filepath.Join(c.dir, "sstash.yaml")
}

// clone copies the tree, hard links and times included, and configures sstash for the copy.
func (c *copied) clone(t *testing.T, name string) *copied {
	t.Helper()
	n := &copied{Sstash: &Sstash{Binary: c.Binary}, root: c.root, dir: filepath.Join(c.root, name)}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", c.dir, n.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	n.place()
	if err := n.look(); err != nil {
		t.Fatal(err)
	}
	if len(n.kept) == 0 || len(n.links) == 0 {
		t.Fatalf("%s holds %d files and %d links", n.dir, len(n.kept), len(n.links))
	}
	yaml := fmt.Sprintf(`cluster: copied
bucket: %s
cassandra: {data_directories: [%s], host_id: 1c380315-1f6e-4a5c-9d3e-0c5a2c6f8a01}
state: %s
listen: ""
commit_every: 1s
watch: {settle: 100ms, patience: 5s, rescan: 1s}
`, n.bucket, strings.Join(n.data, ", "), filepath.Join(n.dir, "state"))
	if err := os.WriteFile(n.Config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// look takes what is there for what must stay, or may be unlinked.
func (c *copied) look() (err error) {
	if c.links, err = readFiles(c.data, backups); err != nil {
		return err
	}
	c.kept = files{}
	for _, k := range []kind{live, snapshot} {
		found, err := readFiles(c.data, k)
		if err != nil {
			return err
		}
		for path, f := range found {
			if !ownSnapshot(path) {
				c.kept[path] = f
			}
		}
	}
	return nil
}

// ownSnapshot tells whether a file is in a snapshot that sstash took.
func ownSnapshot(path string) bool { return strings.Contains(path, "/snapshots/sstash-") }

// backup makes one, under another command's eyes if there is one.
func (c *copied) backup(ctx context.Context, under ...string) error {
	return c.run(ctx, under, "backup")
}

// run runs a verb, under another command.
func (c *copied) run(ctx context.Context, under []string, args ...string) error {
	argv := slices.Concat(under, []string{c.Binary}, args, []string{"--quiet", "--config", c.Config})
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", args[0], err, out)
	}
	return nil
}

// check looks at the tree and the bucket after a backup, whatever became of it: what is gone from
// backups/ is durable, and nothing else was touched. After one that said that all is well, nothing is
// left there, and the snapshot is durable.
func (c *copied) check(ctx context.Context, well bool) error {
	a := &archive{}
	if _, err := os.Stat(filepath.Join(c.dir, "bucket")); err == nil {
		if a, err = readArchive(ctx, c.bucket); err != nil {
			return err
		}
	}
	left, err := readFiles(c.data, backups)
	if err != nil {
		return err
	}
	for path, was := range c.links {
		if now, there := left[path]; there && now == was {
			if well {
				return fmt.Errorf("%s was left", path)
			}
		} else if there || !a.holds(below(path, c.data...), was.Hash) {
			return fmt.Errorf("%s is gone, or changed, and not durable", path)
		}
	}
	for path, f := range c.kept {
		rel := below(path, c.data...)
		if _, _, name := parsePath(rel); well && kindOf(rel) == snapshot && name.Stem != "" && !a.holds(rel, f.Hash) {
			return fmt.Errorf("%s is not durable", path)
		}
	}
	for _, k := range []kind{live, snapshot} {
		now, err := readFiles(c.data, k)
		if err != nil {
			return err
		}
		for path, f := range now {
			if c.kept[path] != f && !ownSnapshot(path) {
				return fmt.Errorf("%s was changed", path)
			}
		}
		for path := range c.kept {
			if _, there := now[path]; !there && kindOf(below(path, c.data...)) == k {
				return fmt.Errorf("%s is gone", path)
			}
		}
	}
	return nil
}

// converged checks that everything is backed up, and restores it: the contents of the files by path.
func (c *copied) converged(ctx context.Context) (map[string]chunker.Hash, error) {
	if err := c.check(ctx, true); err != nil {
		return nil, err
	}
	to := filepath.Join(c.dir, "restored")
	if err := c.run(ctx, nil, "restore", "--at", "latest", "--to", to); err != nil {
		return nil, err
	}
	contents, ours, err := restoredTo(to)
	if err == nil && len(ours) > 0 {
		err = fmt.Errorf("a restore that succeeded has left %v", ours)
	}
	return contents, err
}

// restoredTo reads a directory restored to: the contents of files by path, and the files that a
// restore has there for itself while it works.
func restoredTo(to string) (contents map[string]chunker.Hash, ours []string, err error) {
	all, err := readFiles([]string{to}, live)
	contents = map[string]chunker.Hash{}
	for path, f := range all {
		if strings.HasPrefix(filepath.Base(path), ".sstash-restore") {
			ours = append(ours, path)
		} else {
			contents[below(path, to)] = f.Hash
		}
	}
	return contents, ours, err
}

// linked are the files in backups/.
func (c *copied) linked() []string { return slices.Sorted(maps.Keys(c.links)) }

// linkedIn are the directories of the files in backups/.
func (c *copied) linkedIn() []string {
	seen := map[string]bool{}
	for path := range c.links {
		seen[filepath.Dir(path)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
