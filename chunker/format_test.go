package chunker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// crc appends the checksum that follows a chunk.
func crc(chunk ...byte) []byte {
	return binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk))
}

// vints appends numbers as Go's Uvarint.
func vints(numbers ...uint64) (b []byte) {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// rawZstd is a zstd frame (RFC 8878) of one raw block, of at most 128 KiB.
func rawZstd(b []byte) []byte {
	f := binary.LittleEndian.AppendUint32([]byte{0x28, 0xB5, 0x2F, 0xFD, 2<<6 | 1<<5}, uint32(len(b))) // 4-byte size, single segment
	head := uint32(len(b))<<3 | 1
	return append(append(f, byte(head), byte(head>>8), byte(head>>16)), b...)
}

// The container, put together by hand from the package comment, with a chunk of each kind.
func TestFormatOfUnchunked(t *testing.T) {
	const a32 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	block := []byte{32, 0, 0, 0, 0x1f, 'a', 1, 0, 7, 0x50, 'a', 'a', 'a', 'a', 'a'} // a, 4+15+7 times the byte before, aaaaa
	foreign := crc(append([]byte{32, 0, 0, 0, 0xf0, 17}, a32...)...)
	raw := slices.Concat(
		crc(block...), crc(slices.Clone(block)...),
		crc('b', 'a', 'r', 'e'),
		foreign,
		crc(2, 0, 0, 0, 0x20, 'x', 'y'),
		crc(0, 0, 0, 0, 0),
	)
	data := slices.Concat(
		[]byte{3}, vints(32, 6, 4), // class C, CRC-32; length, chunks, odd ones
		vints(2), []byte{2}, vints(4), // bare
		vints(1), []byte{3}, vints(32, uint64(len(foreign))), // kept
		vints(1), []byte{1}, vints(2), // of another length
		vints(1), []byte{1}, vints(0),
		rawZstd([]byte(a32+a32+"bare"+a32+"xy")),
		foreign,
	)
	f := chunker.Frame{Codec: chunker.Zstd, Transform: chunker.Unchunked, Raw: uint32(len(raw)), Hash: chunker.Sum(raw), Data: data}
	if got, err := chunker.NewDecoder().Decode(nil, f); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%x, %v, want %x", got, err, raw)
	}
	f.Codec = 9
	if _, err := chunker.NewDecoder().Decode(nil, f); !errors.Is(err, chunker.ErrUnsupported) {
		t.Errorf("rows in codec 9: %v", err)
	}
}

// The encoder writes that form: here, of a hundred chunks of which one has a wrong checksum.
func TestFormatOfWhatIsEncoded(t *testing.T) {
	rows := []byte(strings.Repeat("a row of a table, ", 100*1024/18+1))[:99*1024+10]
	w := writerOf(nil)
	w.Length = 1024
	w.spoil = func(i int, c []byte) {
		if i == 70 {
			c[len(c)-1]++
		}
	}
	p := w.piece(rows)
	e := newEncoder(t, chunker.Balanced)
	e.OpenRows(p, w.Rows, chunker.RowsState{})
	f := encodeRows(t, e)
	kept := p.Raw[p.Ends[69]:p.Ends[70]]
	head := slices.Concat([]byte{3}, vints(1024, 100, 2), vints(70), []byte{3}, vints(1024, uint64(len(kept))), vints(29), []byte{1}, vints(10))
	if f.Codec != chunker.Zstd || f.Transform != chunker.Unchunked || !bytes.HasPrefix(f.Data, head) || !bytes.HasSuffix(f.Data, kept) {
		t.Errorf("%s %s %x, want %x … %x", f.Codec, f.Transform, f.Data, head, kept)
	}
}

// Whatever a frame claims of its chunks, it takes no more than what the largest honest one may take.
func TestDecodeOfRowsIsBounded(t *testing.T) {
	d := chunker.NewDecoder()
	const most = 5 * chunker.MaxRaw // rows, and as many bytes of chunks; twice that with -race, which makes slices.Grow take more
	f := func(name string, raw uint32, data ...[]byte) {
		t.Helper()
		for transform, codec := range map[chunker.Transform]chunker.Codec{chunker.Unchunked: chunker.Zstd, chunker.Columns: chunker.Stored} {
			bomb := chunker.Frame{Codec: codec, Transform: transform, Raw: raw, Data: slices.Concat(data...)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := d.Decode(nil, bomb)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("%s, %s: %v, want ErrCorrupt", name, transform, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%s, %s: allocated %d bytes", name, transform, got)
			}
		}
	}
	const max = chunker.MaxRaw
	c := []byte{3}
	odd := func(n int, kind byte, numbers ...uint64) []byte {
		return bytes.Repeat(slices.Concat(vints(1), []byte{kind}, vints(numbers...)), n)
	}
	bomb := zstdFrame(max, max>>17)
	f("nothing", 1)
	f("no class", 100, []byte{0}, vints(16, 1, 0), bomb)
	f("a class of the future", 100, []byte{4}, vints(16, 1, 0), bomb)
	f("no chunks", 100, c, vints(16, 0, 0), zstdFrame(0, 0))
	f("one chunk of all", 100, c, vints(max, 1, 0), bomb)
	f("one chunk of more", 100, c, vints(max+1, 1, 0), bomb)
	f("a length beyond 64 bits", 100, c, bytes.Repeat([]byte{0xff}, 11))
	f("chunks of nothing", max, c, vints(0, chunker.MaxChunks, 0), zstdFrame(0, 0))
	f("many long chunks", max, c, vints(max, chunker.MaxChunks, 0), bomb)
	f("too many chunks", max, c, vints(1, chunker.MaxChunks+1, 0), bomb)
	f("chunks beyond 63 bits", max, c, vints(1, 1<<63+5, 0), bomb)
	f("more odd chunks than chunks", max, c, vints(1, 10, 11), odd(11, 1, 5), bomb)
	f("odd chunks that are missing", max, c, vints(1, chunker.MaxChunks, chunker.MaxChunks))
	f("odd chunks of too much", max, c, vints(1, chunker.MaxChunks, chunker.MaxChunks-1), odd(chunker.MaxChunks-1, 1, max), bomb)
	f("bare chunks of all", 100, c, vints(1, 2, 1), odd(1, 2, max-1), bomb)
	f("odd chunks of no kind", 100, c, vints(1, 9, 1), odd(1, 0, 1), bomb)
	f("odd chunks of another kind", 100, c, vints(1, 9, 1), odd(1, 4, 1), bomb)
	f("the same odd chunk twice", 100, c, vints(1, 9, 2), []byte{1, 1, 1, 0, 1, 1}, bomb)
	f("kept chunks of more than there is", max, c, vints(1, 9, 2), odd(2, 3, 1, max), bomb)
	f("kept chunks of all", max, c, vints(1, 9, 1), odd(1, 3, 1, max), make([]byte, max))
	f("kept chunks without end", 100, c, vints(1, 9, 5), odd(5, 3, 1, 100), make([]byte, 500))
}
