package backup

import (
	"sync"
	"time"
)

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
