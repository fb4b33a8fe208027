package backup

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/sstash/sstash/manifest"
)

// Observer asks the database, again and again, for what tells that flushes may not have been linked:
// its generation, its tokens, whether incremental backups are on. It is safe for concurrent use, so
// that a look is not held up by an upload of hours.
type Observer struct {
	Ask func(context.Context) (*manifest.Node, error)
	// Every is how old an answer may get. What is switched off and on again in less is not seen.
	Every time.Duration
	Now   func() time.Time

	mu    sync.Mutex
	seen  []manifest.Node // since the history was last told, oldest first; no two neighbours are alike
	tried time.Time
	at    time.Time // when the newest answer was asked for
	err   error     // of the newest try
}

// askTimeout bounds one question: a database that hangs holds up nothing.
const askTimeout = 30 * time.Second

// Look asks now.
func (o *Observer) Look(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.look(ctx)
}

func (o *Observer) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	o.tried = o.Now()
	var node *manifest.Node
	if node, o.err = o.Ask(ctx); o.err != nil {
		return o.err
	}
	o.at = o.tried
	if n := len(o.seen); n == 0 || !reflect.DeepEqual(o.seen[n-1], *node) {
		o.seen = append(o.seen, *node)
	}
	return nil
}

// since returns what was seen. The newest is at most Every old and younger than since, unless the
// error says that the database could not be asked.
func (o *Observer) since(ctx context.Context, since time.Time) ([]manifest.Node, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tried.IsZero() || o.Now().Sub(o.tried) >= o.Every || !since.IsZero() && !o.at.After(since) {
		_ = o.look(ctx) // it is in o.err
	}
	return append([]manifest.Node(nil), o.seen...), o.err
}

// Changed tells whether there is something to tell the history.
func (o *Observer) Changed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen) > 1
}

// told forgets the first n of what was seen, but for the newest.
func (o *Observer) told(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = o.seen[max(0, min(n, len(o.seen))-1):]
}

// observe asks the database when it is time, and always after a flush that is to be a barrier.
func (n *Node) observe(ctx context.Context) ([]manifest.Node, error) {
	if n.Observer == nil {
		return nil, errors.New("nobody observes the database")
	}
	var since time.Time
	if n.flush != nil {
		since = n.flush.ended
	}
	seen, err := n.Observer.since(ctx, since)
	if err != nil {
		err = fmt.Errorf("ask the database what it did: %w", err)
	}
	return seen, err
}
