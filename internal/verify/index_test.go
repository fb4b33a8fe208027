package verify

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// stored is a bucket with the backup of a fixture in columns.
func stored(t *testing.T, variant string) *history.Reader {
	t.Helper()
	reader := &history.Reader{Bucket: &buckettest.Memory{}, Prefix: prefix}
	w, err := history.OpenWriter(t.Context(), *reader, history.Identity{Cluster: "c", HostID: "h"}, manifest.Body{}, history.WriterOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n := &backup.Node{
		DataDirs: fixtures.DataDirs(fixtures.Unpack(t, variant)), Judge: &watcher.Judge{Patience: time.Minute}, Now: time.Now,
		Uploader: &uploader.Uploader{Bucket: reader.Bucket, Prefix: prefix, History: w, Level: chunker.Balanced, Now: time.Now},
	}
	if r, err := n.Pass(t.Context()); err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	return reader
}

// spoilIndexes writes p anew, with its checksums right, but for the first part of Index.db in it, which is now of
// other positions. It gives nil if there is none.
func spoilIndexes(t *testing.T, p *pack.Pack) []byte {
	t.Helper()
	w := pack.NewWriter(p.Set, p.Number, nil)
	spoiled := false
	var last []byte
	for i, ref := range p.Frames {
		f, err := p.Frame(ref)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && ref.SharesWith(p.Frames[i-1]) {
			f.Data = last
			w.AddShared(f)
			continue
		}
		if f.Transform == chunker.Indexed && !spoiled {
			f.Data, spoiled = bytes.Clone(f.Data), true
			f.Data[0] ^= 1
		}
		last = f.Data
		w.Add(f)
	}
	for _, l := range p.Lists {
		w.AddList(l.Label, l.Frames)
	}
	object, _, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if !spoiled {
		return nil
	}
	return object
}

// The parts of Index.db are verified like all other frames, from the pack that they are in.
func TestI6_DeepReadsIndexes(t *testing.T) {
	reader := stored(t, "4.1.10-nb")
	deep := func() []Problem {
		t.Helper()
		s := Scrub{Source: reader}
		if err := s.Shallow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Deep(t.Context(), s.Targets(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		return s.Problems
	}
	if problems := deep(); len(problems) > 0 {
		t.Fatal(problems)
	}
	s := Scrub{Source: reader}
	if err := s.Shallow(t.Context()); err != nil {
		t.Fatal(err)
	}
	spoiled := 0
	for _, target := range s.Targets() {
		object, err := reader.Bucket.Get(t.Context(), target.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pack.Open(object)
		if err != nil {
			t.Fatal(err)
		}
		bad := spoilIndexes(t, p)
		if bad == nil {
			continue
		}
		spoiled++
		for _, o := range [][]byte{bad, object} {
			if err := reader.Bucket.Delete(t.Context(), target.Name); err != nil {
				t.Fatal(err)
			}
			if err := reader.Bucket.Put(t.Context(), target.Name, o); err != nil {
				t.Fatal(err)
			}
			problems := deep()
			found := len(problems) == 1 && problems[0].Object == target.Name && strings.Contains(problems[0].What, "hash is")
			if want := &o[0] == &bad[0]; found != want || !want && len(problems) > 0 {
				t.Errorf("%s: problems %v", filepath.Base(target.Name), problems)
			}
		}
		if spoiled == 3 {
			return
		}
	}
	if spoiled == 0 {
		t.Error("no pack has a part of Index.db")
	}
}
