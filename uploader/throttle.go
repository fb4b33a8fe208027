package uploader

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// throttle keeps the CPU time of the process to so many cores on average: who waits before each piece
// of work waits until the time that was used is paid for. It is for one goroutine; nil never waits.
type throttle struct {
	cores float64
	used  func() time.Duration // by the process

	last time.Duration // what was used at the last wait
	paid time.Time     // when that is, or was, paid for
}

// credit is how much unused time is not lost.
const credit = time.Second

// wait returns at once with ctx's error when ctx has ended.
func (t *throttle) wait(ctx context.Context) error {
	if t == nil {
		return ctx.Err()
	}
	now, used := time.Now(), t.used()
	t.paid = t.paid.Add(time.Duration(float64(used-t.last) / t.cores))
	t.last = used
	if oldest := now.Add(-credit); t.paid.Before(oldest) {
		t.paid = oldest
	}
	if !t.paid.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(t.paid.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
