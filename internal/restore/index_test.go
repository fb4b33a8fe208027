package restore

import (
	"bytes"
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

// newestPlan restores all of a fixture's newest point to a new directory.
func (f *fixture) newestPlan() *Plan {
	f.t.Helper()
	s, err := Select(f.t.Context(), f.reader, Selector{})
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := Build(s, prefix, Request{To: f.t.TempDir(), Now: time.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// indexed are the targets of each Index.db that is made of its Data.db, with the first frame of it.
func (f *fixture) indexed(p *Plan) map[*target]pack.FrameRef {
	f.t.Helper()
	var all []*target
	for i, t := range p.Tables {
		all = append(all, p.targets(i, t.Dir(), t.every())...)
	}
	lists, err := newFetcher(f.reader.Bucket, prefix, 6).lists(f.t.Context(), all)
	if err != nil {
		f.t.Fatal(err)
	}
	found := map[*target]pack.FrameRef{}
	for t, l := range lists {
		if t.Name == sstable.Index && len(l.frames) > 0 && l.frames[0].Transform == chunker.Index {
			found[t] = l.frames[0]
		}
	}
	if len(found) < 20 {
		f.t.Fatalf("only %d files", len(found))
	}
	return found
}

// An Index.db that is in the frames of its Data.db comes with them, and without them if it alone is missing.
func TestIndexComesWithItsRows(t *testing.T) {
	f := openFixture(t, "5.0.8-nb")
	p := f.newestPlan()
	s := &Stager{Bucket: f.reader.Bucket}
	r, err := s.Stage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	f.compare(tree(t, p.To))
	shared := int64(0)
	for _, frame := range f.indexed(p) {
		shared += int64(frame.Len)
	}
	if r.BytesFetched > p.FetchBytes+shared/2 {
		t.Errorf("fetched %d bytes of about %d, of which %d twice", r.BytesFetched, p.FetchBytes, shared)
	}
	for _, component := range []string{sstable.Index, sstable.Data} {
		kept := p.Bytes
		for _, table := range p.Tables {
			for _, sst := range table.SSTables {
				file, ok := sst.File(component)
				if !ok {
					continue
				}
				kept -= file.Size
				remove(t, path.Join(p.To, table.Dir(), sst.Path(component)))
			}
		}
		r, err := s.Stage(t.Context(), p)
		if err != nil || r.BytesKept != kept {
			t.Errorf("without any %s: kept %d bytes of %d: %v", component, r.BytesKept, kept, err)
		}
		f.compare(tree(t, p.To))
	}
}

// What damages the rows damages the index that is in the same frame, and nothing else.
func TestI6_DamagedIndex(t *testing.T) {
	f := openFixture(t, "5.0.8-nb")
	p := f.newestPlan()
	w := &world{t: t, bucket: f.reader.Bucket}
	for target, frame := range f.indexed(p) {
		name := prefix + pack.Name(target.set.ID, frame.Pack)
		object := w.read(name)
		bad := bytes.Clone(object)
		clear(bad[frame.Off:][:frame.Len])
		w.replace(name, bad)
		r, err := (&Stager{Bucket: f.reader.Bucket}).Stage(t.Context(), p)
		if !errors.Is(err, ErrIncomplete) || len(r.Damaged) != 2 {
			t.Fatalf("%v: %v", err, r.Damaged)
		}
		stem := strings.TrimSuffix(target.sstable.Path(target.Name), sstable.Index)
		for i, component := range []string{sstable.Data, sstable.Index} {
			if d := r.Damaged[i]; d.File != stem+component || d.Object != name {
				t.Errorf("%s in %s is damaged, want %s in %s", d.File, d.Object, stem+component, name)
			}
		}
		w.replace(name, object)
		if _, err := (&Stager{Bucket: f.reader.Bucket}).Stage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		f.compare(tree(t, p.To))
		return // any of them
	}
}
