package lz4

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	minMatch    = 4
	maxDistance = 1<<16 - 1
	lastBytes   = 5  // that a block ends with are literals
	matchMargin = 12 // a match begins no nearer to the end

	small     = 1<<16 + 11 // inputs shorter than that are searched by a table of 16-bit positions
	smallBits = 13         // log2 of its length
	largeBits = 12

	prime4 = 2654435761 << 32                 // hashes the next 4 bytes; the 4 after them are shifted out
	prime5 = 889523592379 << 24 & (1<<64 - 1) // hashes the next 5 bytes
)

// Encoder makes LZ4 blocks. It is for one goroutine and holds 32 KiB. The zero
// value is ready; no block depends on those before it.
type Encoder struct {
	small [1 << smallBits]uint16
	large [1 << smallBits]uint32
}

// Encode appends src as one block of class c to dst, with which it must not
// overlap, and returns the extended slice. It makes room for the worst case, which
// is 1/255 longer than src. It panics if c is not valid.
func (e *Encoder) Encode(dst, src []byte, c Class) []byte {
	if !c.Valid() {
		panic("lz4: encode with " + c.String())
	}
	dst = slices.Grow(dst, bound(len(src)))
	out := dst[len(dst) : len(dst)+bound(len(src))]
	s := search{limit: len(src) - matchMargin, counter: 64}
	switch c {
	case A:
		s.counter = 68
	case C:
		s.limit++
	}
	var n int
	if len(src) < small {
		s.prime, s.shift = prime4, 64-smallBits
		n = encode(&e.small, out, src, s)
	} else {
		s.prime, s.shift = prime4, 64-largeBits
		if c == C {
			s.prime = prime5
		}
		n = encode(&e.large, out, src, s)
	}
	return dst[:len(dst)+n]
}

// bound is the room for a block of n raw bytes, with what emitLiterals writes beyond.
func bound(n int) int { return n + n/255 + 32 }

// search is what classes and sizes differ in.
type search struct {
	prime   uint64 // of the hash
	shift   uint   // of the hash: 64 less log2 of the table's length
	limit   int    // the last position that is searched
	counter int    // of probes, the step being a 64th of it
}

// encode writes src as a block to out and returns its length.
func encode[T uint16 | uint32](table *[1 << smallBits]T, out, src []byte, s search) int {
	if len(src) <= matchMargin {
		return literals(out, 0, src, 0, len(src))
	}
	// An empty slot is position 0, and that is a candidate like any other.
	clear(table[:1<<(64-s.shift)])
	o, anchor, p := 0, 0, 1 // anchor: all before it is written
	for {
		h := s.hash(src, p)
		var from int
		for next, step, counter := p, 1, s.counter; ; counter++ {
			p = next
			next += step
			if next > s.limit {
				return literals(out, o, src, anchor, len(src))
			}
			step = counter >> 6
			from = int(table[h])
			table[h] = T(p)
			h = s.hash(src, next)
			if p-from <= maxDistance && load32(src, from) == load32(src, p) {
				break
			}
		}
		for p > anchor && from > 0 && src[p-1] == src[from-1] {
			p--
			from--
		}
		token := o
		o = literals(out, o, src, anchor, p)
		for {
			n := common(src[:len(src)-lastBytes], from+minMatch, p+minMatch)
			binary.LittleEndian.PutUint16(out[o:], uint16(p-from))
			o = length(out, o+2, n, &out[token], 0)
			p += minMatch + n
			anchor = p
			if p > len(src)-matchMargin {
				return literals(out, o, src, anchor, len(src))
			}
			table[s.hash(src, p-2)] = T(p - 2)
			h = s.hash(src, p)
			from = int(table[h])
			table[h] = T(p)
			if p-from > maxDistance || load32(src, from) != load32(src, p) {
				break
			}
			token = o
			out[o] = 0
			o++
		}
		p++
	}
}

func (s *search) hash(src []byte, p int) uint64 {
	return load64(src, p) * s.prime >> (s.shift & 63) & (1<<smallBits - 1)
}

// common counts how many bytes from i and from j on are equal; j > i.
func common(b []byte, i, j int) int {
	start := j
	for j+8 <= len(b) {
		if x := load64(b, i) ^ load64(b, j); x != 0 {
			return j - start + bits.TrailingZeros64(x)>>3
		}
		i += 8
		j += 8
	}
	for j < len(b) && b[i] == b[j] {
		i++
		j++
	}
	return j - start
}

// literals writes a token and src from at to end, and returns where out goes on.
func literals(out []byte, o int, src []byte, at, end int) int {
	n := end - at
	out[o] = 0
	o = length(out, o+1, n, &out[o], 4)
	if n <= 16 && len(src)-at >= 16 {
		*(*[16]byte)(out[o:]) = *(*[16]byte)(src[at:])
	} else {
		copy(out[o:], src[at:end])
	}
	return o + n
}

// length adds n to the token, and what exceeds its 4 bits to out.
func length(out []byte, o, n int, token *byte, shift uint) int {
	if n < 15 {
		*token |= byte(n << shift)
		return o
	}
	*token |= 15 << shift
	for n -= 15; n >= 255; n -= 255 {
		out[o] = 255
		o++
	}
	out[o] = byte(n)
	return o + 1
}
