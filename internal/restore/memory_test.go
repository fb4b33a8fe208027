package restore

import (
	"runtime"
	"slices"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/dir"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// large stores an SSTable whose Data.db has n MiB that don't compress: the same frame again and again,
// in packs of 16.
func (w *world) large(n int) {
	w.t.Helper()
	raw := make([]byte, chunker.FrameSize)
	for i, b := range content(1, len(raw)) {
		raw[i] = b * 0x9d
	}
	frame := chunker.Frame{Codec: chunker.Stored, Raw: uint32(len(raw)), Hash: chunker.Sum(raw), Data: raw}
	keep := manifest.Keep{Set: pack.NewSetID()}
	c := manifest.Component{Name: sstable.Data, Size: int64(n) << 20}
	hash := chunker.NewHasher()
	var refs []pack.FrameRef
	for part := range slices.Chunk(make([]struct{}, n), 16) {
		writer := pack.NewWriter(keep.Set, keep.Packs, nil)
		for range part {
			hash.Write(raw)
			refs = append(refs, writer.Add(frame))
		}
		if len(refs) == n {
			writer.AddList("x", refs)
		}
		object, lists, err := writer.Finish()
		if err != nil {
			w.t.Fatal(err)
		}
		if len(lists) > 0 {
			c.List = lists[0]
		}
		w.put(prefix+pack.Name(keep.Set, keep.Packs), object)
		keep.Packs++
		keep.Bytes += int64(len(object))
	}
	c.Hash = hash.Sum()
	w.commit(manifest.Full, manifest.Body{
		Full: &manifest.FullPart{Tag: "t", All: true, Last: true},
		Tables: []manifest.Table{{Table: orders, Base: &manifest.Base{ID: "t", Complete: true}, SSTables: []manifest.SSTable{{
			Stem: "nb-1-big", Components: []manifest.Component{c},
		}}}},
	}, keep)
}

// However large an SSTable is, a restore of it takes less than 100 MiB.
func TestStageMemory(t *testing.T) {
	w := newWorld(t)
	b, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.bucket = b
	w.large(160)
	var peak uint64
	s := &Stager{Bucket: b, Progress: func(Progress) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}}
	p := w.plan(Request{To: t.TempDir()})
	runtime.GC()
	if _, err := s.Stage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if peak > 100<<20 {
		t.Errorf("%d MiB of heap", peak>>20)
	}
	t.Logf("%d MiB of heap at most", peak>>20)
}
