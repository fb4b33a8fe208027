package uploader

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/manifest"
)

// packSet fills and sends the packs of one set. Packs are sent while the next is filled, be it of
// another set.
type packSet struct {
	b      *batch
	id     pack.SetID
	writer *pack.Writer
	// lists are those added to the open pack, whose places are known once it is finished.
	lists []*manifest.Component
	packs uint32
	bytes int64
	raw   int64
}

// newPackSet begins a set whose first pack is built in buffer.
func (b *batch) newPackSet(buffer []byte) *packSet {
	id := pack.NewSetID()
	return &packSet{b: b, id: id, writer: pack.NewWriter(id, 0, buffer)}
}

// add puts a frame into the open pack, after sending that when it is full. One of Transform Index comes
// after the frame whose Data it shares.
func (p *packSet) add(f chunker.Frame) (pack.FrameRef, error) {
	if f.Transform == chunker.Index {
		return p.writer.AddShared(f), nil
	}
	if p.writer.Size() > 0 && p.writer.Size()+len(f.Data) > packTarget {
		if err := p.send(); err != nil {
			return pack.FrameRef{}, err
		}
		p.writer = pack.NewWriter(p.id, p.packs, p.b.u.buffers.get())
	}
	return p.writer.Add(f), nil
}

// list puts the frame list of c into the open pack. c gets its place when that pack is sent.
func (p *packSet) list(c *manifest.Component, label string, frames []pack.FrameRef) {
	p.writer.AddList(label, frames)
	p.lists = append(p.lists, c)
	p.raw += c.Size
}

// send finishes the open pack and returns when it is on its way.
func (p *packSet) send() error {
	object, lists, err := p.writer.Finish()
	if err != nil {
		return fmt.Errorf("make pack: %w", err)
	}
	for i, c := range p.lists {
		c.List = lists[i]
	}
	p.lists = p.lists[:0]
	name := p.b.u.Prefix + pack.Name(p.id, p.packs)
	p.packs++
	p.bytes += int64(len(object))
	p.b.result.Puts++
	p.b.result.Stored += int64(len(object))
	p.b.sending.Go(func() error {
		err := p.b.u.put(p.b.sendCtx, name, object)
		if err == nil { // else a connection that was given up may still read it
			p.b.u.buffers.put(object)
		}
		return err
	})
	if err := context.Cause(p.b.sendCtx); err != nil {
		return bucketError{err}
	}
	return nil
}

// buffers are the objects of packs that have been sent, to be filled again: packs are too large to be
// left to the garbage collector. It is safe for concurrent use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

// get returns an empty buffer for a whole pack that no one else has.
func (b *buffers) get() []byte {
	const lists = 256 << 10 // what comes after the frames
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) == 0 {
		return make([]byte, 0, packTarget+lists)
	}
	last := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	return last
}

func (b *buffers) put(object []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) <= inFlight && cap(object) >= packTarget { // else it was a small one, not from here
		b.free = append(b.free, object)
	}
}

func (p *packSet) keep(bundle bool) manifest.Keep {
	return manifest.Keep{Set: p.id, Packs: p.packs, Bytes: p.bytes, Raw: p.raw, Bundle: bundle}
}

func (u *Uploader) put(ctx context.Context, name string, object []byte) error {
	if err := u.Bucket.Put(ctx, name, object); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// bucketError marks what went wrong on the way out, so that it is not taken for an unreadable
// SSTable.
type bucketError struct{ error }

func (e bucketError) Unwrap() error { return e.error }

func isBucket(err error) bool {
	var b bucketError
	return errors.As(err, &b)
}
