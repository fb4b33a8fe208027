package restore

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// source is what a data directory has of one table and component.
type source struct {
	keyspace, dir, index, component string
	hash                            chunker.Hash
}

// fixture is a copied tree of a node with a backup of it.
type fixture struct {
	t *testing.T
	// all are the files in snapshots and backups/.
	all map[source]bool
	// newest are the files of each table's newest snapshot, by the path they must have.
	newest map[string]chunker.Hash
	reader *history.Reader
}

func openFixture(t *testing.T, variant string) *fixture {
	t.Helper()
	dirs := fixtures.DataDirs(fixtures.Unpack(t, variant))
	f := &fixture{t: t, all: map[source]bool{}, newest: map[string]chunker.Hash{}}
	for _, dir := range dirs {
		f.read(dir)
	}
	f.reader = &history.Reader{Bucket: &buckettest.Memory{}, Prefix: prefix}
	w, err := history.OpenWriter(t.Context(), *f.reader, history.Identity{Cluster: "prod", HostID: "h"},
		manifest.Body{Writer: &manifest.Writer{}}, history.WriterOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n := &backup.Node{
		DataDirs: dirs, Judge: &watcher.Judge{Patience: time.Minute}, Now: time.Now,
		Uploader: &uploader.Uploader{Bucket: f.reader.Bucket, Prefix: prefix, History: w, Level: chunker.Balanced, Now: time.Now},
	}
	if r, err := n.Pass(t.Context()); err != nil || r.Err() != nil || !r.Complete() {
		t.Fatal(err, r.Err(), r.Open())
	}
	return f
}

// read collects <ks>/<table>/{snapshots/<tag>,backups}/[.<index>/]<file>. The tag "end.1 of day" is
// the newest of those that hold all tables.
func (f *fixture) read(data string) {
	err := filepath.WalkDir(data, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(data, name)
		parts := strings.Split(rel, string(filepath.Separator))
		parsed, ok := sstable.ParseName(d.Name())
		if !ok || parsed.Temporary || len(parts) < 4 || parts[2] != "snapshots" && parts[2] != "backups" {
			return nil
		}
		s := source{keyspace: parts[0], dir: parts[1], component: parsed.Component}
		inner := parts[3:]
		if parts[2] == "snapshots" {
			inner = parts[4:]
		}
		if len(inner) == 2 {
			s.index = inner[0]
		}
		b, err := os.ReadFile(name)
		s.hash = chunker.Sum(b)
		f.all[s] = true
		if parts[2] == "snapshots" && parts[3] == "end.1 of day" {
			f.newest[filepath.Join(s.keyspace, s.dir, s.index, d.Name())] = s.hash
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// What real nodes of every generation wrote comes back byte for byte, and at several points.
func TestFixturesComeBack(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			f := openFixture(t, variant)
			s, err := Select(t.Context(), f.reader, Selector{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Build(s, prefix, Request{To: t.TempDir(), Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (&Stager{Bucket: f.reader.Bucket}).Stage(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			f.compare(tree(t, p.To))
			f.points()
		})
	}
}

func (f *fixture) compare(got map[string][]byte) {
	f.t.Helper()
	if len(f.newest) < 100 || len(got) < len(f.newest) {
		f.t.Errorf("%d files in the newest snapshots, %d restored: too few to compare", len(f.newest), len(got))
	}
	for name, want := range f.newest {
		if b, ok := got[name]; !ok || chunker.Sum(b) != want {
			f.t.Errorf("%s of the newest snapshot is missing or has other contents", name)
		}
	}
	for name, b := range got {
		parts := strings.Split(name, string(filepath.Separator))
		parsed, ok := sstable.ParseName(parts[len(parts)-1])
		s := source{keyspace: parts[0], dir: parts[1], component: parsed.Component, hash: chunker.Sum(b)}
		if len(parts) == 4 {
			s.index = parts[2]
		}
		if !ok || !f.all[s] {
			f.t.Errorf("%s was never there", name)
		}
	}
}

// points checks that each moment between two entries is a point, though the whole tree was stored in
// one pass.
func (f *fixture) points() {
	f.t.Helper()
	newest, err := f.reader.Newest(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	points := 0
	err = f.reader.Each(f.t.Context(), 2, newest, func(m *manifest.Manifest) error {
		s, err := Select(f.t.Context(), f.reader, Selector{At: Until(m)})
		if err == nil && s.Seq() >= m.Seq {
			points++
		}
		return err
	})
	if err != nil || points < 3 {
		f.t.Errorf("%d points, %v", points, err)
	}
}
