package commitlog

import (
	"time"
)

const (
	// passes is how many passes of the sync thread must have become visible since a look, for all that
	// was acknowledged before it to be durable. See the package comment.
	passes = 4
	// tolerance is how far the clock may have been set back unnoticed.
	tolerance = 10 * time.Millisecond
	// glances bounds how far back proof remembers.
	glances = 1000
)

// moment is one by two clocks: the node's, which may be set, and one that only runs.
type moment struct {
	wall time.Time
	run  time.Duration
}

func systemClock() func() moment {
	start := time.Now()
	return func() moment {
		now := time.Now()
		return moment{now.Round(0).UTC(), now.Sub(start)}
	}
}

// proof derives what is proven from looks. The zero value has seen none.
type proof struct{ looks []glance }

// glance is what is remembered of a look: when it began, and how much progress each segment had made
// when it was over.
type glance struct {
	at       moment
	progress map[int64]int
}

// look is what one look found out.
type look struct {
	at moment // when it began
	// before is the progress of each segment as it was read first, after that as it was read last.
	before, after map[int64]int
	// quiet: nothing was acknowledged that is not durable, as of at.
	quiet bool
	now   moment // when it was over
}

// see takes in a look, and returns the moment up to which every acknowledged write is in what is
// durable now; zero when that is not known.
func (p *proof) see(l look) (until time.Time) {
	if l.quiet {
		p.looks = nil
		until = l.wall(l.at)
	}
	proven := -1
	for i, g := range p.looks {
		if l.passed(g) {
			proven, until = i, l.wall(g.at)
		}
	}
	p.looks = append(p.looks[proven+1:], glance{l.at, l.after})
	if n := len(p.looks); n > glances {
		p.looks = p.looks[n-glances:]
	}
	return until
}

// passed tells whether a whole pass began after g, and was over before the last reading.
func (l look) passed(g glance) bool {
	for id, n := range l.before {
		if n-g.progress[id] >= passes {
			return true
		}
	}
	return false
}

// wall is the node's time of a moment that is past, as its clock said then or as it would say now,
// whichever is earlier.
func (l look) wall(at moment) time.Time {
	then, now := at.wall, l.now.wall.Add(at.run-l.now.run)
	if now.Before(then) {
		then = now
	}
	return then.Add(-tolerance).Truncate(time.Microsecond)
}

// setBack is by how much the clock was set back between two moments.
func setBack(from, to moment) time.Duration {
	back := to.run - from.run - to.wall.Sub(from.wall)
	if back < tolerance {
		return 0
	}
	return back
}
