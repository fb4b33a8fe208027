package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/manifest"
)

const (
	// rollEvery is how many entries one roll restates at most. A commit per minute makes a roll in 8 hours,
	// and a year of it takes 1,027 rolls and up to 511 entries to read.
	rollEvery = 512
	// rollBytes is about how much JSON a roll holds at most, some 4,500 SSTables: who makes it has that
	// four times in memory, decoded, encoded, compressed and inflated again to be compared.
	rollBytes = 8 << 20
	// rollReaders is how many rolls are fetched at a time: each may take tens of MiB of memory.
	rollReaders = 4
	// few entries are read one by one.
	few = 32
)

// roll writes rolls when enough entries have come since the last. A stretch that can't be rolled stays as
// it is, and is tried again when as many more have come: that must keep nothing from being backed up. An
// error means that nothing else can be committed now, either.
func (w *Writer) roll(ctx context.Context) error {
	if n := w.state.Seq() + 1 - w.state.Unrolled(); n%rollEvery != 0 || w.state.Fresh() {
		return nil
	}
	for w.state.Seq()+1-w.state.Unrolled() >= rollEvery {
		err := w.rollNext(ctx)
		if w.doubt != nil || ctx.Err() != nil || errors.Is(err, bucket.ErrUnreachable) || errors.Is(err, bucket.ErrDenied) {
			return err
		}
		if w.unrolled = err; err != nil {
			return nil
		}
	}
	return nil
}

// Unrolled is why entries are not restated by a roll: nil when there is no reason. It costs who reads the
// history a GET for each of them, and nothing else.
func (w *Writer) Unrolled() error {
	if w.unrolled == nil {
		return nil
	}
	return fmt.Errorf("restate the entries from %d on: %w", w.state.Unrolled(), w.unrolled)
}

// rollNext writes the next roll.
func (w *Writer) rollNext(ctx context.Context) error {
	from, to, seqs := w.state.NextRoll(rollEvery, rollBytes)
	var todo []unit
	for _, seq := range seqs {
		todo = append(todo, unit{from: seq, to: seq})
	}
	var entries []*manifest.Manifest
	err := w.reader.each(ctx, todo, func(m *manifest.Manifest) error {
		entries = append(entries, m)
		return nil
	})
	if err != nil {
		return err
	}
	var before []manifest.Span
	for _, s := range w.state.Rolls() {
		if s.To >= w.state.Base() {
			before = append(before, s)
		}
	}
	body, keeps := w.state.NewRoll(from, to, entries, before)
	_, err = w.write(ctx, &manifest.Manifest{Header: manifest.Header{Kind: manifest.Increment, Nonce: newNonce(), Keeps: keeps}, Body: body})
	return err
}

// unit is one object to read, for the entries from..to: a roll, or one of them.
type unit struct {
	from, to uint64
	roll     uint64 // 0: none
}

// units says which objects hold the entries from..to.
func units(from, to uint64, rolls []manifest.Span) (all []unit) {
	for from <= to {
		i := sort.Search(len(rolls), func(i int) bool { return rolls[i].To >= from })
		if i == len(rolls) || rolls[i].From > from {
			all = append(all, unit{from: from, to: from})
			from++
			continue
		}
		end := min(to, rolls[i].To)
		all = append(all, unit{from, end, rolls[i].Seq})
		from = end + 1
	}
	return all
}

// rolls are those that entry seq knows of.
func (r *Reader) rolls(ctx context.Context, seq uint64) ([]manifest.Span, error) {
	m, err := r.Manifest(ctx, seq)
	if err != nil || m.Roll == 0 {
		return nil, err
	}
	newest, err := r.Manifest(ctx, m.Roll)
	if err != nil || newest.Body.Roll == nil {
		return nil, err
	}
	return append(slices.Clone(newest.Body.Roll.Before), manifest.Span{Seq: newest.Seq, From: newest.Body.Roll.From, To: newest.Body.Roll.To}), nil
}

// read reads the entries of a unit, in order. Of a roll that can't be read, the entries are.
func (r *Reader) read(ctx context.Context, u unit) ([]*manifest.Manifest, error) {
	var known []*manifest.Manifest
	if u.roll > 0 {
		m, err := r.Manifest(ctx, u.roll)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if err == nil {
			known = m.Unroll()
		}
	}
	all := make([]*manifest.Manifest, u.to+1-u.from)
	for _, m := range known {
		if m.Seq >= u.from && m.Seq <= u.to {
			all[m.Seq-u.from] = m
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, m := range all {
		if m == nil {
			g.Go(func() (err error) {
				all[i], err = r.Manifest(gctx, u.from+uint64(i))
				return err
			})
		}
	}
	return all, g.Wait()
}
