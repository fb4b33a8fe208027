package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/status"
)

// told counts what is logged.
type told struct{ times atomic.Int64 }

func (h *told) Enabled(context.Context, slog.Level) bool { return true }

func (h *told) Handle(context.Context, slog.Record) error {
	h.times.Add(1)
	return nil
}

func (h *told) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *told) WithGroup(string) slog.Handler { return h }

// A drill that can't be had is not tried again and again: each reads a history. It does not leave the
// last one that went well in status (I10), nor does it put the next one off when that can't be noted.
func TestDrillsThatFail(t *testing.T) {
	f := func(what string, last time.Duration, noted bool) {
		t.Helper()
		state := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			const every, days = 24 * time.Hour, 10
			if err := keepDrill(state, status.Drill{Time: time.Now().Add(-last), OK: true}); err != nil {
				t.Fatal(err)
			}
			c := config.Config{State: state, Drill: config.Drill{Every: every}}
			if !noted {
				c.State += "/" + drillFile + "/no directory"
			}
			var log told
			s := &Service{Node: &Node{Node: &backup.Node{Now: time.Now}, Config: c}, Log: slog.New(&log)}
			ctx, stop := context.WithCancel(t.Context())
			s.drills(ctx)
			time.Sleep(days*every + time.Hour)
			stop()
			s.background.Wait()
			if n := log.times.Load(); n < days || n > days+1 {
				t.Errorf("%s: %d drills in %d days", what, n, days)
			}
			if d := LastDrill(state); noted && (d == nil || d.OK || d.Error == "") {
				t.Errorf("%s: remembered is %+v", what, d)
			}
		})
	}
	f("the last one is long ago", 365*24*time.Hour, true)
	f("the last one is of a clock that was ahead", -365*24*time.Hour, true)
	f("it can't be noted", 0, false)
}

// A verb drills beside the service, whose status says at once how that went.
func TestStatusHasTheNewestDrill(t *testing.T) {
	c := config.Config{State: t.TempDir()}
	b := newBoard(&Node{Node: &backup.Node{}, Config: c})
	b.now.OK = true
	for _, ok := range []bool{true, false, true} {
		if err := keepDrill(c.State, status.Drill{OK: ok, Error: "why"}); err != nil {
			t.Fatal(err)
		}
		if s := b.Status(); s.LastDrill == nil || s.LastDrill.OK != ok || s.OK != ok || (len(s.Warnings) == 0) != ok {
			t.Errorf("after a drill that went well (%v): %+v", ok, s)
		}
	}
}
