package buckettest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/sstash/sstash/internal/bucket"
)

// ErrCrashed is returned by every operation of a Fault that has crashed. It
// wraps none of the errors that a caller would retry after.
var ErrCrashed = errors.New("crashed")

// Kind is a way for an operation to go wrong.
type Kind int

// The kinds of fault. The two crashes are final: the operation itself, those in
// flight beside it and all later ones return ErrCrashed.
const (
	FailBefore  Kind = iota // an error, and no effect
	FailAfter               // the effect, and then an error: the answer is lost
	CrashBefore             // no effect
	CrashAfter              // the effect, which nobody is told of
)

// Kinds returns every Kind, for loops.
func Kinds() []Kind { return []Kind{FailBefore, FailAfter, CrashBefore, CrashAfter} }

func (k Kind) String() string {
	return [...]string{"fail before", "fail after", "crash before", "crash after"}[k]
}

func (k Kind) crash() bool { return k == CrashBefore || k == CrashAfter }
func (k Kind) after() bool { return k == FailAfter || k == CrashAfter }

// Fault passes operations on to another bucket, counts them, and makes one of
// them go wrong. To walk every error path, let a scenario run with At = 1, 2, …
// until Count stays below At. A listing is one operation, counted when it is
// ranged over; the effect of one that goes wrong "after" is its first object.
//
// The exported fields are set before use. A Fault may be used concurrently; the
// order of Trace is then the order in which operations began.
type Fault struct {
	Bucket bucket.Bucket
	At     int   // which operation goes wrong, from 1; 0 is none
	Kind   Kind  // and how
	Err    error // what a failing one returns; nil means an error that wraps bucket.ErrUnreachable

	mu      sync.Mutex
	trace   []string
	crashed bool
}

// Count returns how many operations have begun, without those that only learned
// that the bucket had crashed.
func (f *Fault) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.trace)
}

// Trace returns the operations that Count counts, each as "put NAME", "get
// NAME", "list PREFIX" or "delete NAME".
func (f *Fault) Trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.trace)
}

// Put implements bucket.Bucket.
func (f *Fault) Put(ctx context.Context, name string, data []byte) error {
	return f.do("put "+name, func() error { return f.Bucket.Put(ctx, name, data) })
}

// Get implements bucket.Bucket.
func (f *Fault) Get(ctx context.Context, name string, off, n int64) (data []byte, err error) {
	err = f.do("get "+name, func() error {
		data, err = f.Bucket.Get(ctx, name, off, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Delete implements bucket.Bucket.
func (f *Fault) Delete(ctx context.Context, name string) error {
	return f.do("delete "+name, func() error { return f.Bucket.Delete(ctx, name) })
}

// List implements bucket.Bucket.
func (f *Fault) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		hit, err := f.begin("list " + prefix)
		if err != nil {
			yield(bucket.Object{}, err)
			return
		}
		for o, err := range f.Bucket.List(ctx, prefix, after) {
			if f.isCrashed() {
				o, err = bucket.Object{}, ErrCrashed
			}
			if !yield(o, err) || err != nil {
				return
			}
			if hit {
				break
			}
		}
		if err := f.end("list "+prefix, hit); err != nil {
			yield(bucket.Object{}, err)
		}
	}
}

// do runs op, unless it is to go wrong before it has an effect.
func (f *Fault) do(what string, op func() error) error {
	hit, err := f.begin(what)
	if err != nil {
		return err
	}
	err = op()
	if fault := f.end(what, hit); fault != nil {
		return fault
	}
	return err
}

// begin counts an operation. The error means that it must not have its effect,
// hit that end has to make it go wrong after that.
func (f *Fault) begin(what string) (hit bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return false, ErrCrashed
	}
	f.trace = append(f.trace, what)
	if len(f.trace) != f.At {
		return false, nil
	}
	if f.Kind.after() {
		return true, nil
	}
	return false, f.fail(what)
}

// end returns what the operation must return instead of its own result, if anything.
func (f *Fault) end(what string, hit bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return ErrCrashed
	}
	if hit {
		return f.fail(what)
	}
	return nil
}

// fail lets the fault happen. f.mu is held.
func (f *Fault) fail(what string) error {
	switch {
	case f.Kind.crash():
		f.crashed = true
		return ErrCrashed
	case f.Err != nil:
		return fmt.Errorf("%s: %w", what, f.Err)
	}
	return fmt.Errorf("%s: injected: %w", what, bucket.ErrUnreachable)
}

func (f *Fault) isCrashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}
