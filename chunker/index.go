package chunker

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
)

// indexPart is what the stored bytes of a Data.db's frame begin with when they hold its part of Index.db
// as well. The package comment shows the form.
type indexPart struct {
	position uint64 // of the rows, in the uncompressed Data.db
	rest     int    // bytes of what the rows don't say
	packed   []byte // that, compressed
}

func (p indexPart) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, p.position)
	b = binary.AppendUvarint(b, uint64(p.rest))
	b = binary.AppendUvarint(b, uint64(len(p.packed)))
	return append(b, p.packed...)
}

// parseIndexPart is the inverse of appendTo. It returns what follows.
func parseIndexPart(b []byte) (part indexPart, after []byte, err error) {
	p := chunkParser{b: b}
	part.position = uint64(p.number(math.MaxInt64))
	part.rest = p.number(MaxRaw)
	n := p.number(MaxRaw)
	if p.bad || n > len(p.b) {
		return indexPart{}, nil, fmt.Errorf("%w: index", ErrCorrupt)
	}
	part.packed = p.b[:n]
	return part, p.b[n:], nil
}

// EncodeIndexed is EncodeRows for a piece with its part of Index.db, up to MaxRaw bytes of it: the entries
// of the partitions that begin in the piece, as they are or damaged. If both frames have the same Data,
// that holds both; the second one's Transform is then Index. An empty part has no frame.
func (e *Encoder) EncodeIndexed(index []byte) (rows, part Frame, err error) {
	if len(index) == 0 {
		rows, err = e.EncodeRows()
		return rows, Frame{}, err
	}
	if len(index) > MaxRaw {
		return Frame{}, Frame{}, fmt.Errorf("encode index: %d bytes, at most %d", len(index), MaxRaw)
	}
	if rows, err = e.encodeRows(e.indexHead(index)); err != nil {
		return Frame{}, Frame{}, err
	}
	if rows.Transform == Indexed {
		part = Frame{Codec: Stored, Transform: Index, Raw: uint32(len(index)), Hash: Sum(index), Data: rows.Data}
		if e.comesBack(index, part) {
			return rows, part, nil
		}
		e.Mismatches++
	}
	part, err = e.encode(index, &e.index)
	return rows, part, err
}

// indexHead is what the frame of the open piece begins with in order to hold index as well; empty if it
// can't.
func (e *Encoder) indexHead(index []byte) []byte {
	p := &e.piece
	if p.transform != Columns {
		return nil
	}
	e.rest = e.columns.AppendIndexRest(e.rest[:0], index, e.rows, uint64(p.position))
	if len(e.rest) > MaxRaw {
		return nil
	}
	e.index = e.compress(e.rest, e.index[:0])
	return indexPart{uint64(p.position), len(e.rest), e.index}.appendTo(nil)
}

// makeIndex appends a piece of Index.db. Who decodes a frame of rows and then that of the index in the
// same stored bytes has the rows decoded once.
func (d *Decoder) makeIndex(dst []byte, f Frame) ([]byte, error) {
	part, _, err := parseIndexPart(f.Data)
	if err != nil {
		return nil, err
	}
	if !d.holding || d.held != maphash.Bytes(d.seed, f.Data) {
		if _, _, err := d.unpackRows(f, MaxRaw); err != nil {
			return nil, err
		}
	}
	if d.rest, err = d.inflate(d.rest[:0], part.packed, part.rest); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	out, err := d.columns.AppendIndex(dst, d.rest, d.rows, part.position, int(f.Raw))
	if err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrCorrupt, err)
	}
	return out, nil
}
