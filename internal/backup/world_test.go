package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// clock is a wall clock that people set, and beside it one that only goes on, as time.Now has both.
// It goes a microsecond each time it is looked at.
type clock struct {
	mu           sync.Mutex
	wall, steady time.Time
}

func newClock() *clock {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	return &clock{wall: now, steady: now}
}

func (c *clock) Now() time.Time {
	c.advance(time.Microsecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Steady() time.Time {
	c.advance(time.Microsecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.steady = c.wall.Add(d), c.steady.Add(d)
}

// set moves the wall clock alone.
func (c *clock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(by)
}

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
	between func() // happens before a retry: the database does not wait
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
		Prune: w.prune,
		Now:   w.clock.Steady,
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

// guard stands before the bucket and watches: nothing is overwritten or deleted (I1, I3), what a
// manifest names is there first (I2), and a link that is gone is in a manifest that is there (I8).
type guard struct {
	bucket.Bucket
	w       *world
	mu      sync.Mutex
	durable map[inode]bool   // files whose content some manifest names
	pruned  map[inode]string // what was unlinked, and where it was
	// committed is called when a manifest is durable.
	committed func()
}

func (g *guard) Put(ctx context.Context, name string, data []byte) error {
	if !strings.HasPrefix(name, prefix+"manifests/") {
		return g.Bucket.Put(ctx, name, data)
	}
	g.verify()
	m, err := manifest.Decode(data)
	if err != nil {
		g.w.t.Errorf("put %s: %v", name, err)
		return err
	}
	for _, pack := range packNames(m) {
		if _, err := g.Bucket.Get(ctx, pack, 0, 0); err != nil {
			g.w.t.Errorf("I2: put %s before %s is durable: %v", name, pack, err)
		}
	}
	if err := g.Bucket.Put(ctx, name, data); err != nil {
		return err
	}
	g.note(m)
	g.committed()
	return nil
}

func (g *guard) note(m *manifest.Manifest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range m.Body.Tables {
		for _, s := range t.SSTables {
			for _, c := range s.Components {
				g.durable[inode{c.Inode, c.Size, c.Mtime}] = true
			}
		}
	}
}

func (g *guard) Delete(_ context.Context, name string) error {
	g.w.t.Errorf("I3: %s is deleted", name)
	return nil
}

// verify compares the data directories with what the database left there.
func (g *guard) verify() {
	db := g.w.db
	db.mu.Lock()
	defer db.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, id := range db.paths {
		if !strings.Contains(path, "/backups/") || path == db.away {
			continue
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !g.durable[id] {
			g.w.t.Errorf("I8: %s was unlinked and no manifest has it", path)
		}
		g.pruned[id] = path
		delete(db.paths, path)
	}
}

// verifyTree walks everything: what is not a pruned link is as the database left it.
func (g *guard) verifyTree() {
	g.verify()
	db := g.w.db
	db.mu.Lock()
	defer db.mu.Unlock()
	links := map[uint64]uint64{}
	for _, id := range db.paths {
		links[id.number]++
	}
	seen := 0
	for _, dir := range db.dirs {
		db.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			seen++
			id, n, err := lstat(path)
			if want, ok := db.paths[path]; err != nil || !ok || id != want || n != links[id.number] {
				g.w.t.Errorf("I8: %s is %v with %d links, want %v with %d (%v)", path, id, n, want, links[id.number], err)
			}
			return nil
		}))
		for _, tb := range db.tables {
			if _, err := os.Stat(filepath.Join(dir, tb.Keyspace, tb.Dir(), "backups")); err != nil {
				g.w.t.Errorf("I8: %v", err)
			}
		}
	}
	if seen != len(db.paths) {
		g.w.t.Errorf("I8: %d files of %d are left", seen, len(db.paths))
	}
}

func lstat(path string) (inode, uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return inode{}, 0, fmt.Errorf("stat %s: %w", path, err)
	}
	return inode{st.Ino, st.Size, st.Mtim.Nano()}, uint64(st.Nlink), nil
}

func within(path, dir string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) }

// isTool tells whether nodetool failed.
func isTool(err error) bool {
	var failed *cassandra.ToolError
	return errors.As(err, &failed)
}

// tool is nodetool: a shell script that hands its arguments to the simulated database and exits with
// what it says.
type tool struct {
	argv []string
	db   *database

	mu    sync.Mutex
	calls int
	at    int // which call goes wrong, from 1; 0: none
	how   trouble
}

type trouble int

const (
	none   trouble = iota
	before         // exit code 1, no effect
	half           // exit code 1, a part of the effect
	after          // exit code 1, the whole effect
)

func newTool(t *testing.T, db *database) *tool {
	dir := db.mkdir("nodetool")
	in, out, script := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "nodetool")
	n := &tool{argv: []string{"/bin/sh", script}, db: db}
	db.must(os.WriteFile(script, fmt.Appendf(nil, "echo \"$*\" >%s\nread code <%s\nexit $code\n", in, out), 0o755))
	db.must(errors.Join(unix.Mkfifo(in, 0o600), unix.Mkfifo(out, 0o600)))
	// Read and write, so that neither end ever waits for the other to open.
	requests, err := os.OpenFile(in, os.O_RDWR, 0)
	db.must(err)
	answers, err := os.OpenFile(out, os.O_RDWR, 0)
	db.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(requests); lines.Scan(); {
			fmt.Fprintln(answers, n.call(strings.Fields(lines.Text())))
		}
	}()
	t.Cleanup(func() {
		requests.Close()
		answers.Close()
		<-done
	})
	return n
}

// goWrong makes the call that is so many calls from now go wrong, and returns how many there were.
func (n *tool) goWrong(at int, how trouble) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at, n.how = n.calls+at, how
	return n.calls
}

func (n *tool) begin() trouble {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.calls++; n.calls == n.at {
		return n.how
	}
	return none
}

// call runs "snapshot -t TAG" or "clearsnapshot -t TAG" and returns the exit code.
func (n *tool) call(args []string) int {
	verb, tag := args[0], args[2]
	how := n.begin()
	if how == before {
		return 1
	}
	of := []int{}
	if how == half {
		of = []int{0}
	}
	if verb == "snapshot" {
		n.db.snapshot(tag, of...)
	} else {
		n.db.clear(tag, of...)
	}
	if how != none {
		return 1
	}
	return 0
}

func packNames(m *manifest.Manifest) (names []string) {
	for _, k := range m.Keeps {
		for n := range k.Packs {
			names = append(names, packName(k.Set, n))
		}
	}
	slices.Sort(names)
	return names
}

func newMemory() *buckettest.Memory { return &buckettest.Memory{} }
