package columns

import (
	"bytes"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A coding says how the bytes of a payload are stored. The values are part of the
// format.
type coding uint8

const (
	codingRaw  coding = iota // as they are
	codingRun                // all the same: one byte, in the directory
	codingZstd               // one zstd frame (RFC 8878); its length is in the directory
)

const (
	// inlineSize is the largest payload that is stored in the directory, and
	// compressed with that.
	inlineSize = 256

	// textSize is the smallest payload that is worth the encoder for texts.
	textSize = 4096
)

// A packer collects the directory and the bodies of a frame.
type packer struct {
	directory []byte
	bodies    []byte

	numbers, text *zstd.Encoder
	chooser       *chooser
	plane         []byte
	exceptions    []uint64
	indexes       map[string]byte // of the entries of a dictionary
	order         []string        // these entries
	found         []byte          // the index of each string
}

func newPacker(level Level) (*packer, error) {
	n, t, err := level.zstd()
	if err != nil {
		return nil, err
	}
	p := &packer{chooser: newChooser(), indexes: map[string]byte{}}
	if p.numbers, err = newZstd(n, numbersWindow); err != nil {
		return nil, err
	}
	p.text, err = newZstd(t, textWindow)
	return p, err
}

func newZstd(level zstd.EncoderLevel, window int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(window),
		// Without it planes that have no matches are stored as they are, however
		// skewed.
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithEncoderCRC(false),
	)
}

func (p *packer) vint(v uint64) { p.directory = appendVint(p.directory, v) }

func (p *packer) byte(b byte) { p.directory = append(p.directory, b) }

// payload stores b, of which the decoder knows the length.
func (p *packer) payload(b []byte, z *zstd.Encoder) {
	if len(b) <= inlineSize {
		p.directory = append(p.directory, b...)
		return
	}
	if b[0] == b[len(b)-1] && bytes.Equal(b[1:], b[:len(b)-1]) {
		p.byte(byte(codingRun))
		p.byte(b[0])
		return
	}
	before := len(p.bodies)
	p.bodies = z.EncodeAll(b, p.bodies)
	if n := len(p.bodies) - before; n < len(b) {
		p.byte(byte(codingZstd))
		p.vint(uint64(n))
		return
	}
	p.byte(byte(codingRaw))
	p.bodies = append(p.bodies[:before], b...)
}

// prose stores what may read like text.
func (p *packer) prose(b []byte) {
	if len(b) < textSize {
		p.payload(b, p.numbers)
	} else {
		p.payload(b, p.text)
	}
}

// planes stores byte 0 of all of v, then byte 1, as far as any has one.
func (p *packer) planes(v []uint64) {
	n := planes(v)
	p.byte(byte(n))
	for k := range n {
		p.plane = slices.Grow(p.plane[:0], len(v))[:len(v)]
		for i, x := range v {
			p.plane[i] = byte(x >> (8 * k))
		}
		p.payload(p.plane, p.numbers)
	}
}

// pack spoils the values.
func (s *numbers) pack(p *packer) {
	p.vint(uint64(len(s.values)))
	if len(s.values) == 0 {
		return
	}
	m, scale := p.chooser.choose(s)
	p.byte(byte(m))
	if m == modeDecimal {
		p.decimals(s, scale)
		return
	}
	m.apply(s.values, s.refs, s.bits)
	p.planes(s.values)
}

// decimals stores the scale, the exceptions with a bit for each value, and the rest.
func (p *packer) decimals(s *numbers, scale int) {
	odd := append(p.plane[:0], make([]byte, (len(s.values)+7)/8)...)
	p.plane = odd
	rest := s.values[:0]
	p.exceptions = p.exceptions[:0]
	var last int64
	for i, x := range s.values {
		n, ok := toDecimal(x, s.bits, scale)
		if !ok {
			odd[i/8] |= 1 << (i % 8)
			p.exceptions = append(p.exceptions, x)
			continue
		}
		rest = append(rest, zigzag(uint64(n-last), 64))
		last = n
	}
	p.byte(byte(scale))
	p.vint(uint64(len(p.exceptions)))
	if len(p.exceptions) > 0 {
		p.payload(odd, p.numbers)
		p.planes(p.exceptions)
	}
	p.planes(rest)
}

func (s *octets) pack(p *packer) {
	p.vint(uint64(len(s.b)))
	p.payload(s.b, p.numbers)
}

// A form says how a stream of texts is stored. The values are part of the format.
type form uint8

const (
	formPlain      form = iota // lengths, if they differ, and the strings
	formDictionary             // the different strings, and for each string an index
)

func (s *texts) pack(p *packer) {
	n := s.count()
	p.vint(uint64(n))
	if n == 0 {
		return
	}
	if indexes, ok := p.findDictionary(s, n); ok {
		p.byte(byte(formDictionary))
		p.vint(uint64(len(p.order)))
		p.plane = p.plane[:0]
		for _, entry := range p.order {
			p.vint(uint64(len(entry)))
			p.plane = append(p.plane, entry...)
		}
		p.prose(p.plane)
		p.payload(indexes, p.numbers)
		return
	}
	p.byte(byte(formPlain))
	if s.fixed == 0 {
		s.lengths.pack(p)
		p.vint(uint64(len(s.b)))
	}
	p.prose(s.b)
}

const (
	maxDictionary = 255
	minStrings    = 64  // fewer make no dictionary
	firstStrings  = 512 // that are looked at before all are
	maxFirst      = 64  // different ones that may be among them
)

// findDictionary makes a dictionary of the strings, if they are few different ones,
// in p.order, and gives the index of each string.
func (p *packer) findDictionary(s *texts, n int) (indexes []byte, ok bool) {
	if n < minStrings {
		return nil, false
	}
	clear(p.indexes)
	p.order = p.order[:0]
	indexes = p.found[:0]
	at := 0
	for i := range n {
		length := s.fixed
		if length == 0 {
			length = int(s.lengths.values[i])
		}
		b := s.b[at : at+length]
		at += length
		k, known := p.indexes[string(b)]
		if !known {
			if len(p.order) == maxDictionary || i < firstStrings && len(p.order) == maxFirst {
				return nil, false
			}
			k = byte(len(p.order))
			p.order = append(p.order, string(b))
			p.indexes[p.order[k]] = k
		}
		indexes = append(indexes, k)
	}
	p.found = indexes
	return indexes, true
}
