package schedule

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSlot(t *testing.T) {
	f := func(every, since time.Duration, now, want string) {
		t.Helper()
		if got := (Full{Every: every, At: since}).Slot(at(t, now)); !got.Equal(at(t, want)) {
			t.Errorf("every %s at %s: slot of %s is %s, want %s", every, since, now, got.Format(time.RFC3339), want)
		}
	}
	f(day, 2*time.Hour, "2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z")
	f(day, 2*time.Hour, "2026-11-22T01:59:59Z", "2026-11-21T02:00:00Z")
	f(day, 2*time.Hour, "2026-11-22T23:00:00Z", "2026-11-22T02:00:00Z")
	f(day, 0, "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z")
	// Seven days from the epoch, which was a Thursday.
	f(7*day, 2*time.Hour, "2026-11-22T12:00:00Z", "2026-11-19T02:00:00Z")
	f(7*day, 2*time.Hour, "2026-11-26T01:00:00Z", "2026-11-19T02:00:00Z")
	f(7*day, 2*time.Hour, "2026-11-26T02:00:00Z", "2026-11-26T02:00:00Z")
	// No whole days: At does not count.
	f(6*time.Hour, 2*time.Hour, "2026-11-22T13:00:00Z", "2026-11-22T12:00:00Z")
	f(36*time.Hour, 2*time.Hour, "1970-01-03T00:00:00Z", "1970-01-02T12:00:00Z")
	// The hours in which clocks are put forward and back are like any other, wherever the node is.
	f(day, 2*time.Hour, "2026-03-29T03:30:00+02:00", "2026-03-28T02:00:00Z")
	f(day, 2*time.Hour, "2026-10-25T02:30:00+01:00", "2026-10-24T02:00:00Z")
	f(day, 2*time.Hour, "2026-10-25T03:30:00+01:00", "2026-10-25T02:00:00Z")
}

func TestDue(t *testing.T) {
	f := func(last, now, want string) {
		t.Helper()
		var l time.Time
		if last != "" {
			l = at(t, last)
		}
		got := Full{Every: day, At: 2 * time.Hour}.Due(l, at(t, now), "host")
		if !got.Equal(at(t, want)) {
			t.Errorf("after %q at %s: due %s, want %s", last, now, got.Format(time.RFC3339), want)
		}
	}
	f("", "2026-11-22T12:34:56Z", "2026-11-22T12:34:56Z")
	f("2026-11-22T02:00:00Z", "2026-11-22T02:00:01Z", "2026-11-23T02:00:00Z")
	f("2026-11-22T01:59:59Z", "2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z")
	f("2026-11-21T02:00:00Z", "2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z")
	f("2026-11-01T02:00:00Z", "2026-11-22T01:00:00Z", "2026-11-21T02:00:00Z") // long missed
	// The last one is of a clock that was a year ahead, or an hour over the next slot.
	f("2027-11-22T02:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z")
	f("2026-11-23T03:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z")
	f("2026-11-22T12:00:03Z", "2026-11-22T12:00:00Z", "2026-11-23T02:00:00Z") // only by a little

	if got := (Full{}).Due(time.Time{}, at(t, "2026-11-22T12:00:00Z"), "host"); !got.IsZero() {
		t.Errorf("never is due at %s", got)
	}
}

func TestFlush(t *testing.T) {
	now := at(t, "2026-11-22T12:34:56Z")
	if !Flush(0, now, "a").IsZero() {
		t.Error("never is a time")
	}
	for _, host := range []string{"a", "b", "c"} {
		next := Flush(time.Hour, now, host)
		if d := next.Sub(now); d <= 0 || d > time.Hour {
			t.Errorf("%s: next in %s", host, d)
		}
		if again := Flush(time.Hour, next.Add(-time.Second), host); !again.Equal(next) {
			t.Errorf("%s: a restart moved %s to %s", host, next, again)
		}
		if after := Flush(time.Hour, next, host); !after.Equal(next.Add(time.Hour)) {
			t.Errorf("%s: after %s comes %s", host, next, after)
		}
	}
	if Flush(time.Hour, now, "a").Equal(Flush(time.Hour, now, "b")) {
		t.Error("two nodes flush at once")
	}
}

