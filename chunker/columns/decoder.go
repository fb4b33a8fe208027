package columns

import (
	"bytes"
	"fmt"
	"slices"
)

// Decoder gets raw bytes back out of frames, which may be hostile. It is for one
// goroutine. It holds about twice the raw bytes of its largest frame; a hostile frame
// can make that ten times, and 10 MiB for a schema.
type Decoder struct {
	unpacker  *unpacker
	walker    *walker
	signature []byte // of the walker's schema
	head      []byte
	tail      []byte
	origin    int // where the rows began in the slice that was extended last
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder { return &Decoder{unpacker: newUnpacker()} }

// Decode appends the raw bytes of a frame, of which there are raw, to dst and returns
// the extended slice. It doesn't verify them: whoever stores a frame keeps their hash.
// When it fails it returns dst as it was, although bytes between its length and
// capacity may have changed, and ErrCorrupt.
func (d *Decoder) Decode(dst, stored []byte, raw int) ([]byte, error) {
	if raw < 0 || raw > MaxRaw {
		return dst, fmt.Errorf("decode rows: %w: %d raw bytes, at most %d", ErrCorrupt, raw, MaxRaw)
	}
	out := d.decode(dst, stored, raw)
	if out == nil {
		return dst, fmt.Errorf("decode rows: %w", ErrCorrupt)
	}
	return out, nil
}

// decode gives nil if the frame is damaged.
func (d *Decoder) decode(dst, stored []byte, raw int) []byte {
	u := d.unpacker
	u.begin(stored, raw)
	if !d.setSchema() {
		return nil
	}
	first := State{place: place(u.byte()), previous: u.vint()}
	room := uint64(raw)
	head := u.payload(u.count(&room), &d.head)
	tail := u.payload(u.count(&room), &d.tail)
	for _, s := range d.walker.all {
		s.unpack(u)
	}
	if u.bad || first.place >= places {
		return nil
	}
	w := d.walker
	w.start(first)
	dst = slices.Grow(dst, raw+maxSizes+maxVint)
	d.origin = len(dst)
	w.out = append(dst, head...)
	w.limit = len(dst) + raw - len(tail)
	for len(w.out) < w.limit && w.err == nil {
		w.item()
	}
	out := w.out
	w.out = nil
	if w.err != nil {
		return nil
	}
	return append(out, tail...)
}

// setSchema reads the schema and makes d.walker one for it.
func (d *Decoder) setSchema() bool {
	u := d.unpacker
	if d.walker != nil && bytes.HasPrefix(u.b, d.signature) {
		u.take(uint64(len(d.signature)))
		return true
	}
	before := u.b
	s := u.schema()
	if s == nil {
		return false
	}
	d.signature = append(d.signature[:0], before[:len(before)-len(u.b)]...)
	d.walker = walkerOf(s, d.walker)
	d.walker.decoding = true
	return true
}
