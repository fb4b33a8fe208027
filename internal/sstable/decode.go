package sstable

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A decoder reads big-endian fields off a byte slice. The first read beyond the
// end makes it bad, and from then on every read gives zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// take gives the next n bytes, or nil. It shares memory with the input.
func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) i32() int32 { return int32(d.u32()) }

func (d *decoder) i64() int64 {
	if p := d.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (d *decoder) position() Position { return Position{d.i64(), d.i32()} }

// utf is a string of Java's DataOutput.writeUTF. Its encoding differs from UTF-8
// only for NUL and beyond the BMP, which class and option names don't use.
func (d *decoder) utf() string { return string(d.take(uint64(d.u16()))) }

// vint is Cassandra's unsigned variable-length integer: as many leading one bits
// in the first byte as bytes follow.
func (d *decoder) vint() uint64 {
	first := d.u8()
	more := bits.LeadingZeros8(^first)
	v := uint64(first) & (0xff >> more)
	for _, c := range d.take(uint64(more)) {
		v = v<<8 | uint64(c)
	}
	return v
}

// count is a u32 that says how many items follow, of at least size bytes each. A
// count that the remaining bytes can't hold is bad.
func (d *decoder) count(size int) int {
	n := d.u32()
	if n > math.MaxInt32 || uint64(n)*uint64(size) > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// skip passes over as many items as the next count says, and says how many.
func (d *decoder) skip(size int) int {
	n := d.count(size)
	d.take(uint64(n) * uint64(size))
	return n
}
