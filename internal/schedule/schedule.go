// Package schedule decides when things are due. It is pure: times in, times out.
package schedule

import (
	"hash/fnv"
	"time"
)

// Full says when full snapshots are taken: every so often, at a time of day, each node a little
// later than At so that a cluster does not flush and upload all at once.
type Full struct {
	Every  time.Duration // 0: never
	At     time.Duration // since midnight, UTC
	Spread time.Duration
}

// Slot is the newest moment up to now at which a full was due, the same on every node of a cluster.
// Slots are counted from the epoch, so that they don't depend on what happened before: for 7d, At on
// every seventh day. Intervals that are no whole days ignore At.
func (f Full) Slot(now time.Time) time.Time {
	const day = 24 * time.Hour
	offset := time.Duration(0)
	if f.Every%day == 0 {
		offset = f.At
	}
	since := now.UTC().Sub(time.Unix(0, 0)) - offset
	return time.Unix(0, 0).UTC().Add(since - since%f.Every + offset)
}

// Due is when the full after last (zero: there was none) is due on the node called host. A node
// without any full is due at once, and so is one whose last was taken by a clock that was ahead: it
// would seem to be recent for too long.
func (f Full) Due(last, now time.Time, host string) time.Time {
	if f.Every <= 0 {
		return time.Time{}
	}
	slot := f.Slot(now)
	if last.IsZero() || !last.Before(slot.Add(f.Every)) {
		return now
	}
	if !last.Before(slot) {
		slot = slot.Add(f.Every)
	}
	return slot.Add(f.delay(host))
}

// Early is when the full that closes a gap is due: at once, but not sooner than least after the last
// one began, so that a node that crashes again and again is not snapshotted each time. A last one by a
// clock that was ahead puts nothing off.
func Early(last time.Time, least time.Duration, now time.Time) time.Time {
	if next := last.Add(least); !last.After(now) && next.After(now) {
		return next
	}
	return now
}

func (f Full) delay(host string) time.Duration {
	if f.Spread <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(host))
	return time.Duration(h.Sum64() % uint64(f.Spread))
}

// Flush is the next moment at which the node called host flushes: every so often by the clock, so that
// restarts don't put it off, and each node at another one. Zero when it never does.
func Flush(every time.Duration, now time.Time, host string) time.Time {
	if every <= 0 {
		return time.Time{}
	}
	next := now.UTC().Truncate(every).Add(Full{Spread: every}.delay(host))
	if !next.After(now) {
		next = next.Add(every)
	}
	return next
}

// Rebase says which tables get a new base between two fulls, so that a chain does not grow for ever.
type Rebase struct {
	Every time.Duration // at most one snapshot in so long; 0: never
	// Floor is how many bytes of increments are worth one, which flushes the table and pins its files
	// until they are stored.
	Floor int64
}

// Weight is what a table's chain has to show, in bytes.
type Weight struct {
	Table      string // "ks.t"
	Increments int64
	Live       func() (int64, error) // measured when it matters
}

// Heavy are the tables whose increments outweigh what is live: restoring them takes more than twice
// that. With a base that is what was live then, at most Floor more. A table that has nothing live is
// let be: there is nothing to snapshot. What can't be measured is left out, and the first reason given.
func (r Rebase) Heavy(all []Weight) (tables []string, err error) {
	for _, w := range all {
		if r.Every <= 0 || w.Increments < r.Floor {
			continue
		}
		live, failed := w.Live()
		if err == nil {
			err = failed
		}
		if failed == nil && live > 0 && w.Increments > live {
			tables = append(tables, w.Table)
		}
	}
	return tables, err
}

// Tag names the snapshot of a slot.
func Tag(prefix string, slot time.Time) string {
	return prefix + slot.UTC().Format("20060102T150405Z")
}

// Commit is when the next commit may happen: at once after quiet, else every after the last one, and
// never later than every from now.
func Commit(last time.Time, every time.Duration, now time.Time) time.Time {
	if next := last.Add(every); next.After(now) && !last.After(now) {
		return next
	}
	return now
}
