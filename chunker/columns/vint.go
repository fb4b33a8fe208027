package columns

import (
	"encoding/binary"
	"math/bits"
)

// Cassandra's unsigned variable-length integer (VIntCoding): the first byte has as
// many leading one bits as bytes follow, then come the bits of the number,
// big-endian.

// vintLen is the number of bytes of v.
func vintLen(v uint64) int {
	if n := (bits.Len64(v|1) + 6) / 7; n < 9 {
		return n
	}
	return 9
}

func appendVint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	n := vintLen(v)
	if n == 9 {
		return binary.BigEndian.AppendUint64(append(b, 0xff), v)
	}
	var p [8]byte
	binary.BigEndian.PutUint64(p[:], v)
	p[8-n] |= ^byte(0xff >> (n - 1))
	return append(b, p[8-n:]...)
}

// parseVint gives the number at the beginning of b and its length, which is 0 if
// b ends before.
func parseVint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	n = 1 + bits.LeadingZeros8(^b[0])
	if n > len(b) {
		return 0, 0
	}
	v = uint64(b[0]) & (0xff >> (n - 1))
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// A reader reads fields off a byte slice. The first read beyond the end makes it
// bad, and from then on every read gives zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

// take gives the next n bytes, or nil. It shares memory with the input.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) vint() uint64 {
	v, n := parseVint(r.b)
	if n == 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// text is bytes with their length before them.
func (r *reader) text() []byte { return r.take(r.vint()) }
