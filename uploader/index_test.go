package uploader

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// Index.db goes into the frames of Data.db, and comes back whatever it holds.
func TestI6_IndexGoesWithItsRows(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	n.Level = chunker.Balanced
	r := rand.New(rand.NewPCG(1, 2))
	f := func(name string, want map[chunker.Transform]int, change func(index []byte) []byte) {
		t.Helper()
		for _, variant := range []string{"wide", "users"} {
			content := n.components("5.0.8-nb", variant)
			content[sstable.Index] = change(slices.Clone(content[sstable.Index]))
			set := n.write(table(variant), fmt.Sprintf("nb-%d-big", len(n.content)), content)
			_, err := n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: []sstable.SSTable{set}})
			n.must(err)
			n.wantStored(set)
			if got := n.transforms(set, sstable.Index); want != nil && !maps.Equal(got, want) {
				t.Errorf("%s, %s: frames %v, want %v", variant, name, got, want)
			}
		}
	}
	made := map[chunker.Transform]int{chunker.Index: 1}
	plain := map[chunker.Transform]int{chunker.None: 1}
	both := map[chunker.Transform]int{chunker.Index: 1, chunker.None: 1}
	f("as it is", made, func(b []byte) []byte { return b })
	f("one key with another bit", made, func(b []byte) []byte { b[3] ^= 1; return b })
	f("without its last byte", both, func(b []byte) []byte { return b[:len(b)-1] })
	f("something behind", both, func(b []byte) []byte { return append(b, 9) })
	f("nothing in it", map[chunker.Transform]int{}, func([]byte) []byte { return nil })
	f("zeros", both, func(b []byte) []byte { clear(b); return b })
	f("a key beyond its end", plain, func(b []byte) []byte { b[0] = 0xff; return b[:100] })
	for range 20 {
		f("a flipped bit", nil, func(b []byte) []byte { b[r.IntN(len(b))] ^= 1 << r.IntN(8); return b })
		f("cut short", nil, func(b []byte) []byte { return b[:r.IntN(len(b))] })
	}
}

// Frames that share their bytes stay side by side, in a bundle, in a set of its own, and where an SSTable
// turns out to need one.
func TestSharedFramesStayTogether(t *testing.T) {
	for _, frames := range []int{1, 3, 6, 20} {
		n := newNode(t, &buckettest.Memory{})
		b, err := n.newBatch(context.Background())
		n.must(err)
		s := &spill{batch: b, label: "x"}
		for i, component := range []string{sstable.Data, sstable.Index} {
			s.expect(&file{File: sstable.File{Component: component}}, i)
		}
		data := make([]byte, 2<<20)
		var want [][]byte
		for i := range frames {
			n.random.Read(data)
			want = append(want, bytes.Clone(data))
			n.must(s.take(&s.parts[0], chunker.Frame{Transform: chunker.Indexed, Raw: 1, Data: data}))
			if i%3 != 2 { // some frames have no partitions
				n.must(s.take(&s.parts[1], chunker.Frame{Transform: chunker.Index, Raw: 1, Data: data}))
			}
		}
		components := make([]manifest.Component, 2)
		n.must(s.finish(components))
		if b.bundle != nil {
			n.must(b.bundle.send())
		}
		n.must(b.sending.Wait())
		set := b.keeps[components[0].Set].Set
		rows, err := n.frames(set, components[0].List)
		n.must(err)
		index, err := n.frames(set, components[1].List)
		n.must(err)
		for i, f := range rows {
			if !bytes.Equal(f.Data, want[i]) {
				t.Errorf("%d frames: the rows of frame %d are others", frames, i)
			}
			if i%3 == 2 {
				continue
			}
			if !bytes.Equal(index[0].Data, want[i]) || index[0].Transform != chunker.Index {
				t.Errorf("%d frames: the index of frame %d is another", frames, i)
			}
			index = index[1:]
		}
		if _, stored := n.objects("packs/"); stored > int64(frames)<<21+10000 || len(index) > 0 || len(rows) != frames {
			t.Errorf("%d frames: %d bytes are stored, %d frames of rows, %d too many of the index", frames, stored, len(rows), len(index))
		}
		b.close()
	}
}
