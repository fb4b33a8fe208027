package backup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/manifest"
)

// proving is a small world whose database answers, after a full.
type proving struct {
	*world
	answer manifest.Node
	err    error
}

func newProving(t *testing.T) *proving {
	t.Helper()
	p := &proving{world: newSmallWorld(t), answer: manifest.Node{Release: "5.0.8", Generation: 7, Backups: manifest.BackupsOn}}
	p.wait = 0
	p.db.flush(users)
	p.db.flush(events)
	p.start()
	p.full()
	p.settle()
	return p
}

// start starts the process.
func (p *proving) start() {
	p.t.Helper()
	p.open()
	p.node.Observer = &Observer{Every: time.Minute, Now: p.clock.Steady, Ask: func(context.Context) (*manifest.Node, error) {
		now := p.answer
		return &now, p.err
	}}
}

// flushed is a flush of all tables by the service, which writes what it flushes while it goes on.
func (p *proving) flushed(flush ...int) (began time.Time) {
	began = p.clock.Now()
	for _, n := range flush {
		p.db.flush(n)
	}
	p.node.Flushed(began, p.clock.Steady())
	return began
}

func (p *proving) chain(n int) manifest.Chain {
	return p.node.Uploader.History.State().Chain(p.db.tables[n].Table)
}

// wantProven compares what the newest entry proves of a table; lag is in the reason, empty when there
// is none.
func (p *proving) wantProven(n int, want time.Time, lag string) {
	p.t.Helper()
	c := p.chain(n)
	if !c.Proven.Equal(want) || (lag == "") != (c.Lag == "") || !strings.Contains(c.Lag, lag) {
		p.t.Errorf("%s is proven through %v, want %v; lag %q, want %q", c.Table.Name, c.Proven, want, c.Lag, lag)
	}
}

// wantNothingMore: a barrier is one entry, not one for each pass.
func (p *proving) wantNothingMore() {
	p.t.Helper()
	p.clock.advance(time.Hour)
	if r := p.pass(); len(r.Manifests) > 0 {
		p.t.Errorf("a pass with nothing to say wrote %+v", r.Manifests[0].Body)
	}
}

func TestBarrier(t *testing.T) {
	p := newProving(t)
	full := p.chain(users).Proven
	if full.IsZero() {
		t.Fatal("the full proves nothing")
	}
	p.db.flush(users)
	p.settle()
	p.wantProven(users, full, "no flush")
	began := p.flushed(users)
	if r := p.settle(); len(r.Manifests) != 1 {
		t.Errorf("%d entries for the flush and its barrier", len(r.Manifests))
	}
	p.wantProven(users, began, "")
	p.wantProven(events, began, "")
	p.wantNothingMore()
	began = p.flushed() // nothing was written meanwhile
	p.settle()
	p.wantProven(users, began, "")
	p.wantNothingMore()
	p.wantNewest()
}

// What the first scan behind the flush saw must be durable first; what appears later need not.
func TestI10_BarrierWaitsForWhatTheFlushWrote(t *testing.T) {
	p := newProving(t)
	p.wait = time.Second
	p.start() // with another judge
	full := p.chain(users).Proven
	began := p.flushed(users)
	if r := p.pass(); len(r.Manifests) > 0 || len(r.Waiting) == 0 {
		t.Fatalf("waiting for %v, committed %d", r.Waiting, len(r.Manifests))
	}
	p.clock.advance(2 * time.Second)
	p.db.flush(users)
	if r := p.pass(); len(r.Waiting) == 0 || r.Seq() == 0 {
		t.Fatalf("waiting for %v, committed %d", r.Waiting, len(r.Manifests))
	}
	p.wantProven(users, began, "")
	if !began.After(full) {
		t.Errorf("%v is no later than the full, %v", began, full)
	}
}

// What takes longer than to the next flush is waited for all the same.
func TestBarriersInTurn(t *testing.T) {
	p := newProving(t)
	p.wait = time.Second
	p.start() // with another judge
	first := p.flushed(users)
	p.pass()
	p.flushed(users)
	last := p.flushed(users)
	var barriers []time.Time
	for _, m := range p.settle().Manifests {
		if b := m.Body.Barrier; b != nil {
			barriers = append(barriers, b.At)
		}
	}
	if !slices.EqualFunc(barriers, []time.Time{first, last}, time.Time.Equal) {
		t.Errorf("barriers of %v, want %v and %v", barriers, first, last)
	}
}

// A flush proves nothing before the database has said, after it, that it was not restarted.
func TestI10_BarrierNeedsAnAnswer(t *testing.T) {
	p := newProving(t)
	full := p.chain(users).Proven
	p.err = errors.New("not now")
	began := p.flushed(users)
	if r := p.settle(); len(r.Problems) == 0 {
		t.Error("nobody says that the flush proves nothing")
	}
	p.wantProven(users, full, "no flush")
	p.err = nil
	p.settle()
	p.wantProven(users, began, "")
}

// An SSTable that can't be read holds the barrier back for its table alone.
func TestI10_BarrierWithoutAnUnreadableTable(t *testing.T) {
	p := newProving(t)
	full := p.chain(users).Proven
	began := p.flushed(users, events)
	path := p.db.newest(events, "backups")
	p.afterScan(func() { p.db.take(path) })
	p.pass()
	p.db.giveBack(path)
	p.wantProven(users, began, "")
	p.wantProven(events, full, "could not be read")
	p.settle()
	began = p.flushed()
	p.settle()
	p.wantProven(events, began, "")
}

