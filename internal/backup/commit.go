package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
)

// work is what a pass has to commit.
type work struct {
	sets      []sstable.SSTable
	snapshots []ready
	cuts      []cut
	seen      []string       // see plan
	node      *manifest.Node // when it has changed
	gaps      []manifest.Gap
	barrier   *manifest.Barrier
}

// commit stores what is ready.
func (n *Node) commit(ctx context.Context, r *Report, w work) error {
	steps := order(w, r.Scan, n.Uploader.History.State())
	if (len(steps) == 0 || steps[0].snapshot != nil) && (len(w.gaps) > 0 || w.barrier != nil) {
		steps = slices.Insert(steps, 0, step{asOf: r.Scan.Ended, pending: w.seen})
	}
	if len(steps) == 0 {
		return nil
	}
	node, schema, err := n.describe(ctx, r)
	if err != nil {
		return err
	}
	if state := n.Uploader.History.State(); w.node == nil && state.Node() == nil {
		w.node = node
	}
	last := len(steps) - 1 // that stores sets
	for last >= 0 && steps[last].snapshot != nil {
		last--
	}
	barrier := w.barrier
	for i, s := range steps {
		w.barrier = nil
		if i == last && barrier != nil { // it needs all sets that there are
			barrier.Not = append(barrier.Not, uploader.Holds(r.Failed)...)
			w.barrier = barrier
		}
		if err := n.take(ctx, r, s, &w, schema); err != nil {
			return err
		}
		if r.More {
			return nil
		}
	}
	return nil
}

// take commits one step, and with the first what else there is to say in w.
func (n *Node) take(ctx context.Context, r *Report, s step, w *work, schema *manifest.Schema) error {
	var res uploader.Result
	var err error
	if s.snapshot == nil {
		cuts := placed(s.cuts, n.Uploader.History.State())
		if scanned := n.Uploader.History.State().AsOf(); len(cuts) > 0 && scanned.After(s.asOf) {
			s.asOf = scanned // what was seen by then is in the chain before
		}
		res, err = n.Uploader.Increment(ctx, uploader.Increment{
			AsOf: s.asOf, SSTables: s.sets, Pending: s.pending, Schema: n.changed(schema),
			Node: w.node, Gaps: w.gaps, Barrier: w.barrier, Cuts: cuts,
		})
		w.gaps = nil
	} else {
		state := n.Uploader.History.State()
		f := n.full(*s.snapshot, s.pending)
		n.closeFull(ctx, r, &f)
		f.Node, f.Schema = cmp.Or(w.node, state.Node()), cmp.Or(schema, state.Schema())
		res, err = n.Uploader.Store(ctx, f)
	}
	r.Result = r.Plus(res)
	if bad := n.Uploader.Mismatches(); bad > 0 {
		r.Problems = append(r.Problems, fmt.Errorf("%d frames did not decompress to what was compressed and were stored as they are: "+
			"the compressor or this machine's memory is broken", bad))
	}
	if err := n.Uploader.History.Unrolled(); err != nil {
		r.Problems = append(r.Problems, err)
	}
	return err
}

// describe goes on without an answer, but not with the answer of another node.
func (n *Node) describe(ctx context.Context, r *Report) (*manifest.Node, *manifest.Schema, error) {
	if n.Describe == nil {
		return nil, nil, nil
	}
	node, schema, err := n.Describe(ctx)
	if errors.Is(err, ErrIdentity) {
		return nil, nil, err
	}
	if err != nil {
		r.Problems = append(r.Problems, fmt.Errorf("ask the database for its schema: %w", err))
	}
	return node, schema, nil
}

// changed is s when the history does not hold it yet.
func (n *Node) changed(s *manifest.Schema) *manifest.Schema {
	if known := n.Uploader.History.State().Schema(); s != nil && known != nil && known.Hash == s.Hash {
		return nil
	}
	return s
}
