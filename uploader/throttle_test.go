package uploader

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// However work and rest follow each other, so many cores are not exceeded for long; and they are used.
func TestThrottle(t *testing.T) {
	f := func(cores float64, busy func(i int) time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var used time.Duration
			th := &throttle{cores: cores, used: func() time.Duration { return used }}
			began := time.Now()
			for i := 0; time.Since(began) < time.Minute; i++ {
				if err := th.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				work := busy(i)
				used += work
				time.Sleep(min(work, time.Duration(float64(work)/max(cores, 1)))) // on so many cores
			}
			if got := used.Seconds() / time.Since(began).Seconds(); got < cores*.99 || got > cores*1.05 {
				t.Errorf("%.3f cores of %.3f", got, cores)
			}
		})
	}
	f(.5, func(int) time.Duration { return 100 * time.Millisecond })
	f(.1, func(i int) time.Duration { return time.Duration(i%7) * 30 * time.Millisecond })
	f(1.5, func(int) time.Duration { return time.Second })
}

// Time that was not used is worth no more than credit, and waiting ends with the context.
func TestThrottleRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used time.Duration
		th := &throttle{cores: .5, used: func() time.Duration { return used }}
		waits := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			if err := th.wait(t.Context()); err != nil || time.Since(began) != want {
				t.Errorf("%v after %s, want %s", err, time.Since(began), want)
			}
		}
		used = time.Hour // before the first
		waits(0)
		time.Sleep(24 * time.Hour)
		used += 2 * time.Second
		waits(0)
		used += 2 * time.Second
		waits(3 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		used += time.Hour
		if err := th.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