// Over half a year each node takes one full in each slot, and never more than Spread after it.
func TestEverySlotHasOneFull(t *testing.T) {
	for _, f := range []Full{
		{Every: day, At: 2 * time.Hour, Spread: 30 * time.Minute},
		{Every: 7 * day, At: 23 * time.Hour, Spread: 12 * time.Hour},
		{Every: 6 * time.Hour, Spread: time.Hour},
	} {
		delays := map[time.Duration]bool{}
		for host := range 20 {
			name := fmt.Sprintf("1c380315-%04d", host)
			now := at(t, "2026-06-01T00:00:00Z")
			last := f.Slot(now)
			for now.Before(at(t, "2026-12-01T00:00:00Z")) {
				due := f.Due(last, now, name)
				if due.After(now) {
					now = due
					continue
				}
				slot := f.Slot(now)
				if !last.Before(slot) {
					t.Fatalf("%+v: fulls at %s and %s are in one slot", f, last, now)
				}
				if last.Before(slot.Add(-f.Every)) {
					t.Fatalf("%+v: no full between %s and %s", f, last, now)
				}
				if late := now.Sub(slot); late >= f.Spread {
					t.Fatalf("%+v: the full at %s is %s late", f, now, late)
				}
				delays[now.Sub(slot)] = true
				last, now = now, now.Add(time.Second)
			}
		}
		if len(delays) < 15 {
			t.Errorf("%+v: 20 nodes have %d delays", f, len(delays))
		}
	}
}

func TestTag(t *testing.T) {
	slot := at(t, "2026-11-22T04:00:00+02:00")
	if got := Tag("sstash-", slot); got != "sstash-20261122T020000Z" {
		t.Errorf("tag %s", got)
	}
}

func TestCommit(t *testing.T) {
	now := at(t, "2026-11-22T12:00:00Z")
	f := func(ago, want time.Duration) {
		t.Helper()
		if got := Commit(now.Add(-ago), time.Minute, now).Sub(now); got != want {
			t.Errorf("%s after the last commit the next one is in %s, want %s", ago, got, want)
		}
	}
	f(time.Hour, 0)
	f(time.Minute, 0)
	f(20*time.Second, 40*time.Second)
	f(0, time.Minute)
	f(-time.Hour, 0) // the clock was set back
	if got := Commit(time.Time{}, time.Minute, now); !got.Equal(now) {
		t.Errorf("the first commit is due %s", got)
	}
}

func TestEarly(t *testing.T) {
	f := func(last, now, want string) {
		t.Helper()
		if got := Early(at(t, last), time.Hour, at(t, now)); !got.Equal(at(t, want)) {
			t.Errorf("after %s at %s: due %s, want %s", last, now, got.Format(time.RFC3339), want)
		}
	}
	f("2026-11-20T02:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z")
	f("2026-11-22T11:10:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:10:00Z")
	f("2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z")
	f("2026-11-23T11:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z") // the clock was set back
}

func TestHeavy(t *testing.T) {
	live := func(n int64) func() (int64, error) { return func() (int64, error) { return n, nil } }
	unmeasured := func() (int64, error) { t.Error("a table is measured for nothing"); return 0, nil }
	broken := errors.New("the disk is gone")
	all := []Weight{
		{"ks.light", 99, unmeasured},
		{"ks.rewritten", 100, live(50)},
		{"ks.grows", 1000, live(2000)},
		{"ks.even", 100, live(100)},
		{"ks.gone", 1000, live(0)},
		{"ks.unreadable", 1000, func() (int64, error) { return 0, broken }},
		{"ks.deleted", 5000, live(1)},
	}
	got, err := Rebase{Every: time.Hour, Floor: 100}.Heavy(all)
	if want := []string{"ks.rewritten", "ks.deleted"}; !slices.Equal(got, want) || !errors.Is(err, broken) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := (Rebase{Floor: 100}).Heavy([]Weight{{"ks.t", 1000, unmeasured}}); len(got) > 0 || err != nil {
		t.Errorf("never: %v, %v", got, err)
	}
}
