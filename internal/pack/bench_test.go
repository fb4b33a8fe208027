package pack_test

import (
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

// fillPack writes a pack of 16 MiB in frames of the given size.
func fillPack(b *testing.B, frame chunker.Frame, buf []byte) []byte {
	w := pack.NewWriter(set, 0, buf)
	for w.Size() < 16<<20 {
		ref := w.Add(frame)
		w.AddList("shop/orders-5a1c/nb-1-big-Data.db", []pack.FrameRef{ref})
	}
	object, _ := finish(b, w)
	return object
}

func BenchmarkWriter(b *testing.B) {
	for name, size := range map[string]int{"1MiB": 1 << 20, "4KiB": 4 << 10} {
		b.Run(name, func(b *testing.B) {
			data := noise(size)
			frame := chunker.Frame{Raw: uint32(size), Hash: chunker.Sum(data), Data: data}
			buf := fillPack(b, frame, nil)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = fillPack(b, frame, buf)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, size := range map[string]int{"1MiB": 1 << 20, "4KiB": 4 << 10} {
		b.Run(name, func(b *testing.B) {
			data := noise(size)
			object := fillPack(b, chunker.Frame{Raw: uint32(size), Hash: chunker.Sum(data), Data: data}, nil)
			b.SetBytes(int64(len(object)))
			b.ReportAllocs()
			for b.Loop() {
				open(b, object)
			}
		})
	}
}
