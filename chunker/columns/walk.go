package columns

import (
	"encoding/binary"
	"errors"
	"math"
)

// errShort means that the bytes end within an item.
var errShort = errors.New("the bytes end within a row")

// A walker walks over items of a Data.db: over given bytes, which it takes apart into
// streams, or over streams, out of which it makes the bytes again. What follows what
// is said once, in grammar.go and row.go; the methods below go the one way or the
// other. After the first failure nothing has an effect, and every read gives zero.
type walker struct {
	schema   *Schema
	decoding bool
	err      error

	// Encoding.
	in     []byte // up to the end of the item, if that is known
	pos    int
	end    int64 // of the item, 0 if not known; may be beyond in
	beyond error // what it means if in ends too early

	// Decoding.
	out    []byte // has room for maxSizes and maxVint bytes more than limit
	limit  int    // of len(out)
	header int    // length of the sizes that the last body had

	// Where the walk is.
	place    place
	previous uint64 // what the next item has for the size of the previous one
	starts   []int  // of the partitions so far, where offset was

	// What others are likely to be near to, in microseconds since 1970.
	clusteringTime uint64
	rowTime        uint64

	absent []uint64 // a bit for each column that the row doesn't have

	streams
}

// fail keeps the first error and lets everything after it fail.
func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.in, w.pos, w.limit = nil, 0, 0
}

// broken is what it means that the bytes, or the streams, break the grammar.
func (w *walker) broken() {
	if w.decoding {
		w.fail(ErrCorrupt)
	} else {
		w.fail(ErrGrammar)
	}
}

// offset is the position in the bytes.
func (w *walker) offset() int {
	if w.decoding {
		return len(w.out)
	}
	return w.pos
}

// read takes the next n bytes (encoding).
func (w *walker) read(n uint64) []byte {
	if n > uint64(len(w.in)-w.pos) {
		w.fail(w.beyond)
		return nil
	}
	b := w.in[w.pos : w.pos+int(n)]
	w.pos += int(n)
	return b
}

// readVint takes the next vint (encoding). Cassandra writes every one as short as it
// can be; a longer one wouldn't come back.
func (w *walker) readVint() uint64 {
	if w.pos < len(w.in) && w.in[w.pos] < 0x80 {
		w.pos++
		return uint64(w.in[w.pos-1])
	}
	v, n := parseVint(w.in[w.pos:])
	switch {
	case n == 0:
		w.fail(w.beyond)
		return 0
	case n > 1 && v>>(7*(n-1)) == 0:
		w.fail(ErrGrammar)
		return 0
	}
	w.pos += n
	return v
}

// room makes sure that n more bytes may be written (decoding).
func (w *walker) room(n int) bool {
	if n > w.limit-len(w.out) {
		w.fail(ErrCorrupt)
		return false
	}
	return true
}

func (w *walker) write(b []byte) {
	if w.room(len(b)) {
		w.out = append(w.out, b...)
	}
}

func (w *walker) writeVint(v uint64) {
	if w.room(1) {
		if w.out = appendVint(w.out, v); len(w.out) > w.limit {
			w.fail(ErrCorrupt)
		}
	}
}

func (w *walker) pop(s *numbers, ref uint64) uint64 {
	v, ok := s.pop(ref)
	if !ok {
		w.fail(ErrCorrupt)
	}
	return v
}

func (w *walker) popText(s *texts) []byte {
	b, ok := s.pop()
	if !ok {
		w.fail(ErrCorrupt)
	}
	return b
}

// octet walks over a byte.
func (w *walker) octet(s *octets) byte {
	if w.decoding {
		b := w.mark(s, 0)
		if w.room(1) {
			w.out = append(w.out, b)
		}
		return b
	}
	if w.pos == len(w.in) {
		w.fail(w.beyond)
		return 0
	}
	b := w.in[w.pos]
	w.pos++
	s.push(b)
	return b
}

// mark keeps a byte that is not in the bytes themselves; decoding it gives that back.
func (w *walker) mark(s *octets, b byte) byte {
	if !w.decoding {
		s.push(b)
		return b
	}
	b, ok := s.pop()
	if !ok {
		w.fail(ErrCorrupt)
	}
	return b
}

