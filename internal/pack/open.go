package pack

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sstash/sstash/chunker"
)

// Pack is an object that was read and found to be whole. It refers to the
// object's bytes and may be used by many goroutines.
type Pack struct {
	Set    SetID
	Number uint32
	Frames []FrameRef // all frames, by offset; including those that no list names
	Lists  []List     // all frame lists, by offset

	object []byte
}

// List is a component's frame list as it stands in a pack.
type List struct {
	Label  string // says to a human what it was, for salvage without manifests
	Ref    ListRef
	Frames []FrameRef // in file order; some may be in lower-numbered packs of the set
}

// Open reads an object, which may be hostile, and which must not change
// afterwards. It checks everything but what only decoding a frame can tell: that
// the object has all its bytes and no other ones, that frames and lists fill it
// without gap or overlap, and that each list can be parsed and names only frames
// that exist, as far as this pack knows. What is missing or wrong is
// chunker.ErrCorrupt; another version, a suite or a critical section that this
// version doesn't know is chunker.ErrUnsupported. It allocates no more than a
// small multiple of the object's length.
//
// The caller compares Set and Number with the name under which it found the
// object (I9).
func Open(object []byte) (*Pack, error) {
	p := &Pack{object: object}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	return p, nil
}

func (p *Pack) open() (err error) {
	if len(p.object) < headerSize+trailerSize {
		return fmt.Errorf("%w: %d bytes, at least %d needed, maybe cut short",
			chunker.ErrCorrupt, len(p.object), headerSize+trailerSize)
	}
	p.Set, p.Number, err = parseHeader(p.object[:headerSize])
	if err != nil {
		return err
	}
	footer, footerOff, err := parseTrailer(p.object)
	if err != nil {
		return err
	}
	sections, err := parseSections(footer)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	listsOff, err := p.readFrames(sections[sectionFrames], footerOff)
	if err != nil {
		return fmt.Errorf("footer: frames: %w", err)
	}
	if err := p.readLists(sections[sectionLists], listsOff, footerOff); err != nil {
		return fmt.Errorf("footer: lists: %w", err)
	}
	return nil
}

// readFrames sets p.Frames, which must fill the object from its header to an end
// not beyond limit, and returns that end. Since version 2, two may share their bytes.
func (p *Pack) readFrames(payload []byte, limit int) (end int, err error) {
	p.Frames, err = parseList(payload)
	if err != nil {
		return 0, err
	}
	end = headerSize
	for i, f := range p.Frames {
		if shared := i > 0 && f.SharesWith(p.Frames[i-1]); shared && p.object[8] >= version2 &&
			(i < 2 || !f.SharesWith(p.Frames[i-2])) {
			continue
		}
		if f.Pack != p.Number || int(f.Off) != end || uint64(f.Len) > uint64(limit-end) {
			return 0, fmt.Errorf("%w: %d bytes at %d of pack %d, want at most %d at %d of pack %d",
				chunker.ErrCorrupt, f.Len, f.Off, f.Pack, limit-end, end, p.Number)
		}
		end += int(f.Len)
	}
	return end, nil
}

// readLists sets p.Lists, which must fill the object between the two offsets.
func (p *Pack) readLists(payload []byte, from, to int) error {
	c := cursor{rest: payload}
	for range c.uvarint() {
		l := List{Ref: ListRef{Pack: p.Number, Off: c.uvarint(), Len: c.uvarint()}}
		l.Label = string(c.take(c.uvarint()))
		if c.err != nil {
			return c.err
		}
		if int(l.Ref.Off) != from || uint64(l.Ref.Len) > uint64(to-from) {
			return fmt.Errorf("%w: %d bytes at %d, want at most %d at %d",
				chunker.ErrCorrupt, l.Ref.Len, l.Ref.Off, to-from, from)
		}
		end := from + int(l.Ref.Len)
		var err error
		if l.Frames, err = parseList(p.object[from:end]); err != nil {
			return fmt.Errorf("%q: %w", l.Label, err)
		}
		if i := slices.IndexFunc(l.Frames, p.lacks); i >= 0 {
			return fmt.Errorf("%q: %w: frame %d, at %d of pack %d, does not exist",
				l.Label, chunker.ErrCorrupt, i, l.Frames[i].Off, l.Frames[i].Pack)
		}
		p.Lists = append(p.Lists, l)
		from = end
	}
	if c.err == nil && from != to {
		c.fail("end at %d, want %d", from, to)
	}
	return c.end()
}

// lacks reports whether p knows that a frame in one of its lists doesn't exist.
func (p *Pack) lacks(f FrameRef) bool {
	if f.Pack != p.Number {
		return f.Pack > p.Number
	}
	i, found := slices.BinarySearchFunc(p.Frames, f, func(a, b FrameRef) int { return cmp.Compare(a.Off, b.Off) })
	second := i + 1
	return !found || p.Frames[i] != f && (second == len(p.Frames) || p.Frames[second] != f)
}

// Frame returns the frame that f, one of p.Frames or a copy from a list, refers
// to. Its Data is a part of the object. A frame that p doesn't hold, such as one
// of another pack of the set, is an error.
func (p *Pack) Frame(f FrameRef) (chunker.Frame, error) {
	if f.Pack != p.Number || p.lacks(f) {
		return chunker.Frame{}, fmt.Errorf("frame at %d of pack %d: not in pack %d", f.Off, f.Pack, p.Number)
	}
	return f.Frame(p.object[f.Off:][:f.Len:f.Len])
}
