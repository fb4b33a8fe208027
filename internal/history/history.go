// Package history is the only reader and writer of manifests/: the numbered entries of one node.
//
// A number is created only if absent, and numbers have no gaps; that is the only lock there is (I4).
// Whoever finds a number taken reads what took it. Its own nonce means that an earlier answer was
// lost. Anything else means that another writer has opened the history since, and this one stops:
// of two daemons, of a machine and its clone, the one that opened last goes on.
package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/manifest"
)

var (
	// ErrFenced: another writer has opened this node's history; ours is over.
	ErrFenced = errors.New("another sstash writes this node's history")
	// ErrDamaged: an entry that is needed is missing, unreadable or does not follow its predecessor.
	ErrDamaged = errors.New("the history is damaged")
	// ErrEmpty: the node has no history.
	ErrEmpty = errors.New("no backups here")
)

const (
	// readers is how many entries are fetched at a time.
	readers = 8
	// last is the highest number that a name has room for: with more digits the order of names would
	// not be that of numbers.
	last = 9_999_999_999
	// room is how many numbers a history that starts over needs. At a commit every second it would take
	// 285 years to leave less: an object with such a number is a stray one.
	room = 1_000_000_000
)

// Name is the object that holds entry seq below a node's prefix.
func Name(prefix string, seq uint64) string {
	return fmt.Sprintf("%smanifests/%010d", prefix, seq)
}

func parseName(prefix, name string) (uint64, bool) {
	seq, err := strconv.ParseUint(strings.TrimPrefix(name, prefix+"manifests/"), 10, 64)
	return seq, err == nil && seq > 0 && seq <= last && Name(prefix, seq) == name
}

// Reader reads one node's history. Safe for concurrent use.
type Reader struct {
	Bucket bucket.Bucket
	Prefix string // "<cluster>/<host-id>/"
	Cache  *Cache // may be nil
}

// Entry is what a listing knows of an entry.
type Entry struct {
	Seq  uint64
	Size int64 // of the object, in bytes
}

// Entries lists the entries from number from on, in order. Objects with other names are left out. An
// error is yielded last.
func (r *Reader) Entries(ctx context.Context, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		after := ""
		if from > 0 {
			after = Name(r.Prefix, from-1)
		}
		for o, err := range r.Bucket.List(ctx, r.Prefix+"manifests/", after) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("list manifests: %w", err))
				return
			}
			if seq, ok := parseName(r.Prefix, o.Name); ok && !yield(Entry{seq, o.Size}, nil) {
				return
			}
		}
	}
}

// Newest is the number of the newest entry, 0 when there is none. after is a number known to exist,
// or 0: it saves listing what lies before.
func (r *Reader) Newest(ctx context.Context, after uint64) (uint64, error) {
	newest := after
	for e, err := range r.Entries(ctx, after+1) {
		if err != nil {
			return 0, err
		}
		newest = e.Seq
	}
	return newest, nil
}

// Manifest reads one entry.
func (r *Reader) Manifest(ctx context.Context, seq uint64) (*manifest.Manifest, error) {
	name := Name(r.Prefix, seq)
	if b := r.Cache.get(r.Prefix, seq); b != nil {
		if m, err := manifest.Decode(b); err == nil && m.Seq == seq {
			return m, nil
		}
	}
	return r.fetch(ctx, name, seq)
}

func (r *Reader) fetch(ctx context.Context, name string, seq uint64) (*manifest.Manifest, error) {
	b, err := r.Bucket.Get(ctx, name, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := decode(name, seq, b)
	if err == nil {
		r.Cache.put(r.Prefix, seq, b)
	}
	return m, err
}

// decode decodes the object called name, which must be entry seq.
func decode(name string, seq uint64, object []byte) (*manifest.Manifest, error) {
	m, err := manifest.Decode(object)
	if errors.Is(err, manifest.ErrNewer) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, err, ErrDamaged)
	}
	if m.Seq != seq {
		return nil, fmt.Errorf("%s holds manifest %d: %w", name, m.Seq, ErrDamaged)
	}
	return m, nil
}

func missing(name string) error { return fmt.Errorf("%s is missing: %w", name, ErrDamaged) }

// Each calls fn with the entries from..to in order. They are fetched several at a time, where there are
// rolls those, and no more than that are held here.
func (r *Reader) Each(ctx context.Context, from, to uint64, fn func(*manifest.Manifest) error) error {
	var rolls []manifest.Span
	if to >= from+few {
		var err error
		if rolls, err = r.rolls(ctx, to); err != nil {
			return err
		}
	}
	return r.each(ctx, units(from, to, rolls), fn)
}

func (r *Reader) each(ctx context.Context, todo []unit, fn func(*manifest.Manifest) error) error {
	for len(todo) > 0 {
		n := min(len(todo), readers)
		if slices.ContainsFunc(todo[:n], func(u unit) bool { return u.roll > 0 }) {
			n = min(n, rollReaders)
		}
		batch := make([][]*manifest.Manifest, n)
		g, gctx := errgroup.WithContext(ctx)
		for i, u := range todo[:n] {
			g.Go(func() (err error) {
				batch[i], err = r.read(gctx, u)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, entries := range batch {
			for _, m := range entries {
				if err := fn(m); err != nil {
					return err
				}
			}
		}
		todo = todo[n:]
	}
	return nil
}

// State reads what is needed to know the node as of entry seq.
func (r *Reader) State(ctx context.Context, seq uint64) (*manifest.State, error) {
	newest, err := r.Manifest(ctx, seq)
	if err != nil {
		return nil, err
	}
	s := manifest.NewState()
	err = r.Each(ctx, newest.Base, seq, func(m *manifest.Manifest) error {
		if err := s.Apply(m); err != nil {
			return fmt.Errorf("%w: %w", err, ErrDamaged)
		}
		return nil
	})
	return s, err
}
