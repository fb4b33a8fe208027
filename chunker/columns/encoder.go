package columns

import (
	"errors"
	"fmt"
	"slices"
)

const (
	// MaxRaw is the largest raw length that a frame may have.
	MaxRaw = 64 << 20

	// How far back the compressors look. Planes of numbers are shorter than texts, and gain
	// nothing from afar.
	numbersWindow = 1 << 20
	textWindow    = 4 << 20

	// maxPending is how many bytes of a key or clustering that is cut may be waiting
	// for the rest.
	maxPending = 256 << 10

	// layout1 is the first byte of a frame of the layout in the package comment.
	layout1 = 1
)

// State is where the grammar stands at a cut between two frames. The zero value is
// the beginning of a Data.db. States are values: they share nothing that changes.
type State struct {
	place    place  // which item comes at the next boundary
	previous uint64 // size of the one before that
	skip     uint64 // bytes until there
	pending  []byte // the beginning of an item of which the end isn't known yet; then skip is 0
	frozen   bool   // it is the schema's other reading that fits
	lost     bool   // the grammar broke
}

// Encoder makes frames. It is for one goroutine, and for one schema after the other.
// It holds about 22 MiB after frames of 4 MiB, less after smaller ones.
type Encoder struct {
	packer  *packer // nil until there is a level
	level   Level
	walkers [2]*walker // of the schema's two readings
	item    []byte     // one that was cut, put together
	sizes   []streamSize
	last    piece
}

// piece is data that was split: its items are in the walker's streams.
type piece struct {
	walker     *walker
	first      State // at the first boundary
	head, tail []byte
}

// streamSize is what a stream says of itself.
type streamSize struct{ values, bytes int }

// NewEncoder returns an Encoder; it fails only on a level that is none of the
// constants.
func NewEncoder(level Level) (*Encoder, error) {
	e := &Encoder{}
	if err := e.SetLevel(level); err != nil {
		return nil, fmt.Errorf("create encoder: %w", err)
	}
	return e, nil
}

// SetLevel makes the frames from the next Split on ones of level. It fails as NewEncoder
// does. A zero Encoder has no level, and can't be used before it is set.
func (e *Encoder) SetLevel(level Level) error {
	if e.packer != nil && level == e.level {
		return nil
	}
	p, err := newPacker(level)
	if err != nil {
		return err
	}
	e.packer, e.level = p, level
	return nil
}

// Encode appends to dst the frame of data, which begins in state s of a Data.db with
// this schema, and says in which state it ends. It is Split and Append; dst is as it was
// when it fails.
func (e *Encoder) Encode(dst, data []byte, schema *Schema, s State) (out []byte, next State, err error) {
	next, err = e.Split(data, schema, s)
	if err != nil {
		return dst, next, err
	}
	return e.Append(dst), next, nil
}

// Split takes data apart, which begins in state s of a Data.db with this schema, and
// says in which state it ends: the next piece may be split by another Encoder
// meanwhile. If the bytes don't follow the grammar it gives ErrGrammar, and so it does
// from then on, if it is called with the state that it gave. Data of more than MaxRaw
// bytes is an error as well.
func (e *Encoder) Split(data []byte, schema *Schema, s State) (next State, err error) {
	if len(data) > MaxRaw {
		return State{lost: true}, fmt.Errorf("encode %d bytes of rows: at most %d", len(data), MaxRaw)
	}
	if s.lost {
		return s, fmt.Errorf("encode rows: %w", ErrGrammar)
	}
	next, err = e.split(data, schema, s)
	if err != nil && schema.frozen != nil {
		s.frozen = !s.frozen
		next, err = e.split(data, schema, s)
	}
	if err != nil {
		return State{lost: true}, fmt.Errorf("encode rows: %w", err)
	}
	return next, nil
}

func (e *Encoder) split(data []byte, schema *Schema, s State) (State, error) {
	w := e.walker(schema, s.frozen)
	head, first, err := e.resume(w, data, s)
	if err != nil {
		return State{}, err
	}
	next, tail, err := e.walk(w, data[head:], first)
	if err != nil {
		return State{}, err
	}
	e.last = piece{w, first, data[:head], data[len(data)-tail:]}
	return next, nil
}

// walker gives the walker of a reading of the schema.
func (e *Encoder) walker(schema *Schema, frozen bool) *walker {
	i := 0
	if frozen && schema.frozen != nil {
		schema, i = schema.frozen, 1
	}
	e.walkers[i] = walkerOf(schema, e.walkers[i])
	return e.walkers[i]
}

