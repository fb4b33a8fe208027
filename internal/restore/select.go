package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
)

// ErrNoPoint: the history has no entry that early, or none of that number.
var ErrNoPoint = errors.New("no such point")

// Selector says which point; the zero value is the newest.
type Selector struct {
	Seq uint64    // this entry
	At  time.Time // or the last one that holds nothing written later
}

// Until is a moment after which nothing in m was written, by the node's clock: the point is not
// offered for any earlier one. What an increment holds was there when its scan ended. A snapshot
// takes its time, so what a full holds may be later than when it began: as late as the newest write
// in it, as far as Statistics.db tells.
func Until(m *manifest.Manifest) time.Time {
	until := m.Body.AsOf
	if m.Kind != manifest.Full {
		return until
	}
	for _, t := range m.Body.Tables {
		for _, s := range t.SSTables {
			written := time.UnixMicro(s.MaxTimestamp).UTC()
			// What claims to be later than its own backup is a client's fancy, no time.
			if written.After(until) && !written.After(m.Time) {
				until = written
			}
		}
	}
	return until
}

// Select finds a point and reads the history up to it. It reads one chain and, for a moment, some 15
// entries more. Errors are history's, and ErrNoPoint.
func Select(ctx context.Context, r *history.Reader, sel Selector) (*manifest.State, error) {
	seqs, err := entries(ctx, r)
	if err != nil {
		return nil, err
	}
	switch {
	case len(seqs) == 0:
		return nil, fmt.Errorf("%s: %w", r.Prefix, history.ErrEmpty)
	case sel.Seq != 0:
		if !slices.Contains(seqs, sel.Seq) {
			return nil, fmt.Errorf("point %d: %w; the history goes from %d to %d", sel.Seq, ErrNoPoint, seqs[0], seqs[len(seqs)-1])
		}
		return r.State(ctx, sel.Seq)
	case !sel.At.IsZero():
		return selectAt(ctx, r, seqs, sel.At)
	}
	return r.State(ctx, seqs[len(seqs)-1])
}

// entries lists the numbers of all entries. A list, because what was collected leaves holes.
func entries(ctx context.Context, r *history.Reader) ([]uint64, error) {
	var seqs []uint64
	for e, err := range r.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, e.Seq)
	}
	return seqs, nil
}

// isLater tells whether m holds something that was written after the moment. An open holds nothing.
func isLater(m *manifest.Manifest, moment time.Time) bool {
	return m.Kind != manifest.Open && Until(m).After(moment)
}

// errLater ends a replay at an entry that holds what was written after the moment asked for.
var errLater = errors.New("later than the point")

// selectAt takes every entry committed by then, and those that were committed later and yet hold
// nothing later. Clocks jump, so what was found is checked entry by entry while it is read.
func selectAt(ctx context.Context, r *history.Reader, seqs []uint64, at time.Time) (*manifest.State, error) {
	n, err := committedBy(ctx, r, seqs, at)
	for i := n; err == nil && i < len(seqs); i++ {
		var m *manifest.Manifest
		if m, err = r.Manifest(ctx, seqs[i]); err != nil || isLater(m, at) {
			break
		}
		if !Until(m).After(at) {
			n = i + 1
		}
	}
	for err == nil && n > 0 {
		var s *manifest.State
		var later uint64
		s, later, err = replay(ctx, r, seqs[n-1], at)
		if err == nil && later == 0 {
			return s, nil
		}
		n = sort.Search(n, func(i int) bool { return seqs[i] >= later })
	}
	if err != nil {
		return nil, err
	}
	first, err := r.Manifest(ctx, seqs[0])
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w; the first is of %s", at.Format(time.RFC3339), ErrNoPoint, Until(first).Format(time.RFC3339Nano))
}

// committedBy counts the entries that were committed by then.
func committedBy(ctx context.Context, r *history.Reader, seqs []uint64, at time.Time) (n int, err error) {
	n = sort.Search(len(seqs), func(i int) bool {
		if err != nil {
			return true
		}
		var m *manifest.Manifest
		if m, err = r.Manifest(ctx, seqs[i]); err != nil {
			return true
		}
		return m.Time.After(at)
	})
	return n, err
}

// replay is history.Reader.State, unless an entry on the way holds something later: it returns that
// one's number then.
func replay(ctx context.Context, r *history.Reader, seq uint64, at time.Time) (s *manifest.State, later uint64, err error) {
	newest, err := r.Manifest(ctx, seq)
	if err != nil {
		return nil, 0, err
	}
	s = manifest.NewState()
	err = r.Each(ctx, newest.Base, seq, func(m *manifest.Manifest) error {
		if isLater(m, at) {
			later = m.Seq
			return errLater
		}
		if err := s.Apply(m); err != nil {
			return fmt.Errorf("%w: %w", err, history.ErrDamaged)
		}
		return nil
	})
	if errors.Is(err, errLater) {
		return nil, later, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return s, 0, nil
}
