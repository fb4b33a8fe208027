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

// Prune unlinks the files of set that stored names, all or none: a set of which a file has changed is
// not what is stored any more, and what would be left of it no scan would take for an SSTable. It
// returns what is not as stored says. The caller holds stored from a durable manifest. Data.db goes
// last: as long as it is there, what an interrupted prune left is recognised as the same SSTable.
func Prune(ctx context.Context, set sstable.SSTable, stored manifest.SSTable) (Freed, []Kept, error) {
	if !isBackups(set) {
		return Freed{}, nil, fmt.Errorf("%s: %w", filepath.Join(set.DataDir, set.Dir), ErrNotBackups)
	}
	root, err := descend(set.DataDir, set.Dir)
	if err != nil {
		return Freed{}, nil, fmt.Errorf("open %s: %w", set.Dir, err)
	}
	defer root.Close()
	p := pruning{root, set, stored}
	var kept []Kept
	for _, f := range set.Files {
		k, _, err := p.check(ctx, f)
		if err != nil {
			return Freed{}, kept, err
		}
		kept = append(kept, k...)
	}
	if len(kept) > 0 {
		return Freed{}, kept, nil
	}
	return p.unlink(ctx)
}

// pruning is one set being unlinked, with its directory open.
type pruning struct {
	root   *os.Root
	set    sstable.SSTable
	stored manifest.SSTable
}

func (p pruning) unlink(ctx context.Context) (freed Freed, kept []Kept, err error) {
	for _, f := range dataLast(p.set.Files) {
		// Again, for the first look was a while ago.
		kept, there, err := p.check(ctx, f)
		if err != nil || len(kept) > 0 {
			return freed, kept, err
		}
		if !there {
			continue
		}
		name := p.set.Stem + "-" + f.Component
		if err := p.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, nil, fmt.Errorf("unlink %s: %w", filepath.Join(p.set.Dir, name), err)
		}
		freed.Files++
		freed.Bytes += f.Size
	}
	return freed, nil, nil
}

// check returns f if it is not the file that is stored, and else whether it is there.
func (p pruning) check(ctx context.Context, f sstable.File) (kept []Kept, there bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	path := p.set.Rel(f.Component)
	c, ok := p.stored.Component(f.Component)
	if !ok {
		return []Kept{{path, "no manifest names it"}}, true, nil
	}
	switch why, err := changed(p.root, filepath.Base(path), c); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, true, fmt.Errorf("check %s: %w", path, err)
	case why != "":
		return []Kept{{path, why}}, true, nil
	}
	return nil, true, nil
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
