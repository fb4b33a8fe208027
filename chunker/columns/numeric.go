package columns

import (
	"math"
	"math/bits"
)

// A mode is what was done to a stream of numbers before it was cut into planes of
// bytes. The values are part of the format.
type mode uint8

const (
	modePlain     mode = iota // nothing
	modeDelta                 // zigzag of the difference to the one before, 0 before the first
	modeDelta2                // zigzag of the difference to the difference before
	modeReference             // zigzag of the difference to what the walk expects
	modeXor                   // exclusive or with the one before
	modeDecimal               // floats as integers over a power of ten, then modeDelta
	modes                     // how many there are
)

// maxScale is the largest power of ten of modeDecimal.
const maxScale = 6

func mask(bits uint) uint64 { return math.MaxUint64 >> (64 - bits) }

// zigzag maps a difference of numbers of so many bits, which wraps around, to a
// small number if it is near zero on either side.
func zigzag(d uint64, bits uint) uint64 {
	v := int64(d<<(64-bits)) >> (64 - bits)
	return uint64(v<<1) ^ uint64(v>>63)
}

func unzigzag(z uint64) uint64 { return z>>1 ^ -(z & 1) }

// apply does m to v, in place. Decimals are done elsewhere.
func (m mode) apply(v, refs []uint64, bits uint) {
	var last, lastDelta uint64
	switch m {
	case modeDelta:
		for i, x := range v {
			v[i] = zigzag(x-last, bits)
			last = x
		}
	case modeDelta2:
		for i, x := range v {
			d := x - last
			v[i] = zigzag(d-lastDelta, bits)
			last, lastDelta = x, d
		}
	case modeReference:
		for i, x := range v {
			v[i] = zigzag(x-refs[i], bits)
		}
	case modeXor:
		for i, x := range v {
			v[i] = x ^ last
			last = x
		}
	}
}

// undo is the inverse of apply, but for modeReference, which the walk undoes.
func (m mode) undo(v []uint64, bits uint) {
	var last, delta uint64
	all := mask(bits)
	switch m {
	case modeDelta:
		for i, z := range v {
			last += unzigzag(z)
			v[i] = last & all
		}
	case modeDelta2:
		for i, z := range v {
			delta += unzigzag(z)
			last += delta
			v[i] = last & all
		}
	case modeXor:
		for i, x := range v {
			last ^= x
			v[i] = last
		}
	}
}

// toDecimal gives n so that n/10^scale is exactly the float of these bits.
func toDecimal(x uint64, bits uint, scale int) (n int64, ok bool) {
	f := math.Float64frombits(x)
	if bits == 32 {
		f = float64(math.Float32frombits(uint32(x)))
	}
	f *= math.Pow10(scale)
	if !(f > -1e15 && f < 1e15) {
		return 0, false
	}
	n = int64(math.RoundToEven(f))
	return n, fromDecimal(n, bits, scale) == x
}

// fromDecimal divides, which IEEE 754 rounds alike on every machine.
func fromDecimal(n int64, bits uint, scale int) uint64 {
	f := float64(n) / math.Pow10(scale)
	if bits == 32 {
		return uint64(math.Float32bits(float32(f)))
	}
	return math.Float64bits(f)
}

// sampleSize is how many values of a stream are tried before a mode is chosen.
const sampleSize = 2048

// A chooser finds the mode by which a stream is likely to become smallest.
type chooser struct {
	sample [sampleSize]uint64
	counts [256]uint32
	nlogn  [sampleSize + 1]uint32 // n log2 n, in 64ths
}

func newChooser() *chooser {
	c := &chooser{}
	for n := 2; n <= sampleSize; n++ {
		c.nlogn[n] = uint32(math.Round(64 * float64(n) * math.Log2(float64(n))))
	}
	return c
}

// choose tries the modes on values from the middle of s.
func (c *chooser) choose(s *numbers) (best mode, scale int) {
	from := max(0, len(s.values)-sampleSize) / 2
	values := s.values[from:min(from+sampleSize, len(s.values))]
	lowest := c.cost(values)
	if len(values) <= 8 || lowest <= 64*64 {
		return modePlain, 0
	}
	better := func(m mode, cost uint64) {
		if cost+cost/64+32*64 < lowest {
			lowest, best = cost, m
		}
	}
	try := func(m mode) {
		v := c.sample[:len(values)]
		copy(v, values)
		if m == modeReference {
			m.apply(v, s.refs[from:], s.bits)
		} else {
			m.apply(v, nil, s.bits)
		}
		v[0] = v[1] // the first has none before it
		better(m, c.cost(v))
	}
	if !s.float {
		try(modeDelta)
		try(modeDelta2)
		if s.relative {
			try(modeReference)
		}
		return best, 0
	}
	try(modeXor)
	for k := range maxScale + 1 {
		before := lowest
		better(modeDecimal, c.decimalCost(values, s.bits, k))
		if lowest < before {
			scale = k
		}
	}
	return best, scale
}

// decimalCost is the cost of modeDecimal: of what it can't express, all bits but a
// few, and for each value a bit that says so.
func (c *chooser) decimalCost(values []uint64, bits uint, scale int) uint64 {
	v := c.sample[:0]
	var last int64
	for _, x := range values {
		if n, ok := toDecimal(x, bits, scale); ok {
			v = append(v, zigzag(uint64(n-last), 64))
			last = n
		}
	}
	if len(v) == 0 {
		return math.MaxUint64 / 2
	}
	v[0] = 0
	odd := uint64(len(values) - len(v))
	return c.cost(v) + odd*uint64(bits)*62 + uint64(len(values))*4
}

// cost is the entropy of the planes of v, each for itself, in 64ths of a bit, and
// 64 bits for the plane itself.
func (c *chooser) cost(v []uint64) uint64 {
	total := uint64(0)
	for p := range planes(v) {
		clear(c.counts[:])
		for _, x := range v {
			c.counts[byte(x>>(8*p))]++
		}
		total += uint64(c.nlogn[len(v)]) + 64*64
		for _, n := range c.counts {
			total -= uint64(c.nlogn[n])
		}
	}
	return total
}

// planes is the number of bytes that the largest of v needs.
func planes(v []uint64) int {
	var all uint64
	for _, x := range v {
		all |= x
	}
	return (bits.Len64(all) + 7) / 8
}
