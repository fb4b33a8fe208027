package main

import "time"

const (
	etaWindow = 30 * time.Second // how far back the speed is looked at
	etaLeast  = 3 * time.Second  // how long work must go on before anything is said
)

// eta tells how long work will still take, by its speed of late.
type eta struct{ marks []mark }

// mark is how much had been done at some time.
type mark struct {
	at   time.Time
	done int64
}

// left is how long todo will take when so much had been done by now, in any unit; false while nobody
// knows. done only grows.
func (e *eta) left(now time.Time, done, todo int64) (time.Duration, bool) {
	if n := len(e.marks); n == 0 || now.Sub(e.marks[n-1].at) >= time.Second {
		e.marks = append(e.marks, mark{now, done})
	}
	for len(e.marks) > 2 && now.Sub(e.marks[1].at) >= etaWindow {
		e.marks = e.marks[1:]
	}
	since := now.Sub(e.marks[0].at)
	did := done - e.marks[0].done
	if since < etaLeast || did <= 0 {
		return 0, false
	}
	return time.Duration(float64(since) * float64(max(todo, 0)) / float64(did)).Round(time.Second), true
}
