package sstable

import (
	"encoding/binary"
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
	Chunks              int64
	Offsets             []int64 // of the chunks in Data.db; nil after ParseCompressionHead
	Dictionary          bool    // pa, ea: a compression dictionary follows, which the chunks need
}

// checksumLength follows each chunk in Data.db.
const checksumLength = 4

// ParseCompressionHead parses all but the offsets, which begin at the position that
// it returns: the list has megabytes for a large SSTable. b is the file's beginning;
// 64 KiB are plenty. The name is that of any component of the SSTable.
func ParseCompressionHead(n Name, b []byte) (c Compression, at int64, err error) {
	d := decoder{b: b}
	c = Compression{Compressor: d.utf(), MaxCompressedLength: 1<<31 - 1}
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
	c.Chunks = int64(d.i32())
	switch {
	case d.bad:
		return Compression{}, 0, errors.New("parse CompressionInfo.db: shorter than it says")
	case c.ChunkLength <= 0 || c.DataLength < 0 || c.Chunks < 0 || c.MaxCompressedLength < 0:
		return Compression{}, 0, fmt.Errorf("parse CompressionInfo.db: %d chunks of length %d, data length %d, max compressed length %d",
			c.Chunks, c.ChunkLength, c.DataLength, c.MaxCompressedLength)
	}
	return c, int64(len(b) - len(d.b)), nil
}

// ParseCompression parses a whole CompressionInfo.db. Bytes after the last offset
// are an error before 6.0.
func ParseCompression(n Name, b []byte) (Compression, error) {
	c, at, err := ParseCompressionHead(n, b)
	if err != nil {
		return Compression{}, err
	}
	d := decoder{b: b[at:]}
	list := d.take(8 * uint64(c.Chunks))
	if d.bad {
		return Compression{}, errors.New("parse CompressionInfo.db: shorter than it says")
	}
	if len(d.b) > 0 && !n.Dictionaries() {
		return Compression{}, fmt.Errorf("parse CompressionInfo.db: %d bytes too many", len(d.b))
	}
	c.Dictionary = len(d.b) > 0
	c.Offsets = make([]int64, c.Chunks)
	for i := range c.Offsets {
		c.Offsets[i] = int64(binary.BigEndian.Uint64(list[8*i:]))
	}
	return c, nil
}

// Dictionaries tells whether the version may store a compression dictionary after
// the offsets (CASSANDRA-17021, 6.0).
func (n Name) Dictionaries() bool {
	if n.bti() {
		return n.Version >= "ea"
	}
	return n.Version >= "pa"
}

// CheckLast tells whether a Data.db of so many bytes can be the one that c
// describes, by what is known without the list of offsets: there are as many chunks
// as DataLength needs, and the last one, at offset last, is within the file.
// Compaction since 3.0 writes one more chunk at the end, an empty one, for which
// Deflate and Noop store no byte but the checksum.
func (c Compression) CheckLast(last, dataSize int64) error {
	need := c.need()
	if c.Chunks == 0 || c.Chunks != need && c.Chunks != need+1 {
		return fmt.Errorf("%d chunks of %d bytes for %d bytes of data", c.Chunks, c.ChunkLength, c.DataLength)
	}
	stored := dataSize - last - checksumLength
	if last < 0 || stored < 0 || stored == 0 && c.Chunks == need {
		return fmt.Errorf("the last of %d chunks begins at %d of %d bytes of Data.db", c.Chunks, last, dataSize)
	}
	return nil
}

// Check is CheckLast for all chunks: they are in ascending order from 0, without
// a chunk of nothing in between.
func (c Compression) Check(dataSize int64) error {
	last := int64(-1)
	for i, at := range c.Offsets {
		if i == 0 && at != 0 || i > 0 && at <= last+checksumLength {
			return fmt.Errorf("chunk %d of %d begins at %d, the one before at %d", i, c.Chunks, at, last)
		}
		last = at
	}
	return c.CheckLast(last, dataSize)
}

// need is the number of chunks without the empty one.
func (c Compression) need() int64 {
	n := c.DataLength / c.ChunkLength
	if c.DataLength%c.ChunkLength > 0 {
		n++
	}
	return n
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
// CRC-32 since 3.0, Adler-32 before.
func (n Name) Checksum(chunk []byte) uint32 {
	if n.since("ma") {
		return crc32.ChecksumIEEE(chunk)
	}
	return adler32.Checksum(chunk)
}

// Checked tells whether the last bytes of a chunk are its checksum.
func (n Name) Checked(chunk []byte) bool {
	body := len(chunk) - checksumLength
	return body >= 0 && binary.BigEndian.Uint32(chunk[body:]) == n.Checksum(chunk[:body])
}
