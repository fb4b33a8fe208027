package chunker_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// zstdFrame builds a frame by RFC 8878: a header with an 8-byte content size
// (none if size < 0, with the largest window instead), then n RLE blocks of
// 128 KiB.
func zstdFrame(size int64, n int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	if size >= 0 {
		b = append(b, 3<<6|1<<5) // 8-byte size, single segment
		b = binary.LittleEndian.AppendUint64(b, uint64(size))
	} else {
		b = append(b, 0, 17<<3) // no size, window 128 MiB
	}
	for i := range n {
		block := uint32(128<<10)<<3 | 1<<1
		if i == n-1 {
			block |= 1
		}
		b = append(b, byte(block), byte(block>>8), byte(block>>16), 'x')
	}
	return b
}

func TestDecodeIsBoundedWhateverTheFrameClaims(t *testing.T) {
	const raw = 1 << 20
	d := chunker.NewDecoder()
	honest := chunker.Frame{Codec: chunker.Zstd, Raw: raw, Data: zstdFrame(raw, 8)}
	honest.Hash = chunker.Sum(fill('x', raw))
	if got, err := d.Decode(nil, honest); err != nil || len(got) != raw {
		t.Fatalf("the frame that these bombs are made of: %d bytes, %v", len(got), err)
	}
	f := func(name string, data []byte) {
		t.Helper()
		bomb := honest
		bomb.Data = data
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.Decode(nil, bomb)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, chunker.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4*raw {
			t.Errorf("%s: allocated %d bytes for %d raw ones", name, got, raw)
		}
	}
	f("more than it says", zstdFrame(raw, 100_000))
	f("says more", zstdFrame(1<<40, 100_000))
	f("says nothing", zstdFrame(-1, 100_000))
	f("says less", zstdFrame(raw-1, 8))
	f("two frames", append(zstdFrame(raw/2, 4), zstdFrame(1<<30, 8192)...))
	f("a skippable frame of 4 GiB", []byte{0x50, 0x2A, 0x4D, 0x18, 0xff, 0xff, 0xff, 0xff})
	f("a dictionary", []byte{0x28, 0xB5, 0x2F, 0xFD, 1<<5 | 1, 7, 1, 1, 0, 0})
}

func fill(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}
