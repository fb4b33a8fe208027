package lz4

import "slices"

// Decode appends the raw bytes of the block src to dst, which it must not overlap,
// and returns the extended slice. Any encoder's block will do, and any bytes at all
// may come: unless they are a block of exactly so many raw bytes, the error is
// ErrCorrupt and dst is returned as it was, although the raw bytes behind its length
// may have changed.
//
// It makes room for raw bytes, but for none that src is too short for: a block holds
// at most 255 times its length.
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

// decode tells whether src filled out. Where both go on far enough it copies more
// than a short length asks for: what is too much is overwritten by what follows.
func decode(out, src []byte) bool {
	o, i := 0, 0
	for i < len(src) {
		token := src[i]
		i++
		n := int(token >> 4)
		if n < 15 && len(src)-i >= 16 && len(out)-o >= 16 {
			copy8(out, o, src, i)
			copy8(out, o+8, src, i+8)
			i += n
			o += n
		} else {
			if n == 15 {
				n, i = extend(n, src, i)
			}
			if n > len(src)-i || n > len(out)-o {
				return false
			}
			o += copy(out[o:], src[i:i+n])
			i += n
			if len(src)-i < 2 {
				return i == len(src) && o == len(out)
			}
		}

		distance := int(src[i]) | int(src[i+1])<<8
		i += 2
		if distance == 0 || distance > o {
			return false
		}
		n = int(token&15) + minMatch
		if n < 15+minMatch && distance >= 8 && len(out)-o >= 24 {
			copy8(out, o, out, o-distance)
			copy8(out, o+8, out, o-distance+8)
			if n > 16 {
				copy8(out, o+16, out, o-distance+16)
			}
		} else {
			if n == 15+minMatch {
				n, i = extend(n, src, i)
			}
			if n > len(out)-o {
				return false
			}
			repeat(out, o, distance, n)
		}
		o += n
	}
	return false // what ends with a match has no end
}

// repeat copies n bytes within out, to o from that distance before. Where they
// overlap, the bytes in between repeat.
func repeat(out []byte, o, distance, n int) {
	from, end := o-distance, o+n
	if distance >= 8 && end+8 <= len(out) {
		for ; o < end; o, from = o+8, from+8 {
			copy8(out, o, out, from)
		}
		return
	}
	for o < end {
		o += copy(out[o:end], out[from:o])
	}
}

// extend adds to n the bytes from i on, up to the first that is not 255, and returns
// where src goes on: at its end, if there is no such byte.
func extend(n int, src []byte, i int) (length, next int) {
	for ; i < len(src); i++ {
		n += int(src[i])
		if src[i] != 255 {
			return n, i + 1
		}
	}
	return n, i
}
