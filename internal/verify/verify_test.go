package verify

import (
	"math"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/manifest"
)

const prefix = "c/h/"

// What is missing of a pack set is one problem, however many packs a manifest claims that it has.
func TestMissingPacks(t *testing.T) {
	f := func(what string, packs uint32, bytes int64, there []uint32, wantPack uint32, want string) {
		t.Helper()
		b := &buckettest.Memory{}
		reader := history.Reader{Bucket: b, Prefix: prefix}
		w, err := history.OpenWriter(t.Context(), reader, history.Identity{Cluster: "c", HostID: "h"}, manifest.Body{}, history.WriterOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		keep := manifest.Keep{Set: pack.NewSetID(), Packs: packs, Bytes: bytes}
		for _, n := range there {
			if err := b.Put(t.Context(), prefix+pack.Name(keep.Set, n), make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Commit(t.Context(), manifest.Increment, []manifest.Keep{keep}, manifest.Body{}); err != nil {
			t.Fatal(err)
		}
		s := Scrub{Source: &reader}
		if err := s.Shallow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			if len(s.Problems) > 0 {
				t.Errorf("%s: %v", what, s.Problems)
			}
			return
		}
		name := prefix + pack.Name(keep.Set, wantPack)
		if len(s.Problems) != 1 || s.Problems[0].Object != name || s.Problems[0].What != want {
			t.Errorf("%s: %v, want %s: %s", what, s.Problems, name, want)
		}
	}
	f("all are there", 3, 30, []uint32{0, 1, 2}, 0, "")
	f("one and a stray one are there", 1, 10, []uint32{0, 1}, 0, "")
	f("other lengths", 3, 31, []uint32{0, 1, 2}, 0, "the set's 3 packs have 30 bytes, not 31")
	f("the first is missing", 3, 30, []uint32{1, 2}, 0, "missing")
	f("the last is missing", 3, 30, []uint32{0, 1}, 2, "missing")
	f("two are missing", 4, 40, []uint32{0, 2}, 1, "missing, and 1 more of the set's 4 packs")
	f("a set of no packs", 0, 0, nil, 0, "")
	f("a hostile claim", math.MaxUint32, 0, []uint32{0}, 1, "missing, and 4294967293 more of the set's 4294967295 packs")
}
