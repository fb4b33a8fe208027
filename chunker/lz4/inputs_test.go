package lz4_test

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Kinds of raw bytes, each of any length.
var kinds = map[string]func(r *rand.Rand, n int) []byte{
	"random": random,
	"rows":   rows,
	"echoes": echoes,
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

// rows looks like what a table of measurements holds: keys, times, numbers, words.
func rows(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+64)
	for at := uint64(1_700_000_000_000_000); len(b) < n; at += r.Uint64N(5000) {
		b = binary.BigEndian.AppendUint64(b, r.Uint64N(1000))
		b = binary.BigEndian.AppendUint64(b, at)
		b = binary.BigEndian.AppendUint32(b, r.Uint32N(100_000))
		if r.Uint32N(4) == 0 {
			b = fmt.Appendf(b, "sensor %d of room %d", r.Uint32N(500), r.Uint32N(20))
		}
	}
	return b[:n]
}

// echoes is made of runs of few distinct bytes, and of pieces of what came before.
func echoes(r *rand.Rand, n int) []byte {
	distinct := 1 + r.Uint32N(256)>>r.Uint32N(9)
	b := make([]byte, 0, n)
	for len(b) < n {
		k := min(1+int(r.Uint32N(1<<(1+r.Uint32N(10)))), n-len(b))
		if len(b) > 0 && r.Uint32N(2) == 0 {
			for from := r.IntN(len(b)); k > 0; k-- {
				b = append(b, b[from])
				from++
			}
		}
		for ; k > 0; k-- {
			b = append(b, byte(r.Uint32N(distinct)))
		}
	}
	return b
}

// sources is the text of this module.
func sources(t testing.TB) []byte {
	t.Helper()
	var text []byte
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		b, err := os.ReadFile(path)
		text = append(text, b...)
		return err
	})
	if err != nil || len(text) < 1<<20 {
		t.Fatalf("read the module's sources: %d bytes, %v", len(text), err)
	}
	return text
}

// inputs returns always the same n inputs: of every kind, and pieces of the given
// texts; of every length that a rule of the encoder begins or ends with.
func inputs(n int, texts ...[]byte) [][]byte {
	edges := []int{65_535, 65_536, 65_537, 65_545, 65_546, 65_547, 65_548, 4 << 10, 16 << 10, 32 << 10, 128 << 10, 256 << 10}
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, n)
	for i := range all {
		size := r.IntN(2 << 10)
		switch {
		case i%2 == 0:
			size = r.IntN(64)
		case i%50 == 1:
			size = r.IntN(64 << 10)
		case i%300 == 3:
			size = edges[i/300%len(edges)]
		case i%600 == 7:
			size = r.IntN(256 << 10)
		}
		switch k := r.IntN(5); {
		case k == 0:
			all[i] = rows(r, size)
		case k == 1:
			all[i] = echoes(r, size)
		case k == 2 && i%4 == 0:
			all[i] = random(r, size)
		default:
			text := texts[r.IntN(len(texts))]
			at := r.IntN(len(text) - size)
			all[i] = text[at : at+size]
		}
	}
	return all
}
