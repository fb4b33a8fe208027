// Package links is the only code that unlinks, and it unlinks only in backups/ directories: hard
// links that Cassandra made for us to take, and never clears.
//
// A link goes when the very same file is in a durable manifest, or when the operator named it
// superseded (I8). "Very same" is decided again right before each unlink(2): filesystem, inode, size
// and modification time, and for the components that Cassandra may rewrite in place, the content.
// Paths are confined to one backups/ directory by os.Root, so that neither a hostile manifest nor a
// symbolic link leads elsewhere. The directories themselves stay: Cassandra relies on them.
package links

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// ErrNotBackups: the path is not a backups/ directory of a table, so nothing in it may be unlinked.
var ErrNotBackups = errors.New("not a backups/ directory of a table")

// Freed counts what was unlinked.
type Freed struct {
	Files int
	Bytes int64 // of files whose last link this was not, too: see Group.ExclusiveBytes
}

// Kept is a link that was left because it is not the file that the manifest names.
type Kept struct {
	Path string
	Why  string
}

// Prune unlinks the files of set that stored names. It goes on past files that have changed or
// vanished, and returns what it left. The caller holds stored from a durable manifest. Data.db goes
// last: as long as it is there, what an interrupted prune left is recognised as the same SSTable.
func Prune(ctx context.Context, set sstable.SSTable, stored manifest.SSTable) (Freed, []Kept, error) {
	var freed Freed
	var kept []Kept
	if !isBackups(set) {
		return freed, nil, fmt.Errorf("%s: %w", filepath.Join(set.DataDir, set.Dir), ErrNotBackups)
	}
	root, err := descend(set.DataDir, set.Dir)
	if err != nil {
		return freed, nil, fmt.Errorf("open %s: %w", set.Dir, err)
	}
	defer root.Close()
	for _, f := range dataLast(set.Files) {
		if err := ctx.Err(); err != nil {
			return freed, kept, err
		}
		name := set.Stem + "-" + f.Component
		c, ok := stored.Component(f.Component)
		if !ok {
			kept = append(kept, Kept{filepath.Join(set.Dir, name), "no manifest names it"})
			continue
		}
		switch why, err := changed(root, name, c); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return freed, kept, fmt.Errorf("check %s: %w", filepath.Join(set.Dir, name), err)
		case why != "":
			kept = append(kept, Kept{filepath.Join(set.Dir, name), why})
			continue
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, kept, fmt.Errorf("unlink %s: %w", filepath.Join(set.Dir, name), err)
		}
		freed.Files++
		freed.Bytes += c.Size
	}
	return freed, kept, nil
}

// descend opens dir below dataDir and follows no symbolic link on the way: os.Root alone would
// follow those that stay inside, and a backups/ that leads to the live files would cost them.
func descend(dataDir, dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(dir, string(filepath.Separator)) {
		next, err := step(root, name)
		root.Close()
		if err != nil {
			return nil, err
		}
		root = next
	}
	return root, nil
}

func step(root *os.Root, name string) (*os.Root, error) {
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, ErrNotBackups)
	}
	next, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if opened, err := next.Stat("."); err != nil || !os.SameFile(seen, opened) {
		next.Close()
		return nil, fmt.Errorf("%s: %w", name, errors.Join(ErrNotBackups, err))
	}
	return next, nil
}

func dataLast(files []sstable.File) []sstable.File {
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b sstable.File) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return sorted
}

func rank(f sstable.File) int {
	if f.Component == sstable.Data {
		return 1
	}
	return 0
}

// isBackups holds for <keyspace>/<table>/backups and <keyspace>/<table>/backups/.<index>, and for
// nothing else.
func isBackups(set sstable.SSTable) bool {
	want := filepath.Join(set.Table.Keyspace, set.Table.Dir(), "backups", set.Index)
	return set.Dir == want && filepath.IsLocal(set.Dir) && manifest.CheckTable(set.Table) == nil
}

// changed says why the file called name is not c, or nothing when it is.
func changed(root *os.Root, name string, c manifest.Component) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "not a regular file", nil
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	now, err := fileid.Of(f)
	if err != nil {
		return "", err
	}
	if now != c.Fingerprint() {
		return "another file under the same name", nil
	}
	if c.Hash == (chunker.Hash{}) || !sstable.Mutable(c.Name) {
		return "", nil
	}
	h := chunker.NewHasher()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if h.Sum() != c.Hash {
		return "its content has changed", nil
	}
	return "", nil
}
