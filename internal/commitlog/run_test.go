package commitlog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
)

// A tail in full: events, clocks and all.
func TestRun(t *testing.T) {
	dir, b := t.TempDir(), new(buckettest.Memory)
	one := makeSegment(7, 1000, "").place(t, dir).write(t, "first").sync(t)
	reports := make(chan Report, 1000)
	tail := &Tail{
		Dir: dir, Every: 20 * time.Millisecond, Bucket: b, Prefix: prefix, Identity: Identity{"prod", "1c380315", 1, "nonce"},
		Ask:    func(context.Context) (Mode, error) { return Mode{Mapped: true}, nil },
		Report: func(r Report) { reports <- r },
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- tail.Run(ctx) }()
	proven := func(after time.Time) {
		t.Helper()
		for r := range reports {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if r.Until.After(after) {
				return
			}
		}
	}
	proven(time.Now())
	for i := range 20 {
		next := makeSegment(7, int64(1001+i), "").place(t, dir)
		next.write(t, "next").sync(t)
		proven(time.Now())
		one.remove(t)
		one = next
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l := mustRead(t, b)
	if len(l.Stretches) != 1 {
		t.Errorf("%d stretches: %+v", len(l.Stretches), l.Stretches)
	}
	if got := fetch(t, l, l.Stretches[0].Since, l.Until()); len(got) != 21 {
		t.Errorf("%d segments", len(got))
	}
}

func TestI4_RunEndsWhenFenced(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	other := newWriter(t, w.bucket, 99)
	mustPut(t, other, Piece{Read: at(1)}, nil)
	one.write(t, "second").sync(t)
	if err := w.turn(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("%v, want ErrFenced", err)
	}
}
