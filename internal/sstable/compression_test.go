package sstable

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"testing"
)

// encode writes a CompressionInfo.db as Cassandra does.
func (c Compression) encode(n Name) []byte {
	b := appendUTF(nil, c.Compressor)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Options)))
	for _, k := range slices.Sorted(maps.Keys(c.Options)) {
		b = appendUTF(appendUTF(b, k), c.Options[k])
	}
	b = binary.BigEndian.AppendUint32(b, uint32(c.ChunkLength))
	if n.since("na") {
		b = binary.BigEndian.AppendUint32(b, uint32(c.MaxCompressedLength))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.DataLength))
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Offsets)))
	for _, at := range c.Offsets {
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	return b
}

func appendUTF(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func sample() Compression {
	return Compression{
		Compressor:          "LZ4Compressor",
		Options:             map[string]string{"lz4_compressor_type": "high", "lz4_high_compressor_level": "9"},
		ChunkLength:         16384,
		MaxCompressedLength: math.MaxInt32,
		DataLength:          40000,
		Chunks:              3,
		Offsets:             []int64{0, 9000, 18000},
	}
}

func TestParseCompression(t *testing.T) {
	want := sample()
	for _, n := range []Name{{Version: "ka", Format: "big"}, {Version: "me", Format: "big"}, {Version: "na", Format: "big"},
		{Version: "da", Format: "bti"}, {Version: "pa", Format: "big"}} {
		b := want.encode(n)
		got, err := ParseCompression(n, b)
		if err != nil || !maps.Equal(got.Options, want.Options) || !slices.Equal(got.Offsets, want.Offsets) || got.Dictionary ||
			got.Compressor != want.Compressor || got.ChunkLength != want.ChunkLength || got.DataLength != want.DataLength ||
			got.MaxCompressedLength != want.MaxCompressedLength {
			t.Fatalf("%s: got %+v, %v", n.Version, got, err)
		}
		for cut := range b {
			if _, err := ParseCompression(n, b[:cut]); err == nil {
				t.Errorf("%s: accepted %d of %d bytes", n.Version, cut, len(b))
			}
		}
		got, err = ParseCompression(n, append(b, 0, 1, 2))
		if n.Version == "pa" && (err != nil || !got.Dictionary) {
			t.Errorf("pa with a dictionary: %+v, %v", got, err)
		}
		if n.Version != "pa" && err == nil {
			t.Errorf("%s: accepted 3 bytes too many", n.Version)
		}
	}
}

// A count that the file can't hold must not be allocated.
func TestParseCompressionHostile(t *testing.T) {
	n := Name{Version: "ka", Format: "big"}
	huge := func(at int) []byte {
		b := Compression{Compressor: "x", Chunks: 1, ChunkLength: 1, Offsets: []int64{0}}.encode(n)
		copy(b[at:], "\xff\xff\xff\xff")
		return b
	}
	for name, b := range map[string][]byte{"options": huge(3), "chunks": huge(3 + 4 + 4 + 8), "chunk length": huge(3 + 4)} {
		if c, err := ParseCompression(n, b); err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
		}
	}
}

func TestParseCompressionHead(t *testing.T) {
	n := Name{Version: "nb", Format: "big"}
	whole := sample()
	b := whole.encode(n)
	c, at, err := ParseCompressionHead(n, b[:len(b)-8*3])
	if err != nil || at != int64(len(b)-8*3) || c.Chunks != 3 || c.Offsets != nil || c.DataLength != whole.DataLength {
		t.Fatalf("got %+v at %d, %v", c, at, err)
	}
	if err := c.CheckLast(18000, 20000); err != nil {
		t.Error(err)
	}
	if err := c.CheckLast(18000, 18004); err == nil {
		t.Error("a Data.db that ends in the last chunk's checksum is accepted")
	}
}

func TestCompressionCheck(t *testing.T) {
	for name, f := range map[string]func(*Compression) int64{
		"as it is":                  func(*Compression) int64 { return 20000 },
		"an empty chunk at the end": func(c *Compression) int64 { c.Offsets = append(c.Offsets, 20000); return 20009 },
		"an empty chunk of nothing": func(c *Compression) int64 { c.Offsets = append(c.Offsets, 20000); return 20004 },
		"the smallest last chunk":   func(*Compression) int64 { return 18005 },
		"no data but a chunk":       func(c *Compression) int64 { c.DataLength, c.Offsets = 0, []int64{0}; return 9 },
	} {
		c := sample()
		size := f(&c)
		c.Chunks = int64(len(c.Offsets))
		if err := c.Check(size); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]func(*Compression) int64{
		"Data.db ends in the last chunk's checksum": func(*Compression) int64 { return 18004 },
		"Data.db ends before the last chunk":        func(*Compression) int64 { return 10000 },
		"Data.db is empty":                          func(*Compression) int64 { return 0 },
		"two chunks too many":                       func(c *Compression) int64 { c.Offsets = append(c.Offsets, 20000, 21000); return 30000 },
		"a chunk too few":                           func(c *Compression) int64 { c.Offsets = c.Offsets[:2]; return 20000 },
		"no chunks":                                 func(c *Compression) int64 { c.Offsets, c.DataLength = nil, 0; return 0 },
		"chunks in disorder":                        func(c *Compression) int64 { c.Offsets[1] = 18000; return 20000 },
		"nothing but a checksum in the middle":      func(c *Compression) int64 { c.Offsets[1] = 17996; return 20000 },
		"half a checksum at the end":                func(c *Compression) int64 { c.Offsets = append(c.Offsets, 20000); return 20002 },
		"the first chunk not at 0":                  func(c *Compression) int64 { c.Offsets[0] = 1; return 20000 },
		"a negative offset":                         func(c *Compression) int64 { c.Offsets[1] = -1; return 20000 },
		"an offset that overflows":                  func(c *Compression) int64 { c.Offsets[2] = math.MinInt64; return 20000 },
		"more data than chunks":                     func(c *Compression) int64 { c.DataLength = math.MaxInt64; return 20000 },
	} {
		c := sample()
		size := f(&c)
		c.Chunks = int64(len(c.Offsets))
		if err := c.Check(size); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseCompression(f *testing.F) {
	for _, n := range []Name{{Version: "ka", Format: "big"}, {Version: "nb", Format: "big"}, {Version: "ea", Format: "bti"}} {
		f.Add(n.Version, n.Format, sample().encode(n), int64(20000))
	}
	f.Fuzz(func(t *testing.T, version, format string, b []byte, size int64) {
		c, err := ParseCompression(Name{Version: version, Format: format}, b)
		if err != nil || c.Check(size) != nil {
			return
		}
		var sum int64
		for i := range c.Offsets {
			at, n := c.Chunk(i, size)
			if at != sum || n < 0 {
				t.Fatalf("chunk %d at %d, %d bytes, after %d bytes", i, at, n, sum)
			}
			sum += n + checksumLength
		}
		if sum != size {
			t.Fatalf("chunks end at %d of %d", sum, size)
		}
	})
}
