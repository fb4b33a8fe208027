package sstable

import (
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
)

// A Compression is the content of CompressionInfo.db: how Data.db is cut into
// chunks. Chunk i holds ChunkLength uncompressed bytes (the last one, what is left
// of DataLength) and is followed by a 4-byte checksum of its stored bytes.
// (Cassandra CompressionMetadata.Writer.)
type Compression struct {
	Compressor          string            // simple class name: "LZ4Compressor"
	Options             map[string]string // of the compressor
	ChunkLength         int64             // bytes before compression
	MaxCompressedLength int64             // na+: a chunk stored with at least as many bytes is not compressed; 2^31-1 means never, and so do older versions
	DataLength          int64             // bytes of all chunks before compression
	Offsets             []int64           // of the chunks in Data.db
	Dictionary          bool              // pa, ea: a compression dictionary follows, which the chunks need
}

// checksumLength follows each chunk in Data.db.
const checksumLength = 4

// ParseCompression parses a CompressionInfo.db. The name is that of any component
// of the SSTable. Bytes after the last offset are an error before 6.0.
func ParseCompression(n Name, b []byte) (Compression, error) {
	d := decoder{b: b}
	c := Compression{Compressor: d.utf(), MaxCompressedLength: 1<<31 - 1}
	options := d.count(4)
	c.Options = make(map[string]string, options)
	for range options {
		key := d.utf()
		c.Options[key] = d.utf()
	}
	c.ChunkLength = int64(d.i32())
	if n.since("na") {
		c.MaxCompressedLength = int64(d.i32())
	}
	c.DataLength = d.i64()
	c.Offsets = make([]int64, d.count(8))
	for i := range c.Offsets {
		c.Offsets[i] = d.i64()
	}
	c.Dictionary = len(d.b) > 0
	switch {
	case d.bad:
		return Compression{}, errors.New("parse CompressionInfo.db: shorter than it says")
	case c.Dictionary && !n.dictionaries():
		return Compression{}, fmt.Errorf("parse CompressionInfo.db: %d bytes too many", len(d.b))
	case c.ChunkLength <= 0 || c.DataLength < 0 || c.MaxCompressedLength < 0:
		return Compression{}, fmt.Errorf("parse CompressionInfo.db: chunk length %d, data length %d, max compressed length %d",
			c.ChunkLength, c.DataLength, c.MaxCompressedLength)
	}
	return c, nil
}

// dictionaries tells whether the version may store a compression dictionary
// (CASSANDRA-17021, 6.0).
func (n Name) dictionaries() bool {
	if n.bti() {
		return n.Version >= "ea"
	}
	return n.Version >= "pa"
}

// Check tells whether a Data.db of so many bytes can be the one that c describes:
// there are as many chunks as DataLength needs, in ascending order from 0, and all
// of them are within the file. Compaction since 3.0 writes one more chunk at the
// end, an empty one, for which Deflate and Noop store no byte but the checksum.
func (c Compression) Check(dataSize int64) error {
	chunks := int64(len(c.Offsets))
	need := c.DataLength / c.ChunkLength
	if c.DataLength%c.ChunkLength > 0 {
		need++
	}
	if chunks == 0 || chunks != need && chunks != need+1 {
		return fmt.Errorf("%d chunks of %d bytes for %d bytes of data", chunks, c.ChunkLength, c.DataLength)
	}
	if c.Offsets[0] != 0 {
		return fmt.Errorf("chunk 0 begins at %d", c.Offsets[0])
	}
	for i := range c.Offsets {
		empty := int64(i) == need
		if _, n := c.Chunk(i, dataSize); n < 0 || n == 0 && !empty {
			return fmt.Errorf("chunk %d of %d stores %d bytes, in %d bytes of Data.db", i, chunks, n, dataSize)
		}
	}
	return nil
}

// Chunk is where chunk i is stored in a Data.db of so many bytes, without its
// checksum, which follows. Before Check it may be nonsense.
func (c Compression) Chunk(i int, dataSize int64) (offset, length int64) {
	end := dataSize
	if i+1 < len(c.Offsets) {
		end = c.Offsets[i+1]
	}
	return c.Offsets[i], end - c.Offsets[i] - checksumLength
}

// Checksum is the checksum of a stored chunk by the rules of the name's version:
// CRC-32 since 3.0, Adler-32 before. Digest and CRC.db use the same.
func (n Name) Checksum(chunk []byte) uint32 {
	if n.since("ma") {
		return crc32.ChecksumIEEE(chunk)
	}
	return adler32.Checksum(chunk)
}
