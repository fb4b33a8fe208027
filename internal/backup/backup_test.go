package backup

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// What real nodes of every generation left behind, indexes, odd names and all, is stored whole: every
// file of every set in backups/ and in snapshots is in the bucket, byte by byte.
func TestFixtureTreesAreStoredWhole(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, t.TempDir(), newClock(), nil, 0)
			db.dirs = fixtures.DataDirs(fixtures.Unpack(t, variant))
			w := newWorld(t, newMemory(), db)
			w.prune = false
			w.open()
			w.node.Snapshots = nil
			r := w.settle()
			for _, h := range slices.Concat(r.Waiting, r.Quarantined) {
				t.Errorf("%s: %s", h.Path, h.Why)
			}
			sets := r.Scan.Backups
			for _, s := range r.Scan.Snapshots {
				sets = append(sets, s.SSTables...)
			}
			if r.SSTables != len(sets) {
				t.Errorf("stored %d SSTables of %d", r.SSTables, len(sets))
			}
			stored := readArchive(t, w.store).files()
			for _, set := range sets {
				wantStored(t, stored, set)
			}
			t.Logf("%d manifests, %d SSTables, %d bytes in files, %d read, %d stored, %d puts",
				len(r.Manifests), r.SSTables, r.Bytes, r.NewBytes, r.Stored, r.Puts)
		})
	}
}

func wantStored(t *testing.T, stored map[inode]digest, set sstable.SSTable) {
	for _, f := range set.Files {
		path := filepath.Join(set.DataDir, set.Rel(f.Component))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := stored[inode{f.Inode, f.Size, f.Mtime}]; got != sha256.Sum256(b) {
			t.Errorf("what is stored of %s is not what it holds", path)
		}
	}
}
