package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/manifest"
)

// guard stands before the bucket and watches: nothing is overwritten or deleted (I1, I3), what a
// manifest names is there first (I2), and a link that is gone is in a manifest that is there (I8).
type guard struct {
	bucket.Bucket
	w       *world
	mu      sync.Mutex
	durable map[inode]bool   // files whose content some manifest names
	pruned  map[inode]string // what was unlinked, and where it was
	// committed is called when a manifest is durable.
	committed func()
}

func (g *guard) Put(ctx context.Context, name string, data []byte) error {
	if !strings.HasPrefix(name, prefix+"manifests/") {
		return g.Bucket.Put(ctx, name, data)
	}
	g.verify()
	m, err := manifest.Decode(data)
	if err != nil {
		g.w.t.Errorf("put %s: %v", name, err)
		return err
	}
	for _, pack := range packNames(m) {
		if _, err := g.Bucket.Get(ctx, pack, 0, 0); err != nil {
			g.w.t.Errorf("I2: put %s before %s is durable: %v", name, pack, err)
		}
	}
	if err := g.Bucket.Put(ctx, name, data); err != nil {
		return err
	}
	g.note(m)
	g.committed()
	return nil
}

func (g *guard) note(m *manifest.Manifest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range m.Body.Tables {
		for _, s := range t.SSTables {
			for _, c := range s.Components {
				g.durable[inode{c.Inode, c.Size, c.Mtime}] = true
			}
		}
	}
}

func (g *guard) Delete(_ context.Context, name string) error {
	g.w.t.Errorf("I3: %s is deleted", name)
	return nil
}

// verify compares the data directories with what the database left there.
func (g *guard) verify() {
	db := g.w.db
	db.mu.Lock()
	defer db.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, id := range db.paths {
		if !strings.Contains(path, "/backups/") || path == db.away {
			continue
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !g.durable[id] {
			g.w.t.Errorf("I8: %s was unlinked and no manifest has it", path)
		}
		g.pruned[id] = path
		delete(db.paths, path)
	}
}

// verifyTree walks everything: what is not a pruned link is as the database left it.
func (g *guard) verifyTree() {
	g.verify()
	db := g.w.db
	db.mu.Lock()
	defer db.mu.Unlock()
	links := map[uint64]uint64{}
	for _, id := range db.paths {
		links[id.number]++
	}
	seen := 0
	for _, dir := range db.dirs {
		db.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			seen++
			id, n, err := lstat(path)
			if want, ok := db.paths[path]; err != nil || !ok || id != want || n != links[id.number] {
				g.w.t.Errorf("I8: %s is %v with %d links, want %v with %d (%v)", path, id, n, want, links[id.number], err)
			}
			return nil
		}))
		for _, tb := range db.tables {
			if _, err := os.Stat(filepath.Join(dir, tb.Keyspace, tb.Dir(), "backups")); err != nil {
				g.w.t.Errorf("I8: %v", err)
			}
		}
	}
	if seen != len(db.paths) {
		g.w.t.Errorf("I8: %d files of %d are left", seen, len(db.paths))
	}
}

func lstat(path string) (inode, uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return inode{}, 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return inode{st.Ino, st.Size, st.Mtim.Nano()}, uint64(st.Nlink), nil
}

func packNames(m *manifest.Manifest) (names []string) {
	for _, k := range m.Keeps {
		for n := range k.Packs {
			names = append(names, packName(k.Set, n))
		}
	}
	slices.Sort(names)
	return names
}
