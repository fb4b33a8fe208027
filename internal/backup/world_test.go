package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

const prefix = "c/h/"

// world is a database, sstash beside it, and the bucket, with everything that can go wrong between
// them. What must hold all the time is checked while it lives.
type world struct {
	t     *testing.T
	clock *clock
	db    *database
	store bucket.Bucket
	guard *guard
	fault *buckettest.Fault
	every int // see goWrong
	// damaged is the entry that can't be read any more.
	damaged   uint64
	startOver bool
	kind      buckettest.Kind
	tool      *tool

	state  string // the state directory
	cached bool   // the process uses it for manifests
	forget bool   // a restart finds it gone
	cache  *history.Cache
	node   *Node

	wait    time.Duration // how long files must not have changed
	prune   bool
	parts   time.Duration
	fulls   int
	tables  func(context.Context) (Existing, error) // as in Node
	between func()                                  // happens before a retry: the database does not wait
	sum     uploader.Result
	points  []point
}

// point is what must be restorable from the history up to an entry.
type point struct {
	seq  uint64
	rows map[int]bool
}

func newWorld(t *testing.T, store bucket.Bucket, db *database) *world {
	w := &world{t: t, clock: db.clock, db: db, store: store, state: filepath.Join(db.temp, "state"), wait: time.Second, prune: true, between: func() {}}
	w.guard = &guard{Bucket: store, w: w, durable: map[inode]bool{}, pruned: map[inode]string{}, committed: func() {}}
	w.fault = &buckettest.Fault{Bucket: w.guard}
	w.tool = newTool(t, db)
	t.Cleanup(w.stop)
	return w
}

// goWrong makes operation first go wrong, and after that each time the operation that is so many
// later; every must be more than a process needs to get a step further.
func (w *world) goWrong(kind buckettest.Kind, first, every int) {
	w.kind, w.every = kind, every
	w.arm(first)
}

// wire is the bucket as the process sees it: what goes wrong on the way to it changes.
type wire struct{ w *world }

func (b wire) Put(ctx context.Context, name string, data []byte) error {
	return b.w.fault.Put(ctx, name, data)
}

func (b wire) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	data, err := b.w.fault.Get(ctx, name, off, n)
	if b.w.damaged > 0 && name == history.Name(prefix, b.w.damaged) && err == nil {
		data[len(data)/2]++
	}
	return data, err
}

func (b wire) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return b.w.fault.List(ctx, prefix, after)
}

func (b wire) Delete(ctx context.Context, name string) error { return b.w.fault.Delete(ctx, name) }

// open starts the process; it begins with the history.
func (w *world) open() {
	w.t.Helper()
	w.do("open", func(ctx context.Context) error {
		w.stop()
		if w.cached {
			c, err := history.OpenCache(w.state, "file:///bucket")
			if err != nil {
				return err
			}
			w.cache = c
		}
		h, err := history.OpenWriter(ctx, history.Reader{Bucket: wire{w}, Prefix: prefix, Cache: w.cache},
			history.Identity{Cluster: "c", HostID: "h"}, manifest.Body{Writer: &manifest.Writer{Host: "node"}},
			history.WriterOptions{Now: w.clock.Now, StartOver: w.startOver})
		if err != nil {
			return err
		}
		w.node = w.newNode(h)
		return nil
	})
	if w.every > 0 && w.fault.At == 0 {
		w.arm(w.every)
	}
}

func (w *world) newNode(h *history.Writer) *Node {
	return &Node{
		DataDirs: w.db.dirs,
		Judge:    &watcher.Judge{Settle: w.wait, Patience: time.Minute},
		Uploader: &uploader.Uploader{
			Bucket: wire{w}, Prefix: prefix, History: h, Level: chunker.Fast, PartEvery: w.parts, Now: w.clock.Now,
		},
		Snapshots: &Snapshots{
			Nodetool: cassandra.Nodetool{Argv: w.tool.argv}, Dir: filepath.Join(w.state, "snapshots"), Now: w.clock.Now,
		},
		Tables: w.tables,
		Prune:  w.prune,
		Now:    w.clock.Steady,
	}
}

// stop ends the process without a word, as kill -9 does.
func (w *world) stop() {
	if w.cache != nil {
		w.cache.Close()
	}
	w.cache, w.node = nil, nil
}

// restart is a process that died and comes up again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	if w.forget {
		w.db.must(os.RemoveAll(w.state))
	}
	w.open()
}

// do makes the process do something until it succeeds. Between tries the database goes on.
func (w *world) do(what string, f func(context.Context) error) {
	w.t.Helper()
	for try := 0; ; try++ {
		err := f(context.Background())
		switch {
		case err == nil:
			return
		case try > 20:
			w.t.Fatalf("%s, tried %d times: %v", what, try, err)
		case errors.Is(err, buckettest.ErrCrashed):
			if w.arm(w.every); w.forget {
				w.arm(0) // to read the whole history takes more than w.every
			}
			if what != "open" {
				w.restart()
			} else if w.forget {
				w.stop()
				w.db.must(os.RemoveAll(w.state))
			}
		case errors.Is(err, bucket.ErrUnreachable):
			w.arm(w.every)
		case !isTool(err):
			w.t.Fatalf("%s: %v", what, err)
		}
		w.between()
	}
}

// arm makes the operation that is at operations from now go wrong, or none.
func (w *world) arm(at int) {
	w.fault = &buckettest.Fault{Bucket: w.guard, Kind: w.kind, At: at}
}

// pass is one Pass that must come through in the end.
func (w *world) pass() (r Report) {
	w.t.Helper()
	w.do("pass", func(ctx context.Context) (err error) {
		w.node.Prune, w.node.Uploader.PartEvery = w.prune, w.parts
		r, err = w.node.Pass(ctx)
		w.count(r)
		return err
	})
	return r
}

func (w *world) count(r Report) {
	w.sum = w.sum.Plus(r.Result)
	w.guard.verify()
}

// settle passes until there is nothing more to do, and notes what must be restorable from then on.
func (w *world) settle() (sum Report) {
	w.t.Helper()
	for n := 0; ; n++ {
		r := w.pass()
		sum.merge(r)
		if err := r.Err(); err != nil {
			w.t.Error(err)
		}
		if len(r.Manifests) == 0 && len(r.Waiting) == 0 {
			break
		}
		if n == 500 {
			w.t.Fatalf("no end after %d passes: waiting for %v, wrote %d manifests", n, r.Waiting, len(r.Manifests))
		}
		w.clock.advance(2 * w.wait)
	}
	// Before the first full there is no point that has what was there before sstash.
	if s := w.node.Uploader.History.State(); s.Whole().Tag != "" || w.node.Snapshots == nil {
		w.points = append(w.points, point{s.Seq(), w.db.acked()})
	}
	return sum
}

// full takes a full as the service does: it tries the same tag again until the snapshot is there.
func (w *world) full() string {
	w.t.Helper()
	w.fulls++
	tag := fmt.Sprintf("%s%04d", TagPrefix, w.fulls)
	w.do("full", func(ctx context.Context) error {
		w.node.Prune, w.node.Uploader.PartEvery = w.prune, w.parts
		r, err := w.node.Full(ctx, tag, nil)
		w.count(r)
		return err
	})
	return tag
}

func newMemory() *buckettest.Memory { return &buckettest.Memory{} }
