package columns

import (
	"encoding/binary"
	"math/bits"
)

// Cassandra's unsigned variable-length integer (VIntCoding): the first byte has as
// many leading one bits as bytes follow, then come the bits of the number,
// big-endian.

// maxVint is the length of a vint at most.
const maxVint = 9

// vintLen is the number of bytes of v.
func vintLen(v uint64) int { return (9*bits.Len64(v|1) + 63) >> 6 }

// appendVint appends v. What is behind it, up to maxVint bytes from where it begins, may
// change.
func appendVint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	n := vintLen(v)
	if n == maxVint {
		return binary.BigEndian.AppendUint64(append(b, 0xff), v)
	}
	b = binary.BigEndian.AppendUint64(b, v<<(64-8*n)|^uint64(0)<<(65-n))
	return b[:len(b)-8+n]
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
	if n < maxVint && len(b) >= 8 {
		return binary.BigEndian.Uint64(b) << n >> (64 - 7*n), n
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
