package backup

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/bucket/dir"
)

// scene is a part of a scripted life.
type scene struct {
	name string
	run  func(*world)
}

const users, events, added = 0, 1, 2

// life is what a node goes through, in the order in which it is told.
func life() []scene {
	flush := func(tables ...int) func(*world) {
		return func(w *world) {
			for _, n := range tables {
				w.db.flush(n)
				w.clock.advance(100 * time.Millisecond)
			}
		}
	}
	full := func(w *world) { w.full(); w.settle() }
	settle := (*world).settle
	return []scene{
		{"flushes before there is a backup", flush(users, users, events)},
		{"start", (*world).open},
		{"first full", full},
		{"flush users", func(w *world) { w.db.flush(users); settle(w) }},
		{"flush both", func(w *world) { flush(events, users)(w); settle(w) }},
		{"somebody's snapshot", func(w *world) { w.db.snapshot("user") }},
		{"flush after it", func(w *world) { w.db.flush(users); settle(w) }},
		{"compact users", func(w *world) { w.db.compact(users) }},
		{"flush events", func(w *world) { w.db.flush(events); settle(w) }},
		{"truncate events", func(w *world) { w.db.truncate(events) }},
		{"flush events again", func(w *world) { w.db.flush(events); settle(w) }},
		{"repair users", func(w *world) { w.db.repair(users); w.db.flush(users) }},
		{"second full", full},
		{"restart", (*world).restart},
		{"somebody's snapshot of users", func(w *world) { w.db.flush(users); w.db.snapshot("late", users); settle(w) }},
		{"clear a snapshot", func(w *world) { w.db.clear("user"); w.db.flush(events); settle(w) }},
		{"the clock is set back", func(w *world) { w.clock.set(-3 * time.Hour); w.db.flush(users); settle(w) }},
		{"create a table", func(w *world) { w.db.create("added", ""); w.db.flush(added); settle(w) }},
		{"full in parts", func(w *world) { w.parts = 10 * time.Microsecond; w.full(); w.pass() }},
		{"flush between parts", func(w *world) { w.db.flush(users); w.pass() }},
		{"the other parts", func(w *world) { settle(w) }},
		{"restart and flush", func(w *world) { w.restart(); w.db.flush(users); w.db.flush(added); settle(w) }},
		{"links: off", func(w *world) { w.prune = false; flush(users, events)(w); settle(w) }},
		{"full with links in the way", full},
		{"compact all", func(w *world) { w.db.compact(users); w.db.compact(events); w.db.compact(added) }},
		{"links: prune", func(w *world) { w.prune = true; w.parts = 0; w.db.flush(added); settle(w) }},
	}
}

// end brings a life to where there is nothing left to do.
func end() []scene {
	return []scene{
		{"last full", func(w *world) { w.prune = true; w.parts = 0; w.full(); w.settle() }},
		{"last flush", func(w *world) { w.db.flush(users); w.settle() }},
	}
}

// live runs a life to its end and checks what came of it. enough, if it isn't nil, is asked before
// each scene whether the end may come next.
func (w *world) live(enough func() bool) *archive {
	w.t.Helper()
	for _, s := range life() {
		if enough != nil && enough() {
			break
		}
		s.run(w)
	}
	for _, s := range end() {
		s.run(w)
	}
	w.arm(0)
	if r := w.pass(); len(r.Manifests) > 0 || r.Puts > 0 || !r.Complete() {
		w.t.Errorf("a pass with nothing to do wrote %d manifests in %d puts; open: %v", len(r.Manifests), r.Puts, r.Open())
	}
	if n := w.fault.Count(); n > 0 {
		w.t.Errorf("a pass with nothing to do asked the bucket %d times", n)
	}
	return w.check()
}

func TestLife(t *testing.T) {
	w := newWorld(t, newMemory(), newDatabase(t, t.TempDir(), newClock(), realSSTables(t), 1))
	w.cached = true
	a := w.live(nil)
	t.Logf("%d manifests, %d objects", len(a.manifests), len(a.sizes))
}

// harm makes operations go wrong, as goWrong does. A process that crashed comes back with its cache, or
// without any local state (I5). Meanwhile the database goes on.
func (w *world) harm(kind buckettest.Kind, forget bool, first, every int) {
	w.cached, w.forget, w.wait = true, forget, 0
	w.goWrong(kind, first, every)
	w.between = func() {
		w.db.flush(users)
		w.clock.advance(time.Minute)
	}
}

// Each operation on a bucket in a directory goes wrong in a life of its own, which ends soon after.
func TestEveryOperationGoesWrong(t *testing.T) {
	real := realSSTables(t)
	live := func(t *testing.T, kind buckettest.Kind, forget bool, i int) int {
		temp := inMemory(t)
		store, err := dir.Create(filepath.Join(temp, "bucket"))
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, store, newDatabase(t, temp, newClock(), real, 1))
		w.harm(kind, forget, i, 0)
		fault, after := w.fault, 0
		w.live(func() bool {
			if i > 0 && fault.Count() >= i {
				after++
			}
			return after > 1
		})
		return fault.Count()
	}
	for _, forget := range []bool{false, true} {
		n := live(t, buckettest.FailBefore, forget, 0)
		t.Logf("%d operations, local state lost %v", n, forget)
		for _, kind := range buckettest.Kinds() {
			t.Run(fmt.Sprintf("%v, local state lost %v", kind, forget), func(t *testing.T) {
				t.Parallel()
				for i := 1; i <= n; i++ {
					// To crash after an operation is to crash before the next: one of the two forgets.
					if forget != (i%2 == 0) {
						continue
					}
					t.Run(fmt.Sprint(i), func(t *testing.T) {
						if got := live(t, kind, forget, i); got < i {
							t.Errorf("there were only %d operations", got)
						}
					})
				}
			})
		}
	}
}

// Many operations go wrong in one life, which is lived to its end.
func TestOperationsGoWrongTogether(t *testing.T) {
	real := realSSTables(t)
	for _, kind := range buckettest.Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			for first := 1; first <= 6; first++ {
				t.Run(fmt.Sprint(first), func(t *testing.T) {
					w := newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), real, 1))
					w.harm(kind, first%2 == 0, first, 13+first)
					w.live(nil)
				})
			}
		})
	}
}
