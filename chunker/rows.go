package chunker

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
)

// Rows is a Data.db that Cassandra compressed with LZ4. Its rows shrink more without LZ4, and more
// still when their columns lie apart.
type Rows struct {
	Length    int  // bytes of rows in a chunk, except in the last ones
	MaxStored int  // a chunk of at least as many bytes, without its checksum, is not compressed (min_compress_ratio, 4.0+)
	Adler32   bool // checksums are Adler-32 (before 3.0), else CRC-32
	// Schema is what the grammar of the rows depends on; nil leaves columns together.
	Schema *columns.Schema
}

// A Piece is a run of whole chunks of a Data.db: what goes into one frame.
type Piece struct {
	Raw  []byte // 1 to MaxRaw bytes
	Ends []int  // where each chunk ends in Raw, with its checksum
}

// RowsState is what the pieces before have told of the next one. The zero value is the beginning of a
// Data.db. States are values.
type RowsState struct {
	class   lz4.Class // 0 until the first chunks have told
	rows    int64     // bytes of them so far
	index   bool      // the last piece can make a part of Index.db
	kept    bool      // chunks are kept as they are: no class makes them
	lost    bool      // rows are no longer split: the grammar broke
	plain   Plain     // why
	grammar columns.State
}

// Plain is why a Data.db is not stored in columns from some piece on; "" if it is.
type Plain string

// The reasons.
const (
	PlainClass   Plain = "class"   // no class of LZ4 makes half of the first chunks
	PlainChunk   Plain = "chunk"   // a chunk is not what its compressor writes, or nobody knows where chunks are
	PlainSchema  Plain = "schema"  // the columns are not known: there was no Schema
	PlainGrammar Plain = "grammar" // rows are otherwise than the schema says
)

// Plain tells why the piece before, and from there on all others, are not in columns: "" if they are, and
// with Fast, which does not try.
func (s RowsState) Plain() Plain { return s.plain }

// PieceReport tells how a piece was stored.
type PieceReport struct {
	Columns bool // or as it is, for columns would not be smaller
	Chunks  int
	Kept    int // chunks that LZ4 makes otherwise of their rows, or with another checksum
}

// End is where the rows so far end in the uncompressed Data.db. ok tells whether the piece that was opened
// last is one for EncodeIndexed: in columns, and not of rows that hardly compress. Those stay as they are, mostly.
func (s RowsState) End() (position int64, ok bool) { return s.rows, s.index }

const (
	// RowsSize is how many bytes of rows the chunks of a piece should have at most.
	RowsSize = 4 << 20
)

// piece is one that was opened.
type piece struct {
	Piece
	chunks    chunks
	position  int64     // of the rows, in the uncompressed Data.db
	made      bool      // all chunks are known to be what LZ4 makes of their rows
	transform Transform // None: there are no rows to be had
}

// OpenRows takes the rows out of p, and returns the state in which the piece after p begins: that may
// be opened by another Encoder meanwhile. A level of Fast leaves them in their chunks.
func (e *Encoder) OpenRows(p Piece, of Rows, s RowsState) RowsState {
	e.piece = piece{Piece: p, chunks: chunks{count: len(p.Ends), adler: of.Adler32}}
	s.index = false
	if e.level == Fast || s.kept {
		s.kept = true
		return s
	}
	c, ok := e.inflate(p, of)
	if !ok {
		return s.lose(PlainChunk) // where the grammar goes on is unknown
	}
	if s.class == 0 {
		s.class, e.piece.made = e.classOf(p, c)
	}
	if s.kept = s.class == 0; s.kept {
		return s.lose(PlainClass)
	}
	c.class = s.class
	e.piece.chunks, e.piece.transform, e.piece.position = c, Unchunked, s.rows
	s.rows += int64(len(e.rows))
	if s.lost {
		return s
	}
	if of.Schema == nil {
		return s.lose(PlainSchema)
	}
	var err error
	if s.grammar, err = e.columns.Split(e.rows, of.Schema, s.grammar); err != nil {
		return s.lose(PlainGrammar)
	}
	e.piece.transform = Columns
	s.index = len(p.Raw) < len(e.rows)-len(e.rows)/64
	return s
}

// lose is the state in which rows are no longer split.
func (s RowsState) lose(why Plain) RowsState {
	if !s.lost {
		s.lost, s.plain = true, why
	}
	return s
}

// Report tells how the piece was stored that EncodeRows made the last frame of.
func (e *Encoder) Report() PieceReport {
	r := PieceReport{Columns: e.piece.transform == Columns, Chunks: e.piece.chunks.count}
	for _, o := range e.piece.chunks.odd {
		if o.kind == oddKept {
			r.Kept++
		}
	}
	return r
}

// EncodeRows makes the frame of the piece that was opened last, once. The rest is as with Encode.
// Chunks that can't be made again from their rows are kept as they are.
func (e *Encoder) EncodeRows() (Frame, error) { return e.encodeRows(nil) }

