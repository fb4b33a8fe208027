package buckettest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

func TestMemory(t *testing.T) {
	Test(t, func(*testing.T) bucket.Bucket { return new(Memory) })
}

func TestMemoryClock(t *testing.T) {
	then := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	m := &Memory{Now: func() time.Time { return then }}
	put(t, m, "a", nil)
	if got := list(t, m, "", "")[0].Created; got != then {
		t.Errorf("created %v, want %v", got, then)
	}
}

func TestMemoryClone(t *testing.T) {
	var m Memory
	put(t, &m, "a", []byte("x"))
	c := m.Clone()
	put(t, c, "b", nil)
	if err := m.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	put(t, &m, "c", nil)
	if got := names(list(t, c, "", "")); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("clone has %q", got)
	}
}

// A Fault that never strikes is as good a bucket as the one it wraps.
func TestFaultNone(t *testing.T) {
	Test(t, func(*testing.T) bucket.Bucket { return &Fault{Bucket: new(Memory)} })
}

// TestFault lets each operation of a short life go wrong in each way.
func TestFault(t *testing.T) {
	life := []struct {
		trace string
		run   func(context.Context, bucket.Bucket) error
		done  func(t *testing.T, m *Memory) bool // nil: it has no effect to look for
	}{
		{"put b", func(ctx context.Context, b bucket.Bucket) error { return b.Put(ctx, "b", []byte("x")) },
			func(t *testing.T, m *Memory) bool { return slices.Contains(names(list(t, m, "", "")), "b") }},
		{"get a", func(ctx context.Context, b bucket.Bucket) error {
			data, err := b.Get(ctx, "a", 0, -1)
			if err != nil && data != nil {
				return errors.New("data beside an error")
			}
			return err
		}, nil},
		{"list a", func(ctx context.Context, b bucket.Bucket) error {
			_, err := collect(b.List(ctx, "a", ""))
			return err
		}, nil},
		{"delete a", func(ctx context.Context, b bucket.Bucket) error { return b.Delete(ctx, "a") },
			func(t *testing.T, m *Memory) bool { return !slices.Contains(names(list(t, m, "", "")), "a") }},
	}
	for _, kind := range Kinds() {
		for i, op := range life {
			t.Run(kind.String()+"/"+op.trace, func(t *testing.T) {
				m := new(Memory)
				put(t, m, "a", []byte("x"))
				put(t, m, "a2", []byte("x"))
				f := &Fault{Bucket: m, At: i + 1, Kind: kind}
				for _, before := range life[:i] {
					if err := before.run(t.Context(), f); err != nil {
						t.Fatalf("%s: %v before its turn", before.trace, err)
					}
				}
				want := bucket.ErrUnreachable
				if kind.crash() {
					want = ErrCrashed
				}
				if err := op.run(t.Context(), f); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", op.trace, err, want)
				}
				if op.done != nil && op.done(t, m) != kind.after() {
					t.Errorf("%s: effect is %v", op.trace, !kind.after())
				}
				if f.Count() != i+1 || f.Trace()[i] != op.trace {
					t.Errorf("trace %q, want %q last", f.Trace(), op.trace)
				}
				for _, after := range life {
					err := after.run(t.Context(), f)
					if crashed := errors.Is(err, ErrCrashed); crashed != kind.crash() {
						t.Errorf("then %s: %v", after.trace, err)
					}
				}
				if kind.crash() && f.Count() != i+1 {
					t.Errorf("counted %d operations, want none after the crash", f.Count())
				}
			})
		}
	}
}

func TestFaultErr(t *testing.T) {
	f := &Fault{Bucket: new(Memory), At: 1, Err: bucket.ErrDenied}
	if err := f.Put(t.Context(), "a", nil); !errors.Is(err, bucket.ErrDenied) || errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("put: %v, want the error that was asked for", err)
	}
}

// A listing that goes wrong after its effect is cut: it must show neither all
// objects nor none.
func TestFaultCutsList(t *testing.T) {
	f := &Fault{Bucket: new(Memory), At: 4, Kind: FailAfter}
	for _, name := range []string{"a", "b", "c"} {
		put(t, f, name, nil)
	}
	got, err := collect(f.List(t.Context(), "", ""))
	if len(got) != 1 || !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("list = %v, %v; want one object and the error", got, err)
	}
}

// slow is a bucket whose first Put stays in flight until released.
type slow struct {
	bucket.Bucket
	once             sync.Once
	started, release chan struct{}
}

func (s *slow) Put(ctx context.Context, name string, data []byte) error {
	s.once.Do(func() {
		close(s.started)
		<-s.release
	})
	return s.Bucket.Put(ctx, name, data)
}

// What is in flight when another operation crashes is not told that it succeeded.
func TestFaultCrashInFlight(t *testing.T) {
	inner := &slow{Bucket: new(Memory), started: make(chan struct{}), release: make(chan struct{})}
	f := &Fault{Bucket: inner, At: 2, Kind: CrashBefore}
	result := make(chan error)
	go func() { result <- f.Put(context.Background(), "a", nil) }()
	<-inner.started
	if err := f.Delete(t.Context(), "b"); !errors.Is(err, ErrCrashed) {
		t.Errorf("delete: %v, want ErrCrashed", err)
	}
	close(inner.release)
	if err := <-result; !errors.Is(err, ErrCrashed) {
		t.Errorf("put in flight: %v, want ErrCrashed", err)
	}
}
