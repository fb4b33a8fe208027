package backup

import (
	"fmt"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
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
		{"create a table", func(w *world) { w.db.create("added", ""); w.db.flush(added); settle(w) }},
		{"full in parts", func(w *world) { w.parts = 10 * time.Microsecond; w.full(); w.pass() }},
		{"flush between parts", func(w *world) { w.db.flush(users); w.pass() }},
		{"the other parts", func(w *world) { settle(w) }},
		{"links: off", func(w *world) { w.prune = false; flush(users, events)(w); settle(w) }},
		{"full with links in the way", full},
		{"compact all", func(w *world) { w.db.compact(users); w.db.compact(events); w.db.compact(added) }},
		{"links: prune", func(w *world) { w.prune = true; w.parts = 0; w.db.flush(added); settle(w) }},
		{"last full", full},
		{"last flush", func(w *world) { w.db.flush(users); settle(w) }},
	}
}

// live runs a life to its end and checks what came of it.
func (w *world) live(steps []scene) *archive {
	w.t.Helper()
	for _, s := range steps {
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
	a := w.live(life())
	t.Logf("%d operations, %d manifests, %d objects", w.fault.Count(), len(a.manifests), len(a.sizes))
}

// Every operation on the bucket goes wrong, in each way there is. A process that crashed comes back
// with its cache, or without any local state. Meanwhile the database goes on.
func TestEveryOperationGoesWrong(t *testing.T) {
	real := realSSTables(t)
	for _, c := range []struct {
		kind   buckettest.Kind
		cached bool
		every  int
	}{
		{buckettest.FailBefore, true, 13}, {buckettest.FailAfter, true, 13},
		{buckettest.CrashBefore, true, 13}, {buckettest.CrashAfter, true, 13},
		{buckettest.CrashBefore, false, 17}, {buckettest.CrashAfter, false, 17},
	} {
		t.Run(fmt.Sprintf("%v, cached %v", c.kind, c.cached), func(t *testing.T) {
			t.Parallel()
			for first := 1; first <= c.every; first++ {
				t.Run(fmt.Sprint(first), func(t *testing.T) {
					w := newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), real, 1))
					w.cached, w.forget, w.wait = c.cached, !c.cached, 0
					w.goWrong(c.kind, first, c.every)
					w.between = func() {
						w.db.flush(users)
						w.clock.advance(time.Minute)
					}
					w.live(life())
				})
			}
		})
	}
}
