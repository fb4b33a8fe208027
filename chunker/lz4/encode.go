package lz4

import (
	"math/bits"
	"slices"
)

const (
	minMatch    = 4
	maxDistance = 1<<16 - 1
	matchMargin = 12 // no match begins nearer to the end
	lastBytes   = 5  // that no match reaches

	// Raw bytes shorter than that are searched by a table of 16-bit positions.
	small     = 1<<16 + matchMargin - 1
	smallBits = 13 // log2 of the table's length
	largeBits = 12

	prime4 = 2654435761 << 32                 // hashes 4 bytes: those after them are shifted out
	prime5 = 889523592379 << 24 & (1<<64 - 1) // hashes 5 bytes
)

// Encoder makes LZ4 blocks. It is for one goroutine and holds 48 KiB. The zero
// value is ready; no block depends on those before it.
type Encoder struct {
	small table[uint16]
	large table[uint32] // of which the first half is used
}

// Encode appends src as one block of class c to dst, which it must not overlap,
// and returns the extended slice. It makes room for the worst case, which is 1/255
// more than src. It panics if c is not valid.
func (e *Encoder) Encode(dst, src []byte, c Class) []byte {
	if !c.Valid() {
		panic("lz4: encode with " + c.String())
	}
	s := search{prime: prime4, limit: len(src) - matchMargin, counter: 64}
	switch c {
	case A:
		s.counter = 68
	case C:
		s.limit++
	}
	dst = slices.Grow(dst, bound(len(src)))
	out := dst[len(dst) : len(dst)+bound(len(src))]
	if len(src) < small {
		return dst[:len(dst)+encode(&e.small, out, src, s)]
	}
	if c == C {
		s.prime = prime5
	}
	return dst[:len(dst)+encode(&e.large, out, src, s)]
}

// bound is the room for a block of n raw bytes, with the up to 15 that copy8
// writes too many.
func bound(n int) int { return n + n/255 + 32 }

// search is what classes and sizes differ in.
type search struct {
	prime   uint64 // of the hash
	limit   int    // no position behind it is looked at
	counter int    // of probes: every 64th makes the step longer
}

// A table holds the last position of each hash. An empty slot is position 0, and
// that is a candidate like any other.
type table[T uint16 | uint32] [1 << smallBits]T

// shift leaves the bits of a hash that are an index. It is a constant in each of
// the two instances.
func (*table[T]) shift() int {
	if ^T(0) == maxDistance {
		return 64 - smallBits
	}
	return 64 - largeBits
}

// encode writes src as a block to out and returns its length.
func encode[T uint16 | uint32](t *table[T], out, src []byte, s search) int {
	if len(src) <= matchMargin {
		return literals(out, 0, src, 0, len(src))
	}
	shift := t.shift()
	clear(t[:1<<(64-shift)])
	o, anchor, p := 0, 0, 1 // what is before anchor is written
	for {
		var from int
		if p, from = find(t, src, p, s.limit, s.counter, s.prime); p < 0 {
			return literals(out, o, src, anchor, len(src))
		}
		for p > anchor && from > 0 && src[p-1] == src[from-1] {
			p--
			from--
		}
		token := o
		if n := p - anchor; n < 15 && len(src)-anchor >= 16 {
			out[o] = byte(n) << 4
			copy8(out, o+1, src, anchor)
			copy8(out, o+9, src, anchor+8)
			o += 1 + n
		} else {
			o = literals(out, o, src, anchor, p)
		}
		for {
			distance := p - from
			out[o], out[o+1] = byte(distance), byte(distance>>8)
			p, from = p+minMatch, from+minMatch
			n := 8
			if x := load64(src, from) ^ load64(src, p); x != 0 {
				n = bits.TrailingZeros64(x) >> 3
			} else {
				n += common(src, from+8, p+8)
			}
			n = min(n, len(src)-lastBytes-p)
			out[token] |= byte(min(n, 15))
			o += 2
			if n >= 15 {
				o = length(out, o, n-15)
			}
			p += n
			if p > len(src)-matchMargin {
				return literals(out, o, src, p, len(src))
			}
			t[load64(src, p-2)*s.prime>>shift] = T(p - 2)
			slot := &t[load64(src, p)*s.prime>>shift]
			from = int(*slot)
			*slot = T(p)
			if load32(src, from) != load32(src, p) || p-from > maxDistance {
				break
			}
			token = o
			out[o] = 0
			o++
		}
		anchor = p
		p++
	}
}

// find returns the first position from next on that has a match, and the position
// of that, or -1. The step grows by one every 64 probes.
func find[T uint16 | uint32](t *table[T], src []byte, next, limit, counter int, prime uint64) (p, from int) {
	shift := t.shift()
	hash := load64(src, next) * prime
	for step := 1; ; counter++ {
		p = next
		next += step
		if next > limit {
			return -1, 0
		}
		step = counter >> 6
		slot := &t[hash>>shift]
		from = int(*slot)
		*slot = T(p)
		hash = load64(src, next) * prime
		if load32(src, from) == load32(src, p) && p-from <= maxDistance {
			return p, from
		}
	}
}

// common returns how many bytes from i on are those from j on; j is larger.
func common(src []byte, i, j int) int {
	start := j
	for j+8 <= len(src) {
		if x := load64(src, i) ^ load64(src, j); x != 0 {
			return j - start + bits.TrailingZeros64(x)>>3
		}
		i += 8
		j += 8
	}
	for j < len(src) && src[i] == src[j] {
		i++
		j++
	}
	return j - start
}

// literals writes a token and src[at:end], and returns where out goes on.
func literals(out []byte, o int, src []byte, at, end int) int {
	n := end - at
	out[o] = byte(min(n, 15)) << 4
	o++
	if n >= 15 {
		o = length(out, o, n-15)
	}
	return o + copy(out[o:], src[at:end])
}

// length writes what of a length exceeds the token's 15, and returns where out goes
// on.
func length(out []byte, o, n int) int {
	for ; n >= 255; n -= 255 {
		out[o] = 255
		o++
	}
	out[o] = byte(n)
	return o + 1
}