// The gaps that the database tells of are recorded at once, and last until the next full.
func TestI10_GapsTheDatabaseTellsOf(t *testing.T) {
	f := func(why string, during func(*proving)) {
		t.Helper()
		p := newProving(t)
		before := p.flushed(users)
		p.settle()
		during(p)
		if c := p.chain(users); c.Proven.After(before) {
			before = c.Proven // by a full in between
		}
		p.flushed(users)
		p.settle()
		p.wantProven(users, before, why)
		p.wantProven(events, before, why)
		if gaps := p.node.Uploader.History.State().Gaps(); len(gaps) == 0 {
			t.Errorf("%s: no gap is open", why)
		}
		p.flushed(events)
		if r := p.settle(); r.Seq() > 0 && r.Manifests[0].Body.Barrier != nil {
			t.Errorf("%s: a barrier that proves nothing", why)
		}
		p.wantProven(users, before, why)
		p.clock.advance(time.Minute)
		healed := p.clock.Now()
		p.full()
		p.settle()
		if c := p.chain(users); c.Proven.Before(healed) || c.Lag != "" {
			t.Errorf("%s: after the full proven through %v, lag %q", why, c.Proven, c.Lag)
		}
		after := p.flushed(users)
		p.settle()
		p.wantProven(users, after, "")
		p.wantNothingMore()
		p.wantNewest()
	}
	f("restarted", func(p *proving) { p.answer.Generation++ })
	f("restarted", func(p *proving) { // while sstash was down
		p.answer.Generation++
		p.start()
	})
	f("5.0.9", func(p *proving) { p.answer.Release = "5.0.9" })
	f("are off", func(p *proving) {
		p.answer.Backups = manifest.BackupsOff
		p.db.must(p.node.Observer.Look(t.Context()))
		p.answer.Backups = manifest.BackupsOn
	})
	f("were off", func(p *proving) {
		p.answer.Backups = manifest.BackupsOff
		p.clock.advance(time.Hour)
		p.settle()
		p.full() // closes the first gap, and what is flushed then is not linked either
		p.settle()
		p.answer.Backups = manifest.BackupsOn
	})
}

// A table with incremental backups off for itself holds nobody else up. Once they are on again, it needs
// a full.
func TestI10_TableThatIsNotLinked(t *testing.T) {
	p := newProving(t)
	full := p.chain(events).Proven
	p.answer.Unlinked = []string{"shop.events"}
	began := p.flushed(users)
	p.settle()
	p.wantProven(users, began, "")
	p.wantProven(events, full, "of the table are off")
	p.answer.Unlinked = nil
	began = p.flushed(users)
	p.settle()
	p.wantProven(users, began, "")
	p.wantProven(events, full, "of the table were off")
	p.full()
	p.settle()
	began = p.flushed(users)
	p.settle()
	p.wantProven(events, began, "")
	p.wantNothingMore()
}

// A set that stays incomplete is a gap of its table, and what the next full supersedes.
func TestI10_GapOfAnIncompleteSet(t *testing.T) {
	p := newProving(t)
	before := p.flushed(events)
	p.settle()
	p.db.flush(events)
	p.db.unlink(p.db.newest(events, "backups"))
	p.db.compact(events) // the live one goes
	p.clock.advance(time.Second)
	p.pass()
	p.clock.advance(2 * time.Minute) // longer than patience
	began := p.flushed(users)
	if r := p.pass(); len(r.Quarantined) != 1 {
		t.Fatalf("in quarantine: %v", r.Quarantined)
	}
	p.wantProven(users, began, "")
	p.wantProven(events, before, "stays incomplete")
	p.wantNothingMore()
	p.full()
	if r := p.settle(); len(r.Quarantined) > 0 {
		t.Errorf("after the full in quarantine: %v", r.Quarantined)
	}
	began = p.flushed(users)
	p.settle()
	p.wantProven(events, began, "")
	if gaps := p.node.Uploader.History.State().Gaps(); len(gaps) > 0 {
		t.Errorf("open: %v", gaps)
	}
	p.wantNothingMore()
}

// Somebody's cleaning takes a set before it is stored.
func TestI10_GapOfAVanishedSet(t *testing.T) {
	p := newProving(t)
	p.wait = time.Second
	p.start()
	full := p.chain(events).Proven
	p.db.flush(events)
	p.pass()
	for _, path := range p.db.links() {
		p.db.unlink(path)
	}
	p.pass()
	began := p.flushed()
	p.pass()
	p.wantProven(events, full, "vanished")
	p.wantProven(users, began, "")
	p.wantNothingMore()
}

// Of a set that is linked in part, what the live SSTable still has is stored from there.
func TestPartialSetIsCompleted(t *testing.T) {
	p := newProving(t)
	before := p.db.links() // older than the first full
	p.db.flush(events)
	p.db.unlink(p.db.newest(events, "backups"))
	began := p.flushed()
	if r := p.settle(); r.SSTables != 1 {
		t.Errorf("%d SSTables were stored; waiting for %v", r.SSTables, r.Waiting)
	}
	p.wantProven(events, began, "")
	p.wantNothingMore()
	if left := p.db.links(); !slices.Equal(left, before) {
		t.Errorf("%v are left, before %v", left, before)
	}
	p.wantNewest()
}
