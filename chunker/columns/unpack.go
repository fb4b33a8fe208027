package columns

import (
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// An unpacker takes a frame apart. Every length is checked against what the raw
// bytes can have made before memory is taken for it.
type unpacker struct {
	reader        // the directory
	bodies reader // what follows it

	zstd       *zstd.Decoder
	values     uint64 // how many numbers and
	bytes      uint64 // how many bytes the streams may still have
	directory  []byte
	plane      []byte
	exceptions []uint64
}

func newUnpacker() *unpacker {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true),
	)
	if err != nil {
		panic("columns: constant options refused: " + err.Error())
	}
	return &unpacker{zstd: z}
}

// begin reads a frame up to its directory. Each number of a stream makes a byte of
// the raw ones at least, and each byte of a stream half of one: the index of a fixed
// text or the flag of a timeuuid come on top of what they tell of.
func (u *unpacker) begin(stored []byte, raw int) {
	u.values, u.bytes = uint64(raw), 2*uint64(raw)
	u.bodies = reader{b: stored}
	u.reader = reader{}
	if u.bodies.byte() != layout1 {
		u.fail()
		return
	}
	n := u.bodies.vint()
	packed := u.bodies.text()
	if u.bodies.bad || n > maxDirectory(raw) {
		u.fail()
		return
	}
	if n != uint64(len(packed)) {
		u.directory = u.inflate(packed, u.directory, n)
		packed = u.directory
	}
	if !u.bad {
		u.b = packed
	}
}

// maxDirectory is what a directory may have: the planes of small streams are in it,
// eight for each number at most.
func maxDirectory(raw int) uint64 { return 8*uint64(raw) + 1<<20 }

// payload gives the next n bytes that a packer stored as a payload, in memory of the
// frame or in *memory, which grows if need be.
func (u *unpacker) payload(n uint64, memory *[]byte) []byte {
	if n <= inlineSize {
		return u.take(n)
	}
	switch coding(u.byte()) {
	case codingRaw:
		return u.body(n)
	case codingRun:
		*memory = slices.Grow((*memory)[:0], int(n))[:n]
		b := u.byte()
		for i := range *memory {
			(*memory)[i] = b
		}
		return *memory
	case codingZstd:
		*memory = u.inflate(u.body(u.vint()), *memory, n)
		return *memory
	}
	u.fail()
	return nil
}

// body takes n bytes of the bodies.
func (u *unpacker) body(n uint64) []byte {
	b := u.bodies.take(n)
	if u.bodies.bad {
		u.fail()
	}
	return b
}

// inflate gives exactly n bytes, in memory if that is large enough.
func (u *unpacker) inflate(stored, memory []byte, n uint64) []byte {
	if u.bad {
		return nil
	}
	memory = slices.Grow(memory[:0], int(n))
	b, err := u.zstd.DecodeAll(stored, memory[0:0:n])
	if err != nil || uint64(len(b)) != n {
		u.fail()
		return nil
	}
	return b
}

// count reads how many values or bytes come, of which there may be no more than room.
func (u *unpacker) count(room *uint64) uint64 {
	n := u.vint()
	if n > *room {
		u.fail()
		return 0
	}
	*room -= n
	return n
}

// planes puts n numbers together in memory.
func (u *unpacker) planes(n uint64, memory []uint64) []uint64 {
	v := slices.Grow(memory[:0], int(n))[:n]
	clear(v)
	count := u.byte()
	if count > 8 {
		u.fail()
	}
	for k := 0; k < int(count) && !u.bad; k++ {
		plane := u.payload(n, &u.plane)
		if u.bad {
			break
		}
		for i, b := range plane[:len(v)] {
			v[i] |= uint64(b) << (8 * k)
		}
	}
	return v
}

func (s *numbers) unpack(u *unpacker) {
	s.reset()
	n := u.count(&u.values)
	if n == 0 {
		return
	}
	s.mode = mode(u.byte())
	if s.mode >= modes || s.mode == modeDecimal && !s.float || s.mode == modeReference && !s.relative {
		u.fail()
		return
	}
	if s.mode == modeDecimal {
		s.values = u.decimals(s, n)
		return
	}
	s.values = u.planes(n, s.values)
	s.mode.undo(s.values, s.bits)
}

func (u *unpacker) decimals(s *numbers, n uint64) []uint64 {
	scale := int(u.byte())
	odd := u.vint()
	if scale > maxScale || odd > n {
		u.fail()
		return nil
	}
	var flags []byte
	if odd > 0 {
		flags = slices.Clone(u.payload((n+7)/8, &u.plane))
		u.exceptions = u.planes(odd, u.exceptions)
	}
	v := u.planes(n-odd, slices.Grow(s.values[:0], int(n)))
	if u.bad || odd > 0 && !exceptional(flags, n, odd) {
		u.fail()
		return nil
	}
	var last int64
	for i, z := range v {
		last += int64(unzigzag(z))
		v[i] = fromDecimal(last, s.bits, scale)
	}
	return insert(v[:n], flags, u.exceptions[:odd])
}

// exceptional tells whether of n flags so many are set, and none behind.
func exceptional(flags []byte, n, set uint64) bool {
	total := 0
	for _, b := range flags {
		total += bits.OnesCount8(b)
	}
	return uint64(total) == set && (n%8 == 0 || flags[n/8]>>(n%8) == 0)
}

// insert spreads the values at the beginning of v to where no flag is set, from the
// end, and puts the exceptions where one is.
func insert(v []uint64, flags []byte, exceptions []uint64) []uint64 {
	rest := len(v) - len(exceptions)
	for i := len(v) - 1; len(exceptions) > 0; i-- {
		if flags[i/8]>>(i%8)&1 != 0 {
			v[i] = exceptions[len(exceptions)-1]
			exceptions = exceptions[:len(exceptions)-1]
		} else {
			rest--
			v[i] = v[rest]
		}
	}
	return v
}

func (s *octets) unpack(u *unpacker) {
	s.reset()
	s.b = u.payload(u.count(&u.bytes), &s.memory)
}

func (s *texts) unpack(u *unpacker) {
	s.reset()
	n := u.vint()
	if n == 0 || u.bad {
		return
	}
	switch form(u.byte()) {
	case formPlain:
		s.unpackPlain(u, n)
	case formDictionary:
		s.unpackDictionary(u, n)
	default:
		u.fail()
	}
}

func (s *texts) unpackPlain(u *unpacker, n uint64) {
	total := uint64(0)
	if s.fixed == 0 {
		s.lengths.unpack(u)
		total = u.vint()
	} else if n <= u.bytes {
		total = n * uint64(s.fixed)
	} else {
		u.fail()
	}
	if total > u.bytes {
		u.fail()
		return
	}
	u.bytes -= total
	s.b = u.payload(total, &s.memory)
}

func (s *texts) unpackDictionary(u *unpacker, n uint64) {
	entries := u.vint()
	if entries == 0 || entries > maxDictionary || n > u.bytes {
		u.fail()
		return
	}
	u.bytes -= n
	var lengths [maxDictionary]uint64
	total := uint64(0)
	for i := range entries {
		lengths[i] = u.count(&u.bytes)
		total += lengths[i]
	}
	b := u.payload(total, &s.entries)
	s.b = u.payload(n, &s.memory)
	if u.bad {
		return
	}
	for _, n := range lengths[:entries] {
		s.dictionary = append(s.dictionary, b[:n])
		b = b[n:]
	}
}
