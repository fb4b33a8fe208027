package commitlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
)

var (
	// ErrHole: the log does not prove that it holds all that was asked for.
	ErrHole = errors.New("the stored commit log has a hole")
	// ErrDamaged: pieces that are needed are missing, or not as they were written.
	ErrDamaged = errors.New("the stored commit log is damaged")
)

const (
	// lastNumber is the highest that a name has room for: with more digits the order of names would
	// not be that of numbers.
	lastNumber = 9_999_999_999
	// room is how many numbers a writer must find behind the log. At a piece every second it would take
	// 285 years to leave less: an object with such a number is a stray one.
	room = 1_000_000_000
)

// objectName is the object that holds piece n below a node's prefix.
func objectName(prefix string, n uint64) string { return fmt.Sprintf("%slog/%010d", prefix, n) }

func parseObjectName(prefix, name string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(name, prefix+"log/"), 10, 64)
	return n, err == nil && n > 0 && n <= lastNumber && objectName(prefix, n) == name
}

// Log is what a bucket holds of one node's commit log. Not safe for concurrent use.
type Log struct {
	// Stretches are the times that are proven, oldest first.
	Stretches []Stretch

	bucket  bucket.Bucket
	prefix  string
	pieces  []entry
	headers map[int]Piece // by index in pieces
}

// Stretch is a time without a hole: every write that was acknowledged in [Since, Until) is in the
// log. Times are those of the node's clock.
type Stretch struct {
	Since, Until time.Time // nothing is proven where Until is not after Since
	// Why it does not go on from the stretch before it.
	Why string

	first, last int       // indices in Log.pieces
	began       time.Time // Since, before times that were twice were taken out
	cut         bool      // it began with pieces that are gone
}

// entry is what a listing knows of a piece.
type entry struct {
	number uint64
	size   int64
}

// Read finds out what is stored of the node below prefix ("<cluster>/<host-id>/"). It takes one
// listing, and a GET or two per stretch. A log that is empty proves nothing, and is no error.
func Read(ctx context.Context, b bucket.Bucket, prefix string) (*Log, error) {
	l := &Log{bucket: b, prefix: prefix, headers: map[int]Piece{}}
	for o, err := range b.List(ctx, prefix+"log/", "") {
		if err != nil {
			return nil, fmt.Errorf("list the commit log: %w", err)
		}
		if n, ok := parseObjectName(prefix, o.Name); ok {
			l.pieces = append(l.pieces, entry{n, o.Size})
		}
	}
	for i := len(l.pieces) - 1; i >= 0; {
		s, before, err := l.stretch(ctx, i)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if err == nil {
			l.Stretches = append([]Stretch{s}, l.Stretches...)
		}
		i = before
	}
	l.disambiguate()
	return l, nil
}

// stretch is the one that piece i is the last of, and before the piece that comes before it. Where
// the header of piece i is damaged, what is before it may be whole.
func (l *Log) stretch(ctx context.Context, i int) (s Stretch, before int, err error) {
	last, err := l.header(ctx, i)
	if err != nil {
		return s, i - 1, err
	}
	head := i
	for head > 0 && l.pieces[head-1].number+1 == l.pieces[head].number && l.pieces[head].number > last.First {
		head--
	}
	s = Stretch{Since: last.Since, Until: last.Until, first: head, last: i, began: last.Since}
	first, err := l.header(ctx, head)
	if err == nil && first.Number == last.First {
		s.Why = first.Why
		return s, head - 1, nil
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return s, head - 1, err
	}
	s.cut = true
	s.Why = fmt.Sprintf("the pieces of the log before %d are no longer there, or damaged", l.pieces[head].number)
	return s, head - 1, l.shorten(ctx, &s)
}

// shorten makes a stretch whose first pieces are gone begin with a piece from which on every segment
// is there from its beginning.
func (l *Log) shorten(ctx context.Context, s *Stretch) error {
	head := l.pieces[s.first].number
	whole := func(i int) (bool, error) {
		p, err := l.header(ctx, i)
		if errors.Is(err, ErrDamaged) {
			return false, nil
		}
		return err == nil && p.needs() >= head, err
	}
	low, high := s.first, s.last
	for low < high { // binary search: later pieces have later segments
		middle := (low + high) / 2
		ok, err := whole(middle)
		switch {
		case err != nil:
			return err
		case ok:
			high = middle
		default:
			low = middle + 1
		}
	}
	ok, err := whole(low)
	if err != nil {
		return err
	}
	s.first = low
	if s.Since = l.headers[low].Read; !ok {
		s.Until = time.Time{}
	}
	return nil
}

