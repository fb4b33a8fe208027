package restore

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// What real nodes of every generation truncated and dropped comes back byte for byte, though all that is
// left of it is a tree that was copied later. What is restored from after it holds none of it.
func TestFixturesBeforeCuts(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			f := openFixture(t, variant)
			tree1 := fixtures.DataDirs(fixtures.Unpack(t, variant))
			for _, c := range []struct {
				table Name
				why   manifest.Why
			}{{Name{"shop", "doomed_trunc"}, manifest.Truncated}, {Name{"shop", "doomed_drop"}, manifest.Dropped}} {
				want := finalSet(t, tree1, c.table)
				e, err := FindCut(t.Context(), f.reader, CutSelector{Table: c.table, Why: c.why})
				if err != nil {
					t.Fatal(err)
				}
				s, err := Select(t.Context(), f.reader, Selector{})
				if err != nil {
					t.Fatal(err)
				}
				p, err := Build(s, prefix, Request{To: t.TempDir(), Before: &e, Now: time.Now()})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := (&Stager{Bucket: f.reader.Bucket}).Stage(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				equal(t, p.To, want)
				for _, st := range s.Chain(e.Table).SSTables {
					for _, c := range st.Components {
						if b, ok := want[filepath.Join(e.Table.Keyspace, e.Table.Dir(), st.Index, st.Stem+"-"+c.Name)]; ok && c.Name == sstable.Data && int64(len(b)) == c.Size {
							t.Errorf("%s: %s-%s is in the chain after it", e.Table.Dir(), st.Stem, c.Name)
						}
					}
				}
			}
		})
	}
}

// finalSet are the files of the auto snapshot of a table, by the paths that a restore gives them.
func finalSet(t *testing.T, dataDirs []string, n Name) map[string][]byte {
	t.Helper()
	want := map[string][]byte{}
	for _, data := range dataDirs {
		err := filepath.WalkDir(data, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, _ := filepath.Rel(data, name)
			parts := strings.Split(rel, string(filepath.Separator))
			if len(parts) < 5 || parts[0] != n.Keyspace || parts[2] != "snapshots" {
				return nil
			}
			table, _ := sstable.ParseTableDir(parts[0], parts[1])
			_, auto := sstable.ParseAutoTag(parts[3], table)
			if _, ok := sstable.ParseName(d.Name()); !ok || !auto || table.Name != n.Table {
				return nil
			}
			b, err := os.ReadFile(name)
			want[filepath.Join(append([]string{parts[0], parts[1]}, parts[4:]...)...)] = b
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(want) < 5 {
		t.Fatalf("%s: the tree has %d files of its auto snapshot", n, len(want))
	}
	return want
}
