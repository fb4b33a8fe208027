package commitlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/bucket"
)

const (
	// fetchers is how many pieces are fetched at a time.
	fetchers = 4
	// slack is how far the node's clock may have been corrected without a new stretch.
	slack = time.Minute
	// partial ends the names of files that are not whole yet: Cassandra would refuse to replay them.
	partial = ".partial"
)

// Fetch writes into dir, which exists, the segments that hold the writes acknowledged in [from, to),
// under Cassandra's names and as its replayer takes them: each from its first byte, to where its
// durable stretch then ended, and zero behind that to the length that the file had. They hold older
// and newer writes, too. The error is an ErrHole when Covers says so; after ErrDamaged, as after any
// other error, dir holds nothing of it.
func (l *Log) Fetch(ctx context.Context, from, to time.Time, dir string) (err error) {
	span, err := l.span(ctx, from, to)
	if err != nil {
		return err
	}
	a := assembly{dir: dir, files: map[string]assembled{}}
	defer func() { err = errors.Join(err, a.clean(err == nil)) }()
	for at := span.start; at <= span.last; at += fetchers {
		batch := make([]fetched, min(fetchers, span.last-at+1))
		g, gctx := errgroup.WithContext(ctx)
		for i := range batch {
			g.Go(func() (err error) {
				batch[i], err = l.fetch(gctx, l.pieces[at+i])
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, f := range batch {
			if err := a.add(f, at+i >= span.wanted); err != nil {
				return err
			}
		}
	}
	return a.finish()
}

// Size is how many bytes Fetch reads from the bucket.
func (l *Log) Size(ctx context.Context, from, to time.Time) (n int64, err error) {
	span, err := l.span(ctx, from, to)
	if err != nil {
		return 0, err
	}
	for _, e := range l.pieces[span.start : span.last+1] {
		n += e.size
	}
	return n, nil
}

// Begins is a moment before which nothing was acknowledged that Fetch writes; zero: not known.
func (l *Log) Begins(ctx context.Context, from, to time.Time) (time.Time, error) {
	span, err := l.span(ctx, from, to)
	if err != nil || span.start == 0 || l.pieces[span.start-1].number+1 != l.pieces[span.start].number {
		return time.Time{}, err
	}
	before, err := l.header(ctx, span.start-1)
	if errors.Is(err, ErrDamaged) {
		return time.Time{}, nil
	}
	return before.Until, err
}

// span are indices of pieces: from the first with a beginning of what is wanted.
type span struct{ start, wanted, last int }

func (l *Log) span(ctx context.Context, from, to time.Time) (span, error) {
	s, err := l.find(from, to)
	if err != nil {
		return span{}, err
	}
	search := func(is func(Piece) bool) (int, error) {
		var failed error
		n := sort.Search(s.last-s.first, func(i int) bool {
			p, err := l.header(ctx, s.first+i)
			failed = errors.Join(failed, err)
			return err == nil && is(p)
		})
		return s.first + n, failed
	}
	wanted, err := search(func(p Piece) bool { return !p.Read.Before(from.Add(-slack)) })
	if err != nil {
		return span{}, err
	}
	if wanted == s.first && !s.cut {
		if wanted, err = l.overlap(ctx, s); err != nil {
			return span{}, err
		}
	}
	last, err := search(func(p Piece) bool { return !p.Until.Before(to) })
	if err != nil {
		return span{}, err
	}
	p, err := l.header(ctx, wanted)
	if err != nil {
		return span{}, err
	}
	start := wanted - int(p.Number-p.needs())
	if start < 0 || l.pieces[start].number != p.needs() {
		return span{}, fmt.Errorf("log piece %d is missing: %w", p.needs(), ErrDamaged)
	}
	return span{start, wanted, last}, nil
}

// overlap is the first piece with anything that was read since the stretch began: some of it may be at
// the end of the one before.
func (l *Log) overlap(ctx context.Context, s Stretch) (int, error) {
	i := s.first
	for i > 0 && l.pieces[i-1].number+1 == l.pieces[i].number {
		p, err := l.header(ctx, i-1)
		if errors.Is(err, ErrDamaged) || err == nil && p.Read.Before(s.began) {
			break
		}
		if err != nil {
			return 0, err
		}
		i--
	}
	return i, nil
}

type fetched struct {
	name string
	Piece
	raw []byte
}

func (l *Log) fetch(ctx context.Context, e entry) (fetched, error) {
	name := objectName(l.prefix, e.number)
	p, raw, err := get(ctx, l.bucket, name)
	if err == nil && p.Number != e.number {
		err = fmt.Errorf("read %s: it is piece %d: %w", name, p.Number, ErrDamaged)
	}
	return fetched{name, p, raw}, err
}

func get(ctx context.Context, b bucket.Bucket, name string) (Piece, []byte, error) {
	object, err := b.Get(ctx, name, 0, -1)
	if err != nil {
		return Piece{}, nil, damaged(name, err)
	}
	p, raw, err := decode(object)
	if err != nil {
		return Piece{}, nil, damaged(name, err)
	}
	return p, raw, nil
}

// assembly makes files of pieces, which come in order.
type assembly struct {
	dir   string
	open  uint64 // the newest writer so far
	files map[string]assembled
}

type assembled struct {
	to, size int64
	wanted   bool
}

func (a *assembly) path(segment string) string { return filepath.Join(a.dir, segment) }

// add writes the parts of one piece. Segments that it goes on with and that did not begin in an
// earlier one are left out, unless they are wanted.
func (a *assembly) add(f fetched, wanted bool) error {
	if f.Open < a.open {
		return fmt.Errorf("%s: its writer was over: %w", f.name, ErrDamaged) // I4
	}
	a.open = f.Open
	raw := f.raw
	for _, p := range f.Parts {
		bytes := raw[:p.To-p.From]
		raw = raw[len(bytes):]
		known, begun := a.files[p.Segment]
		if p.From > known.to {
			if begun || wanted {
				return fmt.Errorf("%s: bytes %d to %d of %s are missing: %w", f.name, known.to, p.From, p.Segment, ErrDamaged)
			}
			continue
		}
		if err := writeAt(a.path(p.Segment)+partial, bytes, p.From); err != nil {
			return err
		}
		a.files[p.Segment] = assembled{to: p.To, size: p.Size, wanted: known.wanted || wanted}
	}
	return nil
}

// writeAt writes into the file, from offset on, and cuts it behind that: what a newer writer has gone
// on from may be before the end of what an older one has stored.
func writeAt(path string, b []byte, offset int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, offset)
	return errors.Join(err, f.Truncate(offset+int64(len(b))), f.Close())
}

// finish gives the files that are wanted their length and, when all are whole, their names (I6).
func (a *assembly) finish() error {
	for segment, f := range a.files {
		if f.wanted {
			if err := f.complete(a.path(segment)+partial, segment); err != nil {
				return fmt.Errorf("%s: %w", segment, err)
			}
		}
	}
	for segment, f := range a.files {
		if f.wanted {
			if err := os.Rename(a.path(segment)+partial, a.path(segment)); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete fills the file up, and follows the chain of markers as Cassandra will.
func (f assembled) complete(path, segment string) error {
	size := max(f.to, f.size)
	if err := os.Truncate(path, size); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	h, err := ReadHeader(file)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	c := h.Chain()
	if err := c.Follow(file, size); err != nil {
		return err
	}
	if h.Name.String() != segment || c.End != f.to {
		return fmt.Errorf("its sync markers end at %d, not at %d: %w", c.End, f.to, ErrDamaged)
	}
	return nil
}

// clean removes what is not wanted, and everything after an error.
func (a *assembly) clean(keep bool) error {
	var errs []error
	for segment := range a.files {
		remove := []string{a.path(segment) + partial}
		if !keep {
			remove = append(remove, a.path(segment))
		}
		for _, path := range remove {
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