// needs is the lowest piece that holds a beginning of what p and later pieces go on with.
func (p Piece) needs() uint64 {
	n := p.Number
	for _, part := range p.Parts {
		n = min(n, part.First)
	}
	for _, g := range p.Going {
		if g.First > 0 {
			n = min(n, g.First)
		}
	}
	return n
}

// disambiguate takes out times that were twice: the node's clock was set back.
func (l *Log) disambiguate() {
	as := slices.Clone(l.Stretches)
	for i, after := range as {
		for j, before := range as[:i] {
			if after.Since.IsZero() || !after.Since.Before(before.Until) {
				continue
			}
			if s := &l.Stretches[j]; after.Since.Before(s.Until) {
				s.Until = after.Since
			}
			if s := &l.Stretches[i]; before.Until.After(s.Since) {
				s.Since = before.Until
			}
		}
	}
}

// proves tells whether there is any time in s.
func (s Stretch) proves() bool { return s.Until.After(s.Since) }

// header reads the header of the piece with index i.
func (l *Log) header(ctx context.Context, i int) (Piece, error) {
	if p, ok := l.headers[i]; ok {
		return p, nil
	}
	e := l.pieces[i]
	const enough = 4 << 10 // for almost all
	p, err := l.readHeader(ctx, e, min(e.size, enough))
	if short := (errShort{}); errors.As(err, &short) && short.n <= e.size {
		p, err = l.readHeader(ctx, e, short.n)
	}
	if err != nil {
		return Piece{}, damaged(objectName(l.prefix, e.number), err)
	}
	l.headers[i] = p
	return p, nil
}

func (l *Log) readHeader(ctx context.Context, e entry, n int64) (Piece, error) {
	b, err := l.bucket.Get(ctx, objectName(l.prefix, e.number), 0, n)
	if err != nil {
		return Piece{}, err
	}
	p, _, err := decodeHeader(b)
	if err == nil && p.Number != e.number {
		err = fmt.Errorf("it is piece %d: %w", p.Number, chunker.ErrCorrupt)
	}
	return p, err
}

// damaged says of which errors going on without the object is the answer.
func damaged(name string, err error) error {
	short := errShort{}
	if errors.Is(err, chunker.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.As(err, &short) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// Until is the newest moment that is proven; zero when none is.
func (l *Log) Until() (until time.Time) {
	for _, s := range l.Stretches {
		if s.proves() && s.Until.After(until) {
			until = s.Until
		}
	}
	return until
}

// Covers returns nil when every write that was acknowledged in [from, to) is in the log; else an
// ErrHole that says which times are not covered, and why.
func (l *Log) Covers(from, to time.Time) error {
	_, err := l.find(from, to)
	return err
}

// Reach is how far the stretch that covers [from, to) goes on; zero when none does.
func (l *Log) Reach(from, to time.Time) time.Time {
	s, err := l.find(from, to)
	if err != nil {
		return time.Time{}
	}
	return s.Until
}

// find returns the stretch that covers [from, to).
func (l *Log) find(from, to time.Time) (Stretch, error) {
	why, end := "", to
	for _, s := range slices.Backward(l.Stretches) {
		switch {
		case !s.proves():
			why = cmp.Or(why, s.Why)
		case s.Since.After(from):
			if s.Since.Before(end) {
				why, end = s.Why, s.Since
			}
		case s.Until.Before(to):
			if s.Until.After(from) {
				from = s.Until
			}
			return s, hole(from, end, cmp.Or(why, "nothing later is stored"))
		default:
			return s, nil
		}
	}
	return Stretch{}, hole(from, end, cmp.Or(why, "nothing is stored"))
}

func hole(from, to time.Time, why string) error {
	const layout = "2006-01-02T15:04:05.000000Z"
	return fmt.Errorf("%w from %s to %s: %s", ErrHole, from.UTC().Format(layout), to.UTC().Format(layout), why)
}
