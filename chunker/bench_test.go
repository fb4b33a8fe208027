package chunker_test

import (
	"runtime"
	"testing"

	"github.com/sstash/sstash/chunker"
)

func BenchmarkEncode(b *testing.B) {
	for _, level := range levels {
		for _, kind := range []string{"rows", "skewed", "random"} {
			b.Run(level.String()+"/"+kind, func(b *testing.B) {
				e, raw := newEncoder(b, level), kinds[kind](chunker.FrameSize)
				stored := len(encode(b, e, raw).Data)
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					encode(b, e, raw)
				}
				b.ReportMetric(float64(stored)/float64(len(raw)), "stored/raw")
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, kind := range []string{"rows", "skewed", "random"} {
		b.Run(kind, func(b *testing.B) {
			f := encode(b, newEncoder(b, chunker.Balanced), kinds[kind](chunker.FrameSize))
			d, buf := chunker.NewDecoder(), make([]byte, 0, chunker.FrameSize)
			b.SetBytes(int64(f.Raw))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(buf, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncoderHeap reports what one encoder keeps alive after use.
func BenchmarkEncoderHeap(b *testing.B) {
	inUse := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	for _, level := range levels {
		b.Run(level.String(), func(b *testing.B) {
			raws := [][]byte{rows(chunker.FrameSize), skewed(chunker.FrameSize), random(chunker.FrameSize)}
			var held float64
			for b.Loop() {
				before := inUse()
				e := newEncoder(b, level)
				for _, raw := range raws {
					encode(b, e, raw)
				}
				held = inUse() - before
				runtime.KeepAlive(e)
			}
			runtime.KeepAlive(raws)
			b.ReportMetric(held, "MiB")
		})
	}
}
