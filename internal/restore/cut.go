package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// ErrNoCut: the history knows of no such TRUNCATE or DROP.
var ErrNoCut = errors.New("not known")

// CutSelector says which TRUNCATE or DROP is meant: of that table, for that reason; the newest, or the
// one nearest to At unless that is zero.
type CutSelector struct {
	Table Name
	Why   manifest.Why
	At    time.Time
}

// FindCut finds the cut and the table's state right before it. Where the auto snapshot is not stored
// whole, that is what the chain held. It reads one chain, and older ones until it has found the cut.
// Errors are history's, and ErrNoCut.
func FindCut(ctx context.Context, r *history.Reader, sel CutSelector) (manifest.Ending, error) {
	seq, err := r.Newest(ctx, 0)
	if err != nil {
		return manifest.Ending{}, err
	}
	if seq == 0 {
		return manifest.Ending{}, fmt.Errorf("%s: %w", r.Prefix, history.ErrEmpty)
	}
	var found []manifest.Ending
	for seq > 0 {
		s, err := r.State(ctx, seq)
		if err != nil && len(found) > 0 && errors.Is(err, history.ErrDamaged) {
			break // what is older was collected
		}
		if err != nil {
			return manifest.Ending{}, err
		}
		for _, e := range s.Endings(sel.Table.Keyspace, sel.Table.Table) {
			if e.Why.Is(sel.Why) {
				found = add(found, e)
			}
		}
		from := s.Newest().Base
		first, err := r.Manifest(ctx, from)
		if err != nil {
			return manifest.Ending{}, err
		}
		if len(found) > 0 && (sel.At.IsZero() || first.Time.Before(sel.At)) {
			break
		}
		seq = from - 1
	}
	if len(found) == 0 {
		return manifest.Ending{}, fmt.Errorf("%s of %s: %w", sel.Why, sel.Table, ErrNoCut)
	}
	return whole(ctx, r, sel.nearest(found))
}

// add adds what a stretch of the history says of a cut to what a later one said.
func add(found []manifest.Ending, e manifest.Ending) []manifest.Ending {
	i := slices.IndexFunc(found, func(f manifest.Ending) bool { return f.Table == e.Table && f.Tag == e.Tag && e.Tag != "" })
	if i < 0 {
		return append(found, e)
	}
	if found[i].Final {
		e.Last, e.Final, e.From = found[i].Last, true, found[i].From
	}
	found[i] = e
	return found
}

func (sel CutSelector) nearest(found []manifest.Ending) manifest.Ending {
	return slices.MinFunc(found, func(a, b manifest.Ending) int {
		if sel.At.IsZero() {
			return b.At.Compare(a.At)
		}
		return int(a.At.Sub(sel.At).Abs() - b.At.Sub(sel.At).Abs())
	})
}

// whole makes sure that the last state is all of it: the stretch of the history that tells of a cut may
// lack the beginning of what came before.
func whole(ctx context.Context, r *history.Reader, e manifest.Ending) (manifest.Ending, error) {
	if e.Final {
		s := manifest.NewState()
		err := r.Each(ctx, e.From, e.Last.BaseSeq, s.Apply)
		x, ok := same(s, e)
		if err == nil && !(ok && x.Final) {
			err = fmt.Errorf("the final set %s is not whole: %w", e.Tag, history.ErrDamaged)
		}
		if err != nil {
			return e, err
		}
		e = x
	}
	if e.Seq == 0 {
		return e, nil
	}
	s, err := r.State(ctx, e.Seq)
	if err != nil {
		return e, err
	}
	if x, ok := same(s, e); ok {
		if e.Schema = x.Schema; !e.Final {
			e.Last = x.Last
		}
	}
	return e, nil
}

// same finds in a state what it says of e.
func same(s *manifest.State, e manifest.Ending) (manifest.Ending, bool) {
	all := s.Endings(e.Table.Keyspace, e.Table.Name)
	i := slices.IndexFunc(all, func(x manifest.Ending) bool {
		return x.Table == e.Table && (x.Tag == e.Tag && e.Tag != "" || x.At.Equal(e.At))
	})
	if i < 0 {
		return e, false
	}
	return all[i], true
}

// CutsAhead are the cuts that later entries than s record, and that happened by the moment: at the time
// of the point nobody had noticed them. It reads the entries up to the second that describes a later
// moment. None when at is zero.
func CutsAhead(ctx context.Context, r *history.Reader, s *manifest.State, at time.Time) (map[sstable.Table]manifest.Cut, error) {
	found := map[sstable.Table]manifest.Cut{}
	if at.IsZero() {
		return found, nil
	}
	newest, err := r.Newest(ctx, s.Seq())
	if err != nil {
		return nil, err
	}
	later := 0
	for seq := s.Seq() + 1; seq <= newest && later < 2; seq++ {
		m, err := r.Manifest(ctx, seq)
		if err != nil {
			return nil, err
		}
		if m.Kind == manifest.Increment && m.Body.Roll == nil && m.Body.AsOf.After(at) {
			later++
		}
		for _, t := range m.Body.Tables {
			if t.Cut != nil && !t.Cut.At.After(at) {
				found[t.Table] = *t.Cut
			}
		}
	}
	return found, nil
}

// CutsSince are the newest cuts of tables, those of entries that were committed before the moment left
// out, as far as the history goes back.
func CutsSince(ctx context.Context, r *history.Reader, s *manifest.State, since time.Time) (map[sstable.Table]time.Time, error) {
	found := map[sstable.Table]time.Time{}
	for _, t := range s.Tables() {
		if e, ok := s.LastCut(t); ok {
			found[t] = e.At
		}
	}
	for seq := s.Newest().Base - 1; seq > 0; seq-- {
		m, err := r.Manifest(ctx, seq)
		if errors.Is(err, history.ErrDamaged) || err == nil && m.Time.Before(since) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, t := range m.Body.Tables {
			if _, known := found[t.Table]; t.Cut != nil && !known {
				found[t.Table] = t.Cut.At
			}
		}
	}
	return found, nil
}
