package uploader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// pieces hands out content in pieces of many sizes, then err.
func pieces(content []byte, err error) func(*reader) error {
	return func(r *reader) error {
		p := &part{hasher: chunker.NewHasher(), in: bytes.NewReader(content)}
		for i := 1; ; i++ {
			w, nextErr := r.next(p, i%7*100_000+1)
			if errors.Is(nextErr, io.EOF) {
				return err
			}
			if nextErr != nil {
				return nextErr
			}
			r.start(w, w.plain)
		}
	}
}

// However many encoders there are, frames come in the order of the file, also before what could not be
// read; and in the end all of it has ended.
func TestFramesComeInOrder(t *testing.T) {
	content := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{}).Read(content[len(content)/2:]) // pieces of which some take longer
	broken := errors.New("broken")
	f := func(encoders int, readErr error) {
		t.Helper()
		c, err := newCoders(encoders, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		d := chunker.NewDecoder()
		err = c.encode(t.Context(), chunker.Balanced, pieces(content, readErr), func(w *coding) (err error) {
			got, err = d.Decode(got, w.frame)
			return err
		})
		if !errors.Is(err, readErr) || !bytes.Equal(got, content) {
			t.Errorf("%d encoders: %d bytes came, %v", encoders, len(got), err)
		}
		c.wantFree(t)
	}
	for n := range 5 {
		f(n, nil)
		f(n, broken)
	}
}

// What goes wrong with a frame, and a context that ends, stop the reader.
func TestEncodingStops(t *testing.T) {
	content := make([]byte, 6<<20)
	full := errors.New("full")
	f := func(end func(cancel func()) error, want error) {
		t.Helper()
		c, err := newCoders(2, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		taken := 0
		err = c.encode(ctx, chunker.Balanced, pieces(content, nil), func(*coding) error {
			if taken++; taken == 3 {
				return end(cancel)
			}
			return nil
		})
		if !errors.Is(err, want) || taken > 3+len(c.all) {
			t.Errorf("%v after %d frames, want %v after 3", err, taken, want)
		}
		c.wantFree(t)
	}
	f(func(func()) error { return full }, full)
	f(func(cancel func()) error { cancel(); return nil }, context.Canceled)
}

// wantFree holds when nobody has any of the encoders and buffers.
func (c *coders) wantFree(t *testing.T) {
	t.Helper()
	if len(c.free) != cap(c.free) || len(c.raw) != cap(c.raw) {
		t.Errorf("%d of %d encoders are free, %d of %d buffers", len(c.free), cap(c.free), len(c.raw), cap(c.raw))
	}
}
