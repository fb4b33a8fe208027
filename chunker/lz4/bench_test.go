package lz4_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sstash/sstash/chunker/lz4"
)

// benchmarks calls f with 64 chunks of each kind and length.
func benchmarks(b *testing.B, f func(b *testing.B, chunks [][]byte)) {
	text := sources(b)
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"text", "rows", "random"} {
		for _, size := range []int{16 << 10, 64 << 10} {
			raw := text
			if kind != "text" {
				raw = kinds[kind](r, 64*size)
			}
			var chunks [][]byte
			for i := range 64 {
				at := i * size % (len(raw) - size + 1)
				chunks = append(chunks, raw[at:at+size])
			}
			b.Run(fmt.Sprintf("%s/%dK", kind, size>>10), func(b *testing.B) { f(b, chunks) })
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	benchmarks(b, func(b *testing.B, chunks [][]byte) {
		var e lz4.Encoder
		var block []byte
		raw, stored := 0, 0
		b.SetBytes(int64(len(chunks[0])))
		for i := 0; b.Loop(); i++ {
			c := chunks[i%len(chunks)]
			block = e.Encode(block[:0], c, lz4.C)
			raw += len(c)
			stored += len(block)
		}
		b.ReportMetric(float64(stored)/float64(raw), "stored/raw")
	})
}

func BenchmarkDecode(b *testing.B) {
	benchmarks(b, func(b *testing.B, chunks [][]byte) {
		var e lz4.Encoder
		blocks := make([][]byte, len(chunks))
		for i, c := range chunks {
			blocks[i] = e.Encode(nil, c, lz4.C)
		}
		var raw []byte
		b.SetBytes(int64(len(chunks[0])))
		for i := 0; b.Loop(); i++ {
			var err error
			if raw, err = lz4.Decode(raw[:0], blocks[i%len(blocks)], len(chunks[0])); err != nil {
				b.Fatal(err)
			}
		}
	})
}
