package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/internal/bucket"
)

// However many objects are sent at a time, all together keep to the limit: over a minute within 5 %, and
// never more than half a second's worth beyond it.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, size = 10 << 20, 16 << 20
		limit := rate.NewLimiter(perSecond, perSecond/4)
		var mu sync.Mutex
		sent := 0
		began := time.Now()
		send := func(b []byte) error {
			mu.Lock()
			defer mu.Unlock()
			sent += len(b)
			if ahead := float64(sent) - perSecond*time.Since(began).Seconds(); ahead > perSecond/2 {
				t.Errorf("%d bytes after %s", sent, time.Since(began))
			}
			return nil
		}
		var senders sync.WaitGroup
		for range 2 {
			senders.Go(func() {
				for time.Since(began) < time.Minute {
					if err := bucket.Pace(t.Context(), limit, make([]byte, size), send); err != nil {
						t.Error(err)
					}
				}
			})
		}
		senders.Wait()
		if got := float64(sent) / time.Since(began).Seconds(); math.Abs(got/perSecond-1) > 0.05 {
			t.Errorf("%.0f bytes per second, want %d", got, perSecond)
		}
	})
}

func TestPaceStops(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100)
	f := func(ctx context.Context, limit *rate.Limiter, sendErr error, want int, wantErr error) {
		t.Helper()
		var got []byte
		err := bucket.Pace(ctx, limit, data, func(b []byte) error {
			got = append(got, b...)
			return sendErr
		})
		if !errors.Is(err, wantErr) || !bytes.Equal(got, data[:want]) {
			t.Errorf("sent %d bytes, %v; want %d, %v", len(got), err, want, wantErr)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	f(t.Context(), nil, nil, 1000, nil)
	f(t.Context(), nil, broken, 1000, broken)
	f(t.Context(), rate.NewLimiter(rate.Inf, 300), nil, 1000, nil) // more than the burst
	f(t.Context(), rate.NewLimiter(rate.Inf, 300), broken, 300, broken)
	f(ended, rate.NewLimiter(1, 300), nil, 0, context.Canceled)
}
