package cassandratest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"
)

// StartRing starts size nodes of one ring, in o.Dir/node1 and so on, with tokens
// spread evenly, and waits until each of them sees all the others up. Of o, the
// fields Address, Seeds and Tokens are ignored. If one fails all are killed.
func StartRing(ctx context.Context, size int, o Options) (ring []*Node, err error) {
	defer func() {
		if err != nil {
			for _, n := range ring {
				n.Kill()
			}
			ring = nil
		}
	}()
	o.Address, o.Seeds = "", nil
	dir := o.Dir
	for i := range size {
		o.Dir = filepath.Join(dir, fmt.Sprintf("node%d", i+1))
		o.Tokens = []int64{math.MinInt64 + int64(uint64(i)*(math.MaxUint64/uint64(size))) + 1}
		n, err := Start(ctx, o)
		if err != nil {
			return ring, fmt.Errorf("node %d of %d: %w", i+1, size, err)
		}
		ring = append(ring, n)
		o.Seeds = []string{ring[0].Address}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("not all up in time"))
	defer cancel()
	for _, n := range ring {
		if err := n.awaitUp(ctx, size); err != nil {
			return ring, err
		}
	}
	return ring, nil
}

// awaitUp returns when the node sees size nodes up, itself included.
func (n *Node) awaitUp(ctx context.Context, size int) error {
	for {
		status, err := n.RunNodetool(ctx, "status")
		if err != nil {
			return err
		}
		if strings.Count(status, "\nUN ") == size {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await ring of %d: %w\n%s", size, context.Cause(ctx), status)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
