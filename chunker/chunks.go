package chunker

import (
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"iter"
	"slices"

	"github.com/sstash/sstash/chunker/lz4"
)

// chunks is how the raw bytes of a frame are cut into chunks, with all that is needed to make them
// again from the rows in them. The package comment shows both forms.
type chunks struct {
	class  lz4.Class
	adler  bool
	length int
	count  int
	odd    []oddChunk // ascending
}

// oddChunk is a chunk that is not like all others.
type oddChunk struct {
	index int
	kind  oddKind
	rows  int // bytes
	kept  int // bytes of a kept chunk with its checksum
}

type oddKind uint8

const (
	oddLength oddKind = 1 // another length: the last ones of a file
	oddBare   oddKind = 2 // not compressed
	oddKept   oddKind = 3 // what LZ4 makes of the rows is another chunk; this one is kept
)

const (
	chunkHead  = 4 // before an LZ4 block
	chunkCheck = 4 // after every chunk
	adlerBit   = 0x80
	// maxRows bounds the rows of a frame, and maxChunks its chunks: those of Cassandra have 1 KiB at least.
	maxRows   = MaxRaw
	maxChunks = maxRows >> 10
)

// appendTo appends all but the rows and the kept chunks.
func (c *chunks) appendTo(b []byte) []byte {
	head := byte(c.class)
	if c.adler {
		head |= adlerBit
	}
	b = append(b, head)
	b = binary.AppendUvarint(b, uint64(c.length))
	b = binary.AppendUvarint(b, uint64(c.count))
	b = binary.AppendUvarint(b, uint64(len(c.odd)))
	at := 0
	for _, o := range c.odd {
		b = binary.AppendUvarint(b, uint64(o.index-at))
		b = append(b, byte(o.kind))
		b = binary.AppendUvarint(b, uint64(o.rows))
		if o.kind == oddKept {
			b = binary.AppendUvarint(b, uint64(o.kept))
		}
		at = o.index
	}
	return b
}

// parseChunks is the inverse of appendTo, for a frame of so many raw bytes. It returns what follows,
// and how many bytes of that are kept chunks. What it returns is consistent, and within the limits.
func parseChunks(b []byte, raw int) (c chunks, rest []byte, kept int, err error) {
	p := chunkParser{b: b}
	head := p.byte()
	c.class, c.adler = lz4.Class(head&^adlerBit), head&adlerBit != 0
	c.length = p.number(maxRows)
	c.count = p.number(maxChunks)
	n := p.number(c.count)
	if p.bad || !c.class.Valid() {
		return chunks{}, nil, 0, fmt.Errorf("%w: chunks", ErrCorrupt)
	}
	c.odd = make([]oddChunk, n)
	at := 0
	for i := range c.odd {
		at += p.number(c.count)
		o := oddChunk{index: at, kind: oddKind(p.byte()), rows: p.number(maxRows)}
		if o.kind == oddKept {
			o.kept = p.number(raw)
			kept += o.kept
		}
		bad := o.kind < oddLength || o.kind > oddKept || at >= c.count || i > 0 && at == c.odd[i-1].index
		if p.bad || bad || kept > len(p.b) {
			return chunks{}, nil, 0, fmt.Errorf("%w: odd chunk %d", ErrCorrupt, i)
		}
		c.odd[i] = o
	}
	if rows := c.rows(); rows > maxRows {
		return chunks{}, nil, 0, fmt.Errorf("%w: %d bytes of rows", ErrCorrupt, rows)
	}
	return c, p.b, kept, nil
}

func (c *chunks) equal(o *chunks) bool {
	same := c.class == o.class && c.adler == o.adler && c.length == o.length && c.count == o.count
	return same && slices.Equal(c.odd, o.odd)
}

// rows is how many bytes the rows of all chunks have.
func (c *chunks) rows() int64 {
	n := int64(c.count-len(c.odd)) * int64(c.length)
	for _, o := range c.odd {
		n += int64(o.rows)
	}
	return n
}

// each yields every chunk with its rows.
func (c *chunks) each(rows []byte) iter.Seq2[oddChunk, []byte] {
	return func(yield func(oddChunk, []byte) bool) {
		odd := c.odd
		for i := range c.count {
			o := oddChunk{index: i, kind: oddLength, rows: c.length}
			if len(odd) > 0 && odd[0].index == i {
				o, odd = odd[0], odd[1:]
			}
			if !yield(o, rows[:o.rows]) {
				return
			}
			rows = rows[o.rows:]
		}
	}
}

// rebuild appends the raw bytes: all chunks, made from their rows. ErrCorrupt when they would be other
// than raw bytes.
func (c *chunks) rebuild(dst, rows, kept []byte, raw int, e *lz4.Encoder) ([]byte, error) {
	end := len(dst) + raw
	for o, rows := range c.each(rows) {
		if o.kind == oddKept {
			dst = append(dst, kept[:o.kept]...)
			kept = kept[o.kept:]
		} else {
			dst = c.chunk(dst, rows, o.kind, e)
		}
		if len(dst) > end {
			break
		}
	}
	if len(dst) != end {
		return nil, fmt.Errorf("%w: chunks of other than %d raw bytes", ErrCorrupt, raw)
	}
	return dst, nil
}

// chunk appends one chunk with its checksum.
func (c *chunks) chunk(dst, rows []byte, kind oddKind, e *lz4.Encoder) []byte {
	at := len(dst)
	if kind == oddBare {
		dst = append(dst, rows...)
	} else {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(rows)))
		dst = e.Encode(dst, rows, c.class)
	}
	return binary.BigEndian.AppendUint32(dst, c.checksum(dst[at:]))
}

func (c *chunks) checksum(b []byte) uint32 {
	if c.adler {
		return adler32.Checksum(b)
	}
	return crc32.ChecksumIEEE(b)
}

// chunkParser reads from the front of b until something is bad.
type chunkParser struct {
	b   []byte
	bad bool
}

func (p *chunkParser) byte() byte {
	if len(p.b) == 0 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

// number reads a vint of at most limit.
func (p *chunkParser) number(limit int) int {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > uint64(limit) {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return int(v)
}
