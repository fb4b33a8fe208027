package lz4

import (
	"encoding/binary"
	"slices"
)

// Decode appends the raw bytes of the block src to dst, with which it must not
// overlap, and returns the extended slice. Any encoder's block will do, and any
// bytes at all may come: unless they are a whole block of exactly raw bytes the
// error is ErrCorrupt, and dst returned as it was, although bytes between its
// length and capacity may have changed.
//
// It makes room for raw bytes, and none if raw is more than 255 times src.
func Decode(dst, src []byte, raw int) ([]byte, error) {
	if raw < 0 || raw > 255*len(src) {
		return dst, ErrCorrupt
	}
	dst = slices.Grow(dst, raw)
	if !decode(dst[len(dst):len(dst)+raw], src) {
		return dst, ErrCorrupt
	}
	return dst[:len(dst)+raw], nil
}

// decode tells whether src filled out. Where there is room it copies 16 bytes
// instead of fewer.
func decode(out, src []byte) bool {
	o, i := 0, 0
	for i < len(src) {
		token := src[i]
		i++
		n := int(token >> 4)
		if n < 15 && len(src)-i >= 16 && len(out)-o >= 16 {
			*(*[16]byte)(out[o:]) = *(*[16]byte)(src[i:])
		} else {
			if n == 15 {
				n, i = extend(n, src, i)
			}
			if n > len(src)-i || n > len(out)-o {
				return false
			}
			copy(out[o:], src[i:i+n])
		}
		i += n
		o += n
		if i == len(src) {
			return o == len(out)
		}
		if len(src)-i < 2 {
			return false
		}
		distance := int(binary.LittleEndian.Uint16(src[i:]))
		i += 2
		from := o - distance
		if distance == 0 || from < 0 {
			return false
		}
		n = int(token & 15)
		if n == 15 {
			n, i = extend(n, src, i)
		}
		n += minMatch
		if n > len(out)-o {
			return false
		}
		repeat(out, o, from, n)
		o += n
	}
	return false
}

// repeat copies n bytes within out from position from to o. Where they overlap,
// the bytes between them repeat.
func repeat(out []byte, o, from, n int) {
	if o-from >= 16 && n <= 32 && len(out)-o >= 32 {
		*(*[16]byte)(out[o:]) = *(*[16]byte)(out[from:])
		*(*[16]byte)(out[o+16:]) = *(*[16]byte)(out[from+16:])
		return
	}
	for end := o + n; o < end; {
		o += copy(out[o:end], out[from:o])
	}
}

// extend adds to n the bytes at i, up to the first that is not 255, and returns
// where src goes on. A length without an end is longer than src allows.
func extend(n int, src []byte, i int) (length, next int) {
	for ; i < len(src); i++ {
		n += int(src[i])
		if src[i] != 255 {
			return n, i + 1
		}
	}
	return n, i
}
