package pack_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

var update = flag.Bool("update", false, "write the golden files that don't exist yet")

// golden returns a file of testdata. Files that exist are never rewritten: they
// stand for packs in somebody's bucket. Without -update a missing file fails the
// test; with it, the file is made of what the current code writes.
func golden(t testing.TB, name string, current func() []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	b, err := os.ReadFile(path)
	if *update && errors.Is(err, fs.ErrNotExist) {
		b = current()
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeSpanning makes packs 0 and 1 of a set: the first frame of the first
// component is in pack 0, all else in pack 1.
func writeSpanning(t testing.TB) (objects [2][]byte) {
	t.Helper()
	e := newEncoder(t)
	writers := []*pack.Writer{pack.NewWriter(set, 0, nil), pack.NewWriter(set, 1, nil)}
	next := 0
	for _, c := range components() {
		var frames []pack.FrameRef
		for _, piece := range c.pieces {
			f, err := e.Encode(piece)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, writers[next].Add(f))
			next = 1
		}
		writers[1].AddList(c.label, frames)
	}
	for i, w := range writers {
		objects[i], _ = finish(t, w)
	}
	return objects
}

// writeStored makes a pack whose bytes depend on no compressor.
func writeStored(t testing.TB) []byte {
	t.Helper()
	w := pack.NewWriter(set, 2, nil)
	for _, c := range components() {
		frames := []pack.FrameRef{}
		for _, piece := range c.pieces {
			frames = append(frames, w.Add(chunker.Frame{
				Codec: chunker.Stored, Raw: uint32(len(piece)), Hash: chunker.Sum(piece), Data: piece,
			}))
		}
		w.AddList(c.label, frames)
	}
	object, _ := finish(t, w)
	return object
}

func TestGoldenPacksAreReadForEver(t *testing.T) {
	var packs []*pack.Pack
	for i, name := range []string{"v1/spanning-0.pack", "v1/spanning-1.pack", "v1/stored-2.pack"} {
		p := open(t, golden(t, name, func() []byte {
			if i == 2 {
				return writeStored(t)
			}
			return writeSpanning(t)[i]
		}))
		if p.Set != set || int(p.Number) != i {
			t.Errorf("%s is pack %d of set %s", name, p.Number, p.Set)
		}
		packs = append(packs, p)
	}
	checkComponents(t, packs, packs[1].Lists)
	checkComponents(t, packs, packs[2].Lists)

	// What the files are there for:
	if f := packs[0].Frames; len(f) != 1 || f[0].Codec != chunker.Zstd || len(packs[0].Lists) != 0 {
		t.Error("spanning-0 doesn't hold one compressed frame and no list")
	}
	if f := packs[1].Frames; len(f) != 3 || f[0].Codec != chunker.Zstd || f[1].Codec != chunker.Stored {
		t.Error("spanning-1 doesn't hold three frames, the first compressed, the second stored")
	}
	if l := packs[1].Lists; l[0].Frames[0].Pack != 0 || l[0].Frames[1].Pack != 1 || len(l[2].Frames) != 0 {
		t.Error("spanning-1 doesn't hold the list of a component in both packs and of an empty one")
	}
}

// writeShared makes a pack of which two frames have the same bytes.
func writeShared(t testing.TB) []byte {
	t.Helper()
	w := pack.NewWriter(set, 3, nil)
	data := noise(200)
	frame := chunker.Frame{Raw: 200, Hash: chunker.Sum(data), Data: data}
	all := []pack.FrameRef{w.Add(frame)}
	frame.Transform, frame.Raw = chunker.Index, 20 // which it isn't, but no pack knows
	all = append(all, w.AddShared(frame))
	for i, label := range []string{"shop/orders-5a1c/nb-1-big-Data.db", "shop/orders-5a1c/nb-1-big-Index.db"} {
		w.AddList(label, all[i:i+1])
	}
	object, _ := finish(t, w)
	return object
}

func TestGoldenPackIsWrittenTheSame(t *testing.T) {
	for name, current := range map[string][]byte{"v1/stored-2.pack": writeStored(t), "v2/shared-3.pack": writeShared(t)} {
		if !bytes.Equal(current, golden(t, name, func() []byte { return current })) {
			t.Errorf("the same frames give another pack than %s", name)
		}
	}
}
