package bucket

import (
	"context"

	"golang.org/x/time/rate"
)

// Pace hands data to send, for what a driver sends at a time: in stretches of at most 64 KiB, each when
// limit, in bytes per second, admits it. Without a limit it is all of it at once. It returns the first
// error of send, or that of ctx.
func Pace(ctx context.Context, limit *rate.Limiter, data []byte, send func([]byte) error) error {
	if limit == nil {
		return send(data)
	}
	for len(data) > 0 {
		n := min(len(data), limit.Burst(), 64<<10)
		if err := limit.WaitN(ctx, n); err != nil {
			return err
		}
		if err := send(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
