package chunker_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
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

// BenchmarkEncodeRows counts bytes of Data.db, as it was compressed with LZ4.
func BenchmarkEncodeRows(b *testing.B) {
	table := goldenTable(b, "nb")
	p := table.pieces(len(table.ends))[0]
	for _, level := range levels {
		b.Run(level.String(), func(b *testing.B) {
			e := newEncoder(b, level)
			b.SetBytes(int64(len(p.Raw)))
			b.ReportAllocs()
			var stored int
			for b.Loop() {
				e.OpenRows(p, table.rows, chunker.RowsState{})
				stored = len(encodeRows(b, e).Data)
			}
			b.ReportMetric(float64(stored)/float64(len(p.Raw)), "stored/raw")
		})
	}
}

func BenchmarkDecodeRows(b *testing.B) {
	table := goldenTable(b, "nb")
	p := table.pieces(len(table.ends))[0]
	for _, schema := range []*columns.Schema{nil, table.rows.Schema} {
		table.rows.Schema = schema
		e := newEncoder(b, chunker.Balanced)
		e.OpenRows(p, table.rows, chunker.RowsState{})
		f := encodeRows(b, e)
		b.Run(f.Transform.String(), func(b *testing.B) {
			d := chunker.NewDecoder()
			var buf []byte
			b.SetBytes(int64(f.Raw))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = d.Decode(buf[:0], f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHeap reports what an encoder, and then a decoder, keeps alive after use: of frames of FrameSize,
// and of rows of RowsSize as well.
func BenchmarkHeap(b *testing.B) {
	inUse := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	held := func(b *testing.B, use func() any) {
		var n float64
		for b.Loop() {
			before := inUse()
			used := use()
			n = inUse() - before
			runtime.KeepAlive(used)
		}
		b.ReportMetric(n, "MiB")
	}
	raws := [][]byte{rows(chunker.FrameSize), skewed(chunker.FrameSize), random(chunker.FrameSize)}
	data, schema := sample(b)
	w := writerOf(schema)
	piece := w.piece(bytes.Repeat(data, chunker.RowsSize/len(data)))
	var frames []chunker.Frame
	for _, level := range levels {
		for _, with := range []string{"frames", "rows"} {
			b.Run(level.String()+"/"+with, func(b *testing.B) {
				held(b, func() any {
					e := newEncoder(b, level)
					for _, raw := range raws {
						encode(b, e, raw)
					}
					if with == "rows" {
						e.OpenRows(piece, w.Rows, chunker.RowsState{})
						f := encodeRows(b, e)
						f.Data = bytes.Clone(f.Data)
						frames = append(frames[:0], f)
					}
					return e
				})
			})
		}
	}
	b.Run("decode", func(b *testing.B) {
		dst := make([]byte, 0, 2*len(piece.Raw))
		held(b, func() any {
			d := chunker.NewDecoder()
			if _, err := d.Decode(dst, frames[0]); err != nil {
				b.Fatal(err)
			}
			return d
		})
	})
	runtime.KeepAlive(raws)
	runtime.KeepAlive(piece)
}
