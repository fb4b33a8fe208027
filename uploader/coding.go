package uploader

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/sstash/sstash/chunker"
)

// coders are what turns the pieces of files into frames, several at a time, one file after the other.
type coders struct {
	all      []*chunker.Encoder
	free     chan *chunker.Encoder
	raw      chan []byte // buffers for pieces, one more than encoders: the next is read meanwhile
	throttle *throttle
}

// newCoders makes at least one encoder. Without a number of cores there is no throttle.
func newCoders(encoders int, cores float64) (*coders, error) {
	n := max(1, encoders)
	c := &coders{free: make(chan *chunker.Encoder, n), raw: make(chan []byte, n+1)}
	for range n {
		e, err := chunker.NewEncoder(chunker.Fast) // until it is told
		if err != nil {
			return nil, err
		}
		c.all = append(c.all, e)
		c.free <- e
	}
	for range n + 1 {
		c.raw <- nil
	}
	if cores > 0 {
		c.throttle = &throttle{cores: cores, used: cpuTime}
	}
	return c, nil
}

// mismatches is only for when nothing is being encoded.
func (c *coders) mismatches() (n uint64) {
	for _, e := range c.all {
		n += e.Mismatches
	}
	return n
}

// coding is a piece of a file on its way to a frame.
type coding struct {
	part    *part
	raw     []byte
	encoder *chunker.Encoder
	done    chan struct{} // closed when frame or err are there
	frame   chunker.Frame
	err     error

	unchecked int // chunks without their checksums

	// Of a Data.db: the part of Index.db that belongs to the piece, and its frame; empty if there is none.
	index      *part
	rawIndex   []byte
	indexFrame chunker.Frame
}

// plain makes a frame of any bytes.
func (w *coding) plain() (err error) {
	w.frame, err = w.encoder.Encode(w.raw)
	return err
}

// rows makes frames of the chunks that the encoder has opened, and of what of Index.db goes with them.
func (w *coding) rows() (err error) {
	w.frame, w.indexFrame, err = w.encoder.EncodeIndexed(w.rawIndex)
	return err
}

// encode calls read, which hands out pieces in order, and calls take with them once they have frames, of
// that level, in the same order. Only read runs beside the caller, and it has ended when encode returns. The error is that of
// take rather than that of read.
func (c *coders) encode(ctx context.Context, level chunker.Level, read func(*reader) error, take func(*coding) error) error {
	for _, e := range c.all { // all are free
		if err := e.SetLevel(level); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := &reader{ctx: ctx, coders: c, out: make(chan *coding, len(c.all))}
	var readErr error
	go func() {
		defer close(r.out)
		readErr = read(r)
	}()
	var err error
	for w := range r.out {
		<-w.done
		if err == nil {
			if err = w.err; err == nil {
				err = take(w)
			}
			if err != nil {
				stop()
			}
		}
		c.raw <- w.raw
		c.free <- w.encoder
	}
	if err != nil {
		return err
	}
	return readErr
}

// reader hands out pieces. It is for one goroutine.
type reader struct {
	ctx    context.Context
	coders *coders
	out    chan *coding // has room for all that there can be
}

// next reads the next n bytes of p, less only at its end, and waits for an encoder. It answers io.EOF
// when there is nothing left.
func (r *reader) next(p *part, n int) (*coding, error) {
	if err := r.coders.throttle.wait(r.ctx); err != nil {
		return nil, err
	}
	raw := <-r.coders.raw
	raw = slices.Grow(raw[:0], n)[:n]
	n, err := io.ReadFull(p.in, raw)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err != nil {
		r.coders.raw <- raw
		return nil, err
	}
	p.count(raw[:n])
	return &coding{part: p, raw: raw[:n], encoder: <-r.coders.free, done: make(chan struct{})}, nil
}

// count adds bytes that were read.
func (p *part) count(b []byte) {
	p.size += int64(len(b))
	p.hasher.Write(b)
}

// start lets encode, which uses w's encoder, make w's frames.
func (r *reader) start(w *coding, encode func() error) {
	r.out <- w
	go func() {
		defer close(w.done)
		w.err = encode()
	}()
}
