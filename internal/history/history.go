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

// readers is how many entries are fetched at a time.
const readers = 8

// Name is the object that holds entry seq below a node's prefix.
func Name(prefix string, seq uint64) string {
	return fmt.Sprintf("%smanifests/%010d", prefix, seq)
}

func parseName(prefix, name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix+"manifests/")
	if !ok || len(digits) < 10 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && Name(prefix, seq) == name
}

// Reader reads one node's history. Safe for concurrent use.
type Reader struct {
	Bucket bucket.Bucket
	Prefix string // "<cluster>/<host-id>/"
	Cache  *Cache // may be nil
}

// Newest is the number of the newest entry, 0 when there is none. after is a number known to exist,
// or 0: it saves listing what lies before.
func (r *Reader) Newest(ctx context.Context, after uint64) (uint64, error) {
	start := ""
	if after > 0 {
		start = Name(r.Prefix, after)
	}
	newest := after
	for o, err := range r.Bucket.List(ctx, r.Prefix+"manifests/", start) {
		if err != nil {
			return 0, fmt.Errorf("list manifests: %w", err)
		}
		if seq, ok := parseName(r.Prefix, o.Name); ok {
			newest = seq
		}
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
		return nil, fmt.Errorf("%s is missing: %w", name, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := manifest.Decode(b)
	if errors.Is(err, manifest.ErrNewer) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, err, ErrDamaged)
	}
	if m.Seq != seq {
		return nil, fmt.Errorf("%s holds manifest %d: %w", name, m.Seq, ErrDamaged)
	}
	r.Cache.put(r.Prefix, seq, b)
	return m, nil
}

// Each calls fn with the entries from..to in order. They are fetched several at a time, and no more
// than that are held here.
func (r *Reader) Each(ctx context.Context, from, to uint64, fn func(*manifest.Manifest) error) error {
	for from <= to {
		n := min(to-from+1, readers)
		batch := make([]*manifest.Manifest, n)
		g, gctx := errgroup.WithContext(ctx)
		for i := range batch {
			g.Go(func() (err error) {
				batch[i], err = r.Manifest(gctx, from+uint64(i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, m := range batch {
			if err := fn(m); err != nil {
				return err
			}
		}
		from += n
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