// resume finds the first boundary: the length of what comes before it, which is all
// of the data if there is none, and the state there.
func (e *Encoder) resume(w *walker, data []byte, s State) (head int, first State, err error) {
	if len(s.pending) > 0 {
		e.item = append(append(e.item[:0], s.pending...), data[:min(len(data), maxPending)]...)
		w.begin(s)
		w.in = e.item
		w.item()
		switch {
		case w.err == nil:
			w.end = int64(w.pos)
		case !errors.Is(w.err, errShort):
			return 0, State{}, w.err
		case w.end == 0 && len(e.item) > maxPending:
			return 0, State{}, ErrGrammar
		case w.end == 0:
			s.pending = slices.Clone(e.item)
			return len(data), s, nil
		}
		s.place, s.previous = w.place, w.previous
		s.skip, s.pending = uint64(w.end-int64(len(s.pending))), nil
	}
	head = int(min(s.skip, uint64(len(data))))
	s.skip -= uint64(head)
	return head, s, nil
}

// walk takes the items of data apart, and says how many bytes at the end belong to
// one that is cut.
func (e *Encoder) walk(w *walker, data []byte, s State) (next State, tail int, err error) {
	w.begin(s)
	at := 0
	for at < len(data) && w.err == nil {
		s.place, s.previous = w.place, w.previous
		w.in, w.pos = data, at
		w.item()
		if w.err == nil {
			at = w.pos
		}
	}
	switch {
	case w.err == nil:
		s.place, s.previous = w.place, w.previous
		return s, 0, nil
	case !errors.Is(w.err, errShort):
		return State{}, 0, w.err
	}
	tail = len(data) - at
	if w.end > 0 {
		next = State{place: w.place, previous: w.previous, skip: uint64(w.end - int64(len(data))), frozen: s.frozen}
	} else if tail <= maxPending {
		next = State{place: s.place, previous: s.previous, pending: slices.Clone(data[at:]), frozen: s.frozen}
	} else {
		return State{}, 0, ErrGrammar
	}
	e.forget(w, data, at, s)
	return next, tail, nil
}

// forget takes what the item at a position, which is cut, has left in the streams out
// of them again. Nothing is noted of an item for this: walking over it a second time
// adds as much as is to be taken away twice.
func (e *Encoder) forget(w *walker, data []byte, at int, s State) {
	e.sizes = e.sizes[:0]
	for _, st := range w.all {
		values, bytes := st.size()
		e.sizes = append(e.sizes, streamSize{values, bytes})
	}
	w.err, w.place, w.previous = nil, s.place, s.previous
	w.in, w.pos = data, at
	w.item()
	for i, st := range w.all {
		values, bytes := st.size()
		before := e.sizes[i]
		st.truncate(2*before.values-values, 2*before.bytes-bytes)
	}
}

// Append appends to dst the frame of what was split last, of which the data must still
// be there, and spoils it.
func (e *Encoder) Append(dst []byte) []byte {
	p, last := e.packer, e.last
	p.bodies = p.bodies[:0]
	p.directory = last.walker.schema.appendTo(p.directory[:0])
	p.byte(byte(last.first.place))
	p.vint(last.first.previous)
	for _, literal := range [][]byte{last.head, last.tail} {
		p.vint(uint64(len(literal)))
		p.prose(literal)
	}
	for _, s := range last.walker.all {
		s.pack(p)
	}
	dst = append(dst, layout1)
	dst = appendVint(dst, uint64(len(p.directory)))
	p.plane = p.text.EncodeAll(p.directory, p.plane[:0])
	directory := p.plane
	if len(directory) >= len(p.directory) {
		directory = p.directory
	}
	dst = appendVint(dst, uint64(len(directory)))
	return append(append(dst, directory...), p.bodies...)
}

// walkerOf gives a walker of s: w, if that has the streams, for those are large.
func walkerOf(s *Schema, w *walker) *walker {
	if w == nil || !w.schema.sameColumns(s) {
		return newWalker(s)
	}
	w.schema = s
	return w
}

func newWalker(s *Schema) *walker {
	words := max(len(s.static), len(s.regular))/64 + 1
	return &walker{schema: s, streams: newStreams(s), absent: make([]uint64, words)}
}

// begin empties the streams and goes to where s is.
func (w *walker) begin(s State) {
	for _, st := range w.all {
		st.reset()
	}
	w.start(s)
}

// start goes to where s is.
func (w *walker) start(s State) {
	w.err, w.place, w.previous, w.starts = nil, s.place, s.previous, w.starts[:0]
	w.in, w.pos, w.end, w.header = nil, 0, 0, 2
	w.clusteringTime, w.rowTime = w.schema.minTimestamp, w.schema.minTimestamp
}