// encodeRows is EncodeRows with an index part, which makes the frame Indexed.
func (e *Encoder) encodeRows(index []byte) (Frame, error) {
	p := &e.piece
	if p.transform == None {
		return e.Encode(p.Raw)
	}
	plain, err := stored(p.Raw)
	if err != nil {
		return Frame{}, err
	}
	e.packed = slices.Grow(e.packed[:0], len(p.Raw)+1024)
	e.packed = p.chunks.appendTo(append(e.packed, index...))
	head := len(e.packed)
	f := plain
	f.Transform = p.transform
	if len(index) > 0 {
		f.Transform = Indexed
	}
	if p.transform == Columns {
		e.packed = e.columns.Append(e.packed)
	} else {
		f.Codec = Zstd
		e.packed = e.compress(e.rows, e.packed)
	}
	if f.Data = e.packed; !small(f) {
		return plain, nil // nor would zstd shrink what LZ4 has made of them
	}
	kept := e.keep()
	if len(kept) > 0 {
		if f.Data = slices.Concat(p.chunks.appendTo(slices.Clone(index)), e.packed[head:], kept); !small(f) {
			return e.Encode(p.Raw)
		}
	}
	if !e.rowsComeBack(f, kept) {
		e.Mismatches++
		return e.Encode(p.Raw)
	}
	return f, nil
}

// rowsComeBack reports whether f decodes to the open piece. Decoding makes each chunk of nothing but what
// it finds of the chunks and in the rows, or takes a kept one. So if it finds what keep began with, it
// makes what keep compared with the chunks that were there (I6).
func (e *Encoder) rowsComeBack(f Frame, kept []byte) bool {
	c, foundKept, err := e.decoder.unpackRows(f, int(f.Raw))
	return err == nil && c.equal(&e.piece.chunks) && bytes.Equal(e.decoder.rows, e.rows) && bytes.Equal(foundKept, kept)
}

// keep compares each chunk of the open piece with what is made of its rows. It marks those that can't be
// made again, and returns them, one after the other.
func (e *Encoder) keep() (kept []byte) {
	p := &e.piece
	if p.made {
		return nil
	}
	var odd []oddChunk
	at := 0
	for o, rows := range p.chunks.each(e.rows) {
		chunk := p.Raw[at:p.Ends[o.index]]
		at += len(chunk)
		if !e.makes(&p.chunks, chunk, rows, o.kind) {
			o.kind, o.kept = oddKept, len(chunk)
			kept = append(kept, chunk...)
		}
		if o.kind != oddLength || o.rows != p.chunks.length {
			odd = append(odd, o)
		}
	}
	p.chunks.odd = odd
	return kept
}

// inflate puts the rows of all chunks into e.rows.
func (e *Encoder) inflate(p Piece, of Rows) (chunks, bool) {
	e.rows = e.rows[:0]
	c := chunks{adler: of.Adler32, length: of.Length, count: len(p.Ends)}
	if of.Length < 1 || of.Length > maxRows || c.count > maxChunks || len(p.Raw) > MaxRaw {
		return chunks{}, false
	}
	at := 0
	for i, end := range p.Ends {
		if end < at+chunkCheck || end > len(p.Raw) {
			return chunks{}, false
		}
		n, kind, ok := e.inflateChunk(p.Raw[at:end], of)
		if !ok || len(e.rows) > maxRows {
			return chunks{}, false
		}
		if kind != oddLength || n != c.length {
			c.odd = append(c.odd, oddChunk{index: i, kind: kind, rows: n})
		}
		at = end
	}
	return c, at == len(p.Raw)
}

// inflateChunk appends the rows of a chunk to e.rows.
func (e *Encoder) inflateChunk(chunk []byte, of Rows) (n int, kind oddKind, ok bool) {
	body := len(chunk) - chunkCheck
	if body >= of.MaxStored {
		n = min(body, of.Length) // a last one that is shorter is filled up with zeros
		e.rows = append(e.rows, chunk[:n]...)
		return n, oddBare, true
	}
	if body < chunkHead {
		return 0, 0, false
	}
	length := binary.LittleEndian.Uint32(chunk)
	if int64(length) > int64(of.Length) {
		return 0, 0, false
	}
	var err error
	e.rows, err = lz4.Decode(e.rows, chunk[chunkHead:body], int(length))
	return int(length), oddLength, err == nil
}

// classOf finds the class that makes the chunks of a file's first piece, or most of them: 0 if none makes
// half of them. Classes B and C make 9 chunks out of 10 alike, so it takes many to tell them apart.
func (e *Encoder) classOf(p Piece, c chunks) (found lz4.Class, all bool) {
	best := (c.count+1)/2 - 1
	for _, c.class = range []lz4.Class{lz4.C, lz4.B, lz4.A} {
		made, at := 0, 0
		for o, rows := range c.each(e.rows) {
			if e.makes(&c, p.Raw[at:p.Ends[o.index]], rows, o.kind) {
				made++
			}
			at = p.Ends[o.index]
		}
		if made > best {
			best, found = made, c.class
		}
		if made == c.count {
			return found, true
		}
	}
	return found, false
}

// makes tells whether chunk is what is made of its rows.
func (e *Encoder) makes(c *chunks, chunk, rows []byte, kind oddKind) bool {
	e.chunk = c.chunk(e.chunk[:0], rows, kind, &e.lz4)
	return bytes.Equal(e.chunk, chunk)
}
