package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sstash/sstash/internal/bucket"
)

// ErrFenced: a writer that opened the history later stores the log of this node; ours is over.
var ErrFenced = errors.New("another sstash stores this node's commit log")

// Identity is who writes: what every piece says.
type Identity struct {
	Cluster, HostID string
	Open            uint64 // the manifest with which the history was opened
	Nonce           string // of that open
}

// Writer puts pieces. They have one numbering, whoever writes: a number is created only if absent, so
// of two writers one finds its number taken and reads by whom (I4). Not safe for concurrent use.
type Writer struct {
	bucket bucket.Bucket
	prefix string
	id     Identity
	next   uint64
}

// OpenWriter finds the end of the log, and returns its last piece: nil when there is none, or none
// that can be read. ErrDamaged: there is no room behind it.
func OpenWriter(ctx context.Context, b bucket.Bucket, prefix string, id Identity) (*Writer, *Piece, error) {
	l, err := Read(ctx, b, prefix)
	if err != nil {
		return nil, nil, err
	}
	w := &Writer{bucket: b, prefix: prefix, id: id, next: 1}
	if len(l.pieces) == 0 {
		return w, nil, nil
	}
	newest := l.pieces[len(l.pieces)-1]
	if err := w.follow(newest.number); err != nil {
		return nil, nil, err
	}
	p, err := l.header(ctx, len(l.pieces)-1)
	switch {
	case errors.Is(err, ErrDamaged):
		return w, nil, nil
	case err != nil:
		return nil, nil, err
	case p.Open > id.Open:
		return nil, nil, fenced(p)
	}
	return w, &p, nil
}

// follow makes n the number that the next piece comes behind.
func (w *Writer) follow(n uint64) error {
	if n > lastNumber-room {
		return fmt.Errorf("%s leaves no room behind it; no sstash wrote it, remove it by hand: %w", objectName(w.prefix, n), ErrDamaged)
	}
	w.next = n + 1
	return nil
}

func fenced(p Piece) error {
	return fmt.Errorf("log piece %d is by the writer that opened the history with manifest %d: %w", p.Number, p.Open, ErrFenced)
}

// pending is a piece to be put. Its outcome may be unknown: then it is put again, as it is.
type pending struct {
	piece  Piece
	raw    []byte
	object []byte
}

// put stores p under the next number, and returns it as it was stored. ErrDamaged: what took the number
// can't be read, or leaves none behind it; only a new writer can go on. After any other error than these
// and ErrFenced the object may be there, and p must be put again before anything else.
func (w *Writer) put(ctx context.Context, p *pending) (stored Piece, bytes int64, err error) {
	for {
		if p.object == nil || p.piece.Number != w.next {
			unnumbered := p.piece
			unnumbered.Cluster, unnumbered.HostID, unnumbered.Open, unnumbered.Writer = w.id.Cluster, w.id.HostID, w.id.Open, w.id.Nonce
			stored = unnumbered.numbered(w.next)
			if p.object, err = stored.encode(p.raw); err != nil {
				return Piece{}, 0, err
			}
			p.piece.Number = w.next
		}
		err = w.bucket.Put(ctx, objectName(w.prefix, w.next), p.object)
		if errors.Is(err, fs.ErrExist) {
			var ours bool
			if ours, err = w.compare(ctx, p); err == nil && !ours {
				if err = w.skip(ctx); err == nil {
					continue
				}
			}
		}
		if err != nil {
			return Piece{}, 0, fmt.Errorf("put log piece %d: %w", w.next, err)
		}
		stored, _, err = decodeHeader(p.object)
		w.next++
		return stored, int64(len(p.object)), err
	}
}

// skip goes behind whatever is there by now.
func (w *Writer) skip(ctx context.Context) error {
	newest := w.next
	for o, err := range w.bucket.List(ctx, w.prefix+"log/", objectName(w.prefix, w.next)) {
		if err != nil {
			return fmt.Errorf("list the commit log: %w", err)
		}
		if n, ok := parseObjectName(w.prefix, o.Name); ok {
			newest = n
		}
	}
	return w.follow(newest)
}

// compare reads what took our number. An older writer's last piece may have arrived late: then ours
// comes behind it.
func (w *Writer) compare(ctx context.Context, p *pending) (ours bool, err error) {
	name := objectName(w.prefix, w.next)
	object, err := w.bucket.Get(ctx, name, 0, -1)
	if err != nil {
		return false, fmt.Errorf("read what took its number: %w", err)
	}
	if bytes.Equal(object, p.object) {
		return true, nil
	}
	taken, _, err := decode(object)
	if err != nil {
		return false, damaged(name, err)
	}
	if taken.Open < w.id.Open {
		return false, nil
	}
	return false, fenced(taken)
}
