package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/history"
)

// clone is another process on the same data directories, with a copy of w's local state: a machine
// that was cloned, or a second daemon.
func (w *world) clone() *world {
	c := *w
	c.cache, c.node = nil, nil
	c.state = filepath.Join(w.db.mkdir("clone"), fmt.Sprint(len(w.points)))
	w.db.must(os.CopyFS(c.state, os.DirFS(w.state)))
	c.arm(0)
	w.t.Cleanup(c.stop)
	return &c
}

// Two processes on one prefix, a fault of every kind at every operation of the first when the second
// comes. Who opened last goes on, the other stops and says why; nothing is lost or doubled.
func TestI4_TwoProcesses(t *testing.T) {
	for _, kind := range []buckettest.Kind{buckettest.FailBefore, buckettest.FailAfter} {
		for at := 1; at <= 3; at++ {
			w := newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), nil, 1))
			w.cached, w.wait, w.kind = true, 0, kind
			w.open()
			w.full()
			w.settle()
			w.db.flush(users)
			w.arm(at)
			if _, err := w.node.Pass(context.Background()); at < 3 && !errors.Is(err, bucket.ErrUnreachable) {
				t.Fatal(err)
			}
			w.arm(0)

			second := w.clone()
			second.open()
			w.db.flush(events)
			_, err := w.node.Pass(context.Background())
			if !errors.Is(err, history.ErrFenced) || !strings.Contains(err.Error(), "on host node opened it") {
				t.Errorf("%v at %d: the first process: %v, want ErrFenced and by whom", kind, at, err)
			}
			left := len(w.db.links())
			w.db.flush(users)
			if _, err := w.node.Pass(context.Background()); !errors.Is(err, history.ErrFenced) {
				t.Errorf("%v at %d: the first process, again: %v, want ErrFenced", kind, at, err)
			}
			if got := len(w.db.links()); got < left {
				t.Errorf("%v at %d: a process that was fenced unlinked %d files", kind, at, left-got)
			}
			second.settle()
			a := second.check()
			named := map[string]int{}
			for _, m := range a.manifests {
				for _, tb := range m.Body.Tables {
					for _, s := range tb.SSTables {
						if tb.Base == nil {
							named[s.Index+s.Stem]++
						}
					}
				}
			}
			for stem, n := range named {
				if n > 1 {
					t.Errorf("%v at %d: %d entries hold %s", kind, at, n, stem)
				}
			}
		}
	}
}
