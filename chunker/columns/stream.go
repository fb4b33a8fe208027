package columns

// A stream holds the values of one sort of a frame, in the order of the walk: the
// encoder's walk pushes, the decoder's pops. How streams are stored: see pack.go
// and numeric.go.
type stream interface {
	reset()
	size() (values, bytes int)
	truncate(values, bytes int) // back to what size said
	pack(p *packer)
	unpack(u *unpacker)
}

// numbers is a stream of integers or of the bits of floats.
type numbers struct {
	values []uint64
	refs   []uint64 // what each value is expected to be near to; empty if relative is false
	next   int      // of values, to pop

	bits     uint // of a value: 8, 32 or 64; differences wrap around there
	float    bool
	relative bool
	mode     mode // after unpack; with modeReference the values are still differences
}

func (s *numbers) reset() { s.values, s.refs, s.next, s.mode = s.values[:0], s.refs[:0], 0, modePlain }

func (s *numbers) size() (values, bytes int) { return len(s.values), 0 }

func (s *numbers) truncate(values, _ int) {
	s.values = s.values[:values]
	if s.relative {
		s.refs = s.refs[:values]
	}
}

func (s *numbers) push(v, ref uint64) {
	s.values = append(s.values, v)
	if s.relative {
		s.refs = append(s.refs, ref)
	}
}

func (s *numbers) pop(ref uint64) (v uint64, ok bool) {
	if s.next == len(s.values) {
		return 0, false
	}
	v = s.values[s.next]
	s.next++
	if s.mode == modeReference {
		v = (unzigzag(v) + ref) & mask(s.bits)
	}
	return v, true
}

// octets is a stream of single bytes, most of them flags.
type octets struct {
	b      []byte
	next   int
	memory []byte // of b, if unpack needed any
}

func (s *octets) reset() { s.b, s.next = s.b[:0], 0 }

func (s *octets) size() (values, bytes int) { return 0, len(s.b) }

func (s *octets) truncate(_, bytes int) { s.b = s.b[:bytes] }

func (s *octets) push(b byte) { s.b = append(s.b, b) }

func (s *octets) pop() (b byte, ok bool) {
	if s.next == len(s.b) {
		return 0, false
	}
	s.next++
	return s.b[s.next-1], true
}

// texts is a stream of byte strings, all of the length fixed or, if that is 0, each
// of its own.
type texts struct {
	fixed   int
	lengths numbers
	b       []byte // the strings, one after the other

	// To pop: either the strings lie in b from at, or b holds the index of each in
	// the dictionary, from at as well.
	at         int
	dictionary [][]byte
	memory     []byte // of b, if unpack needed any
	entries    []byte // of dictionary, if unpack needed any
}

func newTexts(fixed int) *texts { return &texts{fixed: fixed, lengths: numbers{bits: 64}} }

func (s *texts) reset() {
	s.lengths.reset()
	s.b, s.at, s.dictionary = s.b[:0], 0, s.dictionary[:0]
}

func (s *texts) size() (values, bytes int) { return len(s.lengths.values), len(s.b) }

func (s *texts) truncate(values, bytes int) {
	s.lengths.truncate(values, 0)
	s.b = s.b[:bytes]
}

// count is the number of strings that were pushed.
func (s *texts) count() int {
	if s.fixed > 0 {
		return len(s.b) / s.fixed
	}
	return len(s.lengths.values)
}

func (s *texts) push(b []byte) {
	if s.fixed == 0 {
		s.lengths.push(uint64(len(b)), 0)
	}
	s.b = append(s.b, b...)
}

// pop gives the next string; it is valid as long as the stream is.
func (s *texts) pop() (b []byte, ok bool) {
	if len(s.dictionary) > 0 {
		if s.at == len(s.b) || int(s.b[s.at]) >= len(s.dictionary) {
			return nil, false
		}
		s.at++
		return s.dictionary[s.b[s.at-1]], true
	}
	n := uint64(s.fixed)
	if n == 0 {
		if n, ok = s.lengths.pop(0); !ok {
			return nil, false
		}
	}
	if n > uint64(len(s.b)-s.at) {
		return nil, false
	}
	b = s.b[s.at : s.at+int(n)]
	s.at += int(n)
	return b, true
}
