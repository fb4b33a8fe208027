package backup

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// schemas is what the database of a world answers when it is asked for its tables.
type schemas struct {
	*world
	without map[int]bool // tables that it does not name
	empty   bool         // it names none
	err     error
	asked   int
}

func newSchemas(t *testing.T) *schemas {
	x := &schemas{world: newCutWorld(t), without: map[int]bool{}}
	x.tables = func(context.Context) (Existing, error) {
		x.asked++
		e := Existing{Tables: map[string]sstable.Table{}}
		for n, tb := range x.db.tables {
			if !x.empty && !x.without[n] {
				e.Tables[tb.ID] = tb.Table
			}
		}
		if x.err != nil {
			return Existing{}, x.err
		}
		return e, nil
	}
	x.restart()
	return x
}

// die removes the live SSTables of a table.
func (x *schemas) die(n int) {
	tb := x.db.tables[n]
	x.db.drop(tb, tb.live)
	tb.live = nil
}

func (x *schemas) cut(n int) bool {
	_, cut := x.node.Uploader.History.State().LastCut(x.db.tables[n].Table)
	return cut
}

// A schema that is reset lacks tables for a while: whatever is asked for then, nothing is cut.
func TestI10_SchemaThatIsEmptyForAWhileCutsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		passes int
		bare   bool
	}{
		"once":                                 {1, false},
		"as long as live SSTables are there":   {5, false},
		"once, while there is no live SSTable": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSchemas(t)
			if c.bare {
				x.die(users)
				x.die(events)
			}
			x.db.flush(events)
			if c.bare {
				x.die(events)
			}
			x.empty = true
			for range c.passes {
				if r := x.pass(); len(r.Waiting) != 2 {
					t.Errorf("waiting for %v", r.Waiting)
				}
			}
			x.empty = false
			x.settle()
			x.empty = true // another time
			x.db.flush(events)
			if c.bare {
				x.die(events)
			}
			x.pass()
			x.empty = false
			x.wantOnly(nil)
			if x.cut(users) || x.cut(events) {
				t.Error("a table was cut that is there")
			}
			asked := x.asked
			if x.pass(); x.asked != asked {
				t.Error("it was asked though nothing is new")
			}
		})
	}
}

// Nothing is flushed any more after the DROP.
func TestDropIsNoticedWithoutAnotherFlush(t *testing.T) {
	x := newSchemas(t)
	x.db.flush(users)
	last := x.db.rowsOf(users)
	x.db.flush(events) // as the DROP does with a system table
	x.without[users] = true
	pass := func(want string, problems int) {
		t.Helper()
		if r := x.pass(); len(r.Problems) != problems || (len(r.Waiting) == 1) != (want == "waits") || x.cut(users) != (want == "cut") {
			t.Errorf("want it to be %q: waiting for %v, problems %v, cut %v", want, r.Waiting, r.Problems, x.cut(users))
		}
	}
	pass("waits", 0)
	pass("waits", 0) // for the live SSTables to be deleted
	x.clock.advance(2 * time.Minute)
	pass("doubted", 1)
	x.db.end(users, "")
	x.err = errors.New("it hangs")
	pass("doubted", 2)
	x.err = nil
	pass("doubted", 1)
	pass("cut", 0)
	x.wantOnly(last)
	if all := x.endings(x.check()); len(all) != 1 || all[0].Why != manifest.Dropped {
		t.Errorf("%d cuts of one: %+v", len(all), all)
	}
}

// The auto snapshot of a DROP needs no second answer.
func TestDropWithItsSnapshotIsCertain(t *testing.T) {
	x := newSchemas(t)
	x.db.flush(users)
	last := x.db.rowsOf(users)
	x.without[users] = true
	x.db.end(users, "dropped-%013d-%s")
	if r := x.pass(); len(r.Waiting) > 0 || !x.cut(users) {
		t.Errorf("waiting for %v, cut %v", r.Waiting, x.cut(users))
	}
	x.wantOnly(last)
}

// A DROP of a table that has no live SSTable is noticed by the schema before its snapshot is there.
func TestDropBeforeItsSnapshot(t *testing.T) {
	x := newSchemas(t)
	x.die(users)
	x.db.tables[users].acked = nil // all rows had expired
	x.without[users] = true
	x.db.flush(events)
	x.settle()
	if !x.cut(users) {
		t.Fatal("the DROP was not noticed")
	}
	x.db.flush(users) // the flush of the snapshot
	last := x.db.rowsOf(users)
	x.pass()
	x.db.end(users, "dropped-%013d-%s")
	x.settle()
	x.wantOnly(last)
	if all := x.endings(x.check()); len(all) != 1 || !all[0].Final || all[0].Why != manifest.Dropped {
		t.Errorf("%d cuts of one: %+v", len(all), all)
	}
}

// A tag of before 3.10 may be of a TRUNCATE: one answer without the table does not make it a DROP.
func TestOldTagIsADropWhenThatIsCertain(t *testing.T) {
	table := sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280"}
	snapshots := []snapshot{{open: []watcher.Snapshot{{Table: table, Tag: "1795255200123-users"}}}}
	for _, certain := range []bool{false, true} {
		drops, want := map[sstable.Table]time.Time{}, manifest.Ended
		if certain {
			drops[table], want = time.Now(), manifest.Dropped
		}
		cuts := tagged(snapshots, map[sstable.Table]bool{table: true}, drops, manifest.NewState(), Existing{Tables: map[string]sstable.Table{}})
		if len(cuts) != 1 || cuts[0].Why != want || cuts[0].gone != certain {
			t.Errorf("certain %v: %+v", certain, cuts)
		}
	}
}
