package columns

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// An IndexEntry is an entry of an Index.db since 3.0: there is one for each partition, in the order of
// Data.db (Cassandra BigTableWriter.IndexWriter, RowIndexEntry.Serializer).
//
//	u16 length | key | vint position | vint length | promoted index of that length
//
// The promoted index of a short partition is empty.
type IndexEntry struct {
	Position uint64 // of the partition in Data.db, uncompressed
	Length   uint64 // of the entry, in bytes
}

// MaxIndexHead is how many bytes an entry has at most before its promoted index.
const MaxIndexHead = 2 + 1<<16 - 1 + 9 + 9

// ParseIndexEntry parses the entry at the beginning of b, which may end in its promoted index; false if
// it ends before.
func ParseIndexEntry(b []byte) (IndexEntry, bool) {
	if len(b) < 2 {
		return IndexEntry{}, false
	}
	r := reader{b: b[2:]}
	r.take(uint64(binary.BigEndian.Uint16(b)))
	e := IndexEntry{Position: r.vint()}
	promoted := r.vint()
	head := uint64(len(b) - len(r.b))
	if e.Length = head + promoted; r.bad || e.Length < head {
		return IndexEntry{}, false
	}
	return e, true
}

// appendIndexHead appends the entry of the partition at start in rows, up to its promoted index. The
// rows begin at a position of Data.db.
func appendIndexHead(dst, rows []byte, start int, position uint64) []byte {
	key := rows[start : start+2+int(binary.BigEndian.Uint16(rows[start:]))]
	return appendVint(append(dst, key...), position+uint64(start))
}

// AppendIndexRest appends to dst what a piece of an Index.db has beyond what rows say: the data that was
// split last, which begins at a position of its Data.db. [Decoder.AppendIndex] makes the piece again,
// whatever it holds.
//
// The rest is, for each partition that begins and is not cut in its first item,
//
//	vint 2n + e | n bytes
//
// n bytes of the piece, and then, if e is 1, the partition's entry up to its promoted index; after
// the last one the bytes that are left.
func (e *Encoder) AppendIndexRest(dst, piece, rows []byte, position uint64) []byte {
	written, at := 0, 0 // bytes of piece that are in dst, and up to the next entry
	for _, start := range e.last.walker.starts {
		start += len(e.last.head)
		at = skipEntries(piece, at, position+uint64(start))
		e.item = appendIndexHead(e.item[:0], rows, start, position)
		if !bytes.HasPrefix(piece[at:], e.item) {
			dst = appendVint(dst, 0)
			continue
		}
		dst = appendVint(dst, uint64(at-written)<<1|1)
		dst = append(dst, piece[written:at]...)
		written = at + len(e.item)
	}
	return append(dst, piece[written:]...)
}

// skipEntries passes over the entries at and after an offset of piece that are of partitions before a
// position.
func skipEntries(piece []byte, at int, position uint64) int {
	for {
		e, ok := ParseIndexEntry(piece[at:])
		if !ok || e.Position >= position || e.Length > uint64(len(piece)-at) {
			return at
		}
		at += int(e.Length)
	}
}

// AppendIndex appends to dst the piece of an Index.db of which there are raw bytes, from what
// AppendIndexRest kept of it and the rows that were decoded last, which begin at a position of their
// Data.db. ErrCorrupt if that makes other than raw bytes; dst is then as it was.
func (d *Decoder) AppendIndex(dst, rest, rows []byte, position uint64, raw int) ([]byte, error) {
	dst = slices.Grow(dst, raw)
	r := reader{b: rest}
	out, end := dst, len(dst)+raw
	for _, start := range d.walker.starts {
		v := r.vint()
		out = append(out, r.take(v>>1)...)
		if v&1 != 0 && !r.bad {
			out = appendIndexHead(out, rows, start-d.origin, position)
		}
		if r.bad || len(out) > end {
			return dst, ErrCorrupt
		}
	}
	if out = append(out, r.b...); len(out) != end {
		return dst, ErrCorrupt
	}
	return out, nil
}
