package chunker

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
)

// Chunking says how the Data.db that a [Rows] gets was cut and compressed.
type Chunking struct {
	Length    int  // bytes of rows in a chunk, except in the last ones
	MaxStored int  // a chunk of at least as many bytes, without its checksum, is not compressed (min_compress_ratio, 4.0+)
	Adler32   bool // checksums are Adler-32 (before 3.0), else CRC-32
}

// Rows makes frames of one Data.db that Cassandra compressed with LZ4: it undoes LZ4, for the rows
// shrink more by themselves. Pieces come in order. It is for one goroutine, and its Encoder makes no
// other frames meanwhile.
type Rows struct {
	e      *Encoder
	from   Chunking
	class  lz4.Class // 0 until the first chunks told
	plain  bool      // the chunks are stored as they are: no class makes them, or Fast
	schema *columns.Schema
	state  columns.State // of the grammar, before the next piece
}

// Rows begins a file. Its rows are split into columns if the schema is not nil. Fast leaves chunks as
// they are.
func (e *Encoder) Rows(from Chunking, schema *columns.Schema) *Rows {
	return &Rows{e: e, from: from, schema: schema, plain: e.level == Fast}
}

// MaxChunks is how many chunks of so many bytes of rows may be in a piece.
const (
	// RowsSize is how many bytes of rows a frame of a Data.db has at most.
	RowsSize = 4 << 20
	// classTrial is how many chunks are tried for the class of a file.
	classTrial = 16
)

// Encode makes a frame of raw, which is a run of whole chunks. ends says where each ends, with its
// checksum. The rest is as with [Encoder.Encode]: chunks that can't be made again from their rows are
// kept as they are, and a frame that would not come back is stored as if it had no rows.
func (r *Rows) Encode(raw []byte, ends []int) (Frame, error) {
	if len(raw) < 1 || len(raw) > MaxRaw {
		return Frame{}, fmt.Errorf("encode frame: %d raw bytes, want 1 to %d", len(raw), MaxRaw)
	}
	cut, ok := r.open(raw, ends)
	if !ok {
		r.schema = nil // where the grammar goes on is unknown
		return r.e.Encode(raw)
	}
	f, next := r.frame(raw, cut, nil)
	if !small(f) {
		r.state = next
		return r.e.Encode(raw)
	}
	if !r.e.comesBack(raw, f) {
		kept := r.keep(raw, ends, &cut)
		if f, _ = r.frame(raw, cut, kept); len(kept) == 0 || !small(f) || !r.e.comesBack(raw, f) {
			if len(kept) == 0 {
				r.e.Mismatches++
			}
			r.state = next
			return r.e.Encode(raw)
		}
	}
	r.state = next
	return f, nil
}

// frame encodes the rows that open has found, and says where the grammar goes on.
func (r *Rows) frame(raw []byte, c chunks, kept []byte) (f Frame, next columns.State) {
	e := r.e
	f = Frame{Codec: Zstd, Transform: Unchunked, Raw: uint32(len(raw)), Hash: Sum(raw)}
	e.packed = c.appendTo(e.packed[:0])
	if r.schema != nil {
		var err error
		if e.packed, next, err = e.columns.Encode(e.packed, e.rows, r.schema, r.state); err == nil {
			f.Codec, f.Transform = Stored, Columns
		} else {
			r.schema = nil
		}
	}
	if f.Transform == Unchunked {
		e.packed = e.compress(e.rows, e.packed)
	}
	e.packed = append(e.packed, kept...)
	f.Data = e.packed
	return f, next
}

// open gets the rows out of every chunk of raw, into r.e.rows.
func (r *Rows) open(raw []byte, ends []int) (c chunks, ok bool) {
	if r.plain {
		return c, false
	}
	r.e.rows = r.e.rows[:0]
	c = chunks{class: r.class, adler: r.from.Adler32, length: r.from.Length, count: len(ends)}
	at := 0
	for i, end := range ends {
		n, kind, good := r.inflate(raw[at:end])
		if !good {
			return c, false
		}
		if kind != oddLength || n != c.length {
			c.odd = append(c.odd, oddChunk{index: i, kind: kind, rows: n})
		}
		at = end
	}
	if c.class == 0 {
		r.class = classOf(c, raw, ends, r.e)
		r.plain = r.class == 0
		c.class = r.class
	}
	return c, !r.plain
}

// keep marks the chunks that can't be made again, and returns them, one after the other. A file with
// too many of them is left alone from here on.
func (r *Rows) keep(raw []byte, ends []int, c *chunks) (kept []byte) {
	var odd []oddChunk
	n, at := 0, 0
	for o, rows := range c.each(r.e.rows) {
		chunk := raw[at:ends[o.index]]
		at += len(chunk)
		if !c.makes(chunk, rows, o.kind, r.e) {
			o.kind, o.kept = oddKept, len(chunk)
			kept = append(kept, chunk...)
			n++
		}
		if o.kind != oddLength || o.rows != c.length {
			odd = append(odd, o)
		}
	}
	c.odd = odd
	r.plain = n > c.count/2
	return kept
}

// inflate appends the rows of a chunk to e.rows.
func (r *Rows) inflate(chunk []byte) (n int, kind oddKind, ok bool) {
	e := r.e
	body := len(chunk) - chunkCheck
	room := RowsSize + r.from.Length - len(e.rows)
	if body < 0 {
		return 0, 0, false
	}
	if body >= r.from.MaxStored {
		n = min(body, r.from.Length) // a last one that is shorter is filled up with zeros
		e.rows = append(e.rows, chunk[:n]...)
		return n, oddBare, n <= room
	}
	if body < chunkHead {
		return 0, 0, false
	}
	want := binary.LittleEndian.Uint32(chunk)
	if int64(want) > int64(min(r.from.Length, room)) {
		return 0, 0, false
	}
	var err error
	e.rows, err = lz4.Decode(e.rows, chunk[chunkHead:body], int(want))
	return int(want), oddLength, err == nil
}

// classOf finds the class that makes the first chunks of a file: 0 if none makes any. Many chunks are
// the same in two classes: the one that makes most of them counts.
func classOf(c chunks, raw []byte, ends []int, e *Encoder) (found lz4.Class) {
	best := 0
	for _, c.class = range []lz4.Class{lz4.C, lz4.B, lz4.A} {
		made, at := 0, 0
		for o, rows := range c.each(e.rows) {
			if o.index == classTrial {
				break
			}
			if c.makes(raw[at:ends[o.index]], rows, o.kind, e) {
				made++
			}
			at = ends[o.index]
		}
		if made > best {
			best, found = made, c.class
		}
	}
	return found
}

// makes tells whether chunk is what is made of its rows.
func (c *chunks) makes(chunk, rows []byte, kind oddKind, e *Encoder) bool {
	e.chunk = c.chunk(e.chunk[:0], rows, kind, &e.lz4)
	return bytes.Equal(e.chunk, chunk)
}