// vint walks over a vint that is expected to be near to ref.
func (w *walker) vint(s *numbers, ref uint64) uint64 {
	if w.decoding {
		v := w.pop(s, ref)
		w.writeVint(v)
		return v
	}
	v := w.readVint()
	s.push(v, ref)
	return v
}

// fixed walks over a big-endian number of s.bits.
func (w *walker) fixed(s *numbers, ref uint64) uint64 {
	if w.decoding {
		v := w.pop(s, ref)
		if !w.room(int(s.bits / 8)) {
			return 0
		}
		switch s.bits {
		case 8:
			w.out = append(w.out, byte(v))
		case 32:
			w.out = binary.BigEndian.AppendUint32(w.out, uint32(v))
		case 64:
			w.out = binary.BigEndian.AppendUint64(w.out, v)
		}
		return v
	}
	var v uint64
	if b := w.read(uint64(s.bits / 8)); b != nil {
		switch s.bits {
		case 8:
			v = uint64(b[0])
		case 32:
			v = uint64(binary.BigEndian.Uint32(b))
		case 64:
			v = binary.BigEndian.Uint64(b)
		}
	}
	s.push(v, ref)
	return v
}

// bytes walks over as many bytes as every string of s has.
func (w *walker) bytes(s *texts) {
	if w.decoding {
		w.write(w.popText(s))
	} else if b := w.read(uint64(s.fixed)); b != nil {
		s.push(b)
	}
}

// text walks over bytes with a vint for their length before them.
func (w *walker) text(s *texts) {
	if w.decoding {
		b := w.popText(s)
		w.writeVint(uint64(len(b)))
		w.write(b)
		return
	}
	if b := w.read(w.readVint()); b != nil {
		s.push(b)
	}
}

// key walks over bytes with two bytes for their length before them.
func (w *walker) key(s *texts) {
	if w.decoding {
		b := w.popText(s)
		if len(b) > math.MaxUint16 {
			w.fail(ErrCorrupt)
		}
		w.write([]byte{byte(len(b) >> 8), byte(len(b))})
		w.write(b)
		return
	}
	n := w.read(2)
	if n == nil {
		return
	}
	if b := w.read(uint64(binary.BigEndian.Uint16(n))); b != nil {
		s.push(b)
	}
}

// maxSizes is the length of both sizes of a body at most.
const maxSizes = 2 * maxVint

// A body is what stands behind the two sizes of a row or marker: its own, which
// is not stored for the walk finds it, and that of the one before it.
type body struct {
	begin    int    // decoding: of the body, after room for the sizes
	previous uint64 // decoding: the size of the one before
}

// open walks over the sizes. It must be closed after the last byte of the body.
func (w *walker) open(predicted uint64) body {
	if w.decoding {
		b := body{previous: w.pop(w.previousSizes, predicted)}
		if w.err == nil {
			w.limit += w.header // which counts only when it is known
			w.out = w.out[:len(w.out)+w.header]
		}
		b.begin = len(w.out)
		return b
	}
	size := w.readVint()
	switch {
	case w.err != nil:
		return body{}
	case size > maxItem:
		w.fail(ErrGrammar)
		return body{}
	}
	w.end = int64(w.pos) + int64(size)
	if w.end > int64(len(w.in)) {
		w.fail(errShort)
		return body{}
	}
	w.in, w.beyond = w.in[:w.end], ErrGrammar
	w.vint(w.previousSizes, predicted)
	return body{}
}

// close is open's end. Decoding it puts the sizes before the body, which may have to
// move: the room left for them was a guess.
func (w *walker) close(b body) {
	if !w.decoding {
		if int64(w.pos) != w.end {
			w.fail(ErrGrammar)
		}
		return
	}
	if w.err != nil {
		return
	}
	w.limit -= w.header
	start := b.begin - w.header
	content := w.out[b.begin:]
	header := vintLen(b.previous)
	size := uint64(len(content) + header)
	header += vintLen(size)
	if start+header+len(content) > w.limit {
		w.fail(ErrCorrupt)
		return
	}
	w.out = w.out[:start+header+len(content)]
	if header != w.header {
		copy(w.out[start+header:], content)
		w.header = header
	}
	var sizes [maxSizes]byte
	copy(w.out[start:], appendVint(appendVint(sizes[:0], size), b.previous))
}
