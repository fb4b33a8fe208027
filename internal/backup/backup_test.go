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
// file of every set in backups/ and in snapshots is in the bucket, byte by byte. None is called damaged.
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
			for _, f := range r.Findings {
				t.Errorf("%s: %s", f.SSTable.Place(), f.Why())
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

// A truncated file holds up neither the snapshot that it is in nor anything else: after a while its SSTable
// is stored as it is, and told of.
func TestI10_TruncatedFilesAreStored(t *testing.T) {
	db := newDatabase(t, t.TempDir(), newClock(), nil, 0)
	db.dirs = fixtures.DataDirs(fixtures.Unpack(t, "5.0.8-nb"))
	w := newWorld(t, newMemory(), db)
	w.prune = false
	w.open()
	w.node.Snapshots = nil
	for _, file := range []string{"c_lz4_4k-*/backups/nb-1-big-Data.db", "wide-*/backups/nb-1-big-CompressionInfo.db"} { // and in a snapshot
		found, err := filepath.Glob(filepath.Join(db.dirs[0], "shop", file))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", file, found, err)
		}
		if err := os.Truncate(found[0], 70); err != nil {
			t.Fatal(err)
		}
	}
	r := w.settle()
	w.clock.advance(2 * w.node.Judge.Patience)
	r = r.Then(w.settle())
	if !r.Complete() {
		t.Errorf("not stored: %v", r.Open())
	}
	if len(r.Damaged) != 4 {
		t.Errorf("damaged are %v, want two sets and two snapshots", r.Damaged)
	}
	stored := readArchive(t, w.store).files()
	for _, set := range r.Scan.Backups {
		wantStored(t, stored, set)
	}
	for _, s := range r.Scan.Snapshots {
		for _, set := range s.SSTables {
			wantStored(t, stored, set)
		}
	}
}
