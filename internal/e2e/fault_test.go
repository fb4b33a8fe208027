package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/manifest"
)

// fault is one way for one kind of system call to fail.
type fault struct {
	name   string
	calls  string                 // for strace's -e trace
	result string                 // for strace's -e inject
	within func(*copied) []string // only calls on these files; nil for all
}

const (
	eio    = "error=EIO"
	enospc = "error=ENOSPC"
	kill   = "signal=SIGKILL"
)

func faults() []fault {
	return []fault{
		{"unlink fails", "unlinkat", eio, nil},
		{"unlink is the last", "unlinkat", kill, nil},
		{"link fails", "linkat", eio, nil},
		{"link is the last", "linkat", kill, nil},
		{"sync fails", "fsync,fdatasync", eio, nil},
		{"sync is the last", "fsync,fdatasync", kill, nil},
		{"mkdir fails", "mkdirat", enospc, nil},
		{"mkdir is the last", "mkdirat", kill, nil},
		{"write to the state fails", "pwrite64,ftruncate,fallocate", enospc, nil},
		{"write to the state is the last", "pwrite64,ftruncate,fallocate", kill, nil},
		{"write fails", "write", enospc, nil},
		{"write is the last", "write", kill, nil},
		{"read fails", "read,pread64", eio, (*copied).linked},
		{"open fails", "openat", eio, (*copied).linkedIn},
	}
}

// Whatever system call of a backup fails, or is its last: what the bucket holds is whole, no link is
// gone that is not durable, and the next backup makes everything good.
func TestFileOperationsFail(t *testing.T) {
	checkStrace(t)
	template := copyTree(t)
	reference := template.clone(t, "reference")
	if err := reference.backup(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := reference.converged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			// strace counts the calls of each thread on its own: the nth of every thread fails. So all
			// have failed once the last run has met none.
			var last atomic.Int32
			last.Store(1000)
			g, ctx := errgroup.WithContext(t.Context())
			g.SetLimit(2 * runtime.NumCPU()) // they wait for files to settle more than they work
			for n := int32(1); n < last.Load() && ctx.Err() == nil; n++ {
				world := template.clone(t, fmt.Sprint(f.name, " ", n))
				g.Go(func() error {
					met, err := f.survived(ctx, world, n, want)
					if err != nil {
						return fmt.Errorf("call %d: %w", n, err)
					}
					if !met {
						last.Store(min(last.Load(), n))
					}
					return os.RemoveAll(world.dir)
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if t.Logf("%d calls", last.Load()-1); last.Load() == 1 {
				t.Error("there was no such call")
			}
		})
	}
}

// A backup that takes longer than commit_every commits in parts, and does not end before the last.
func TestBackupInParts(t *testing.T) {
	checkStrace(t)
	c := copyTree(t).clone(t, "slow")
	slow := []string{"strace", "-f", "-o", os.DevNull, "-e", "signal=none", "-e", "trace=openat", "-e", "inject=openat:delay_enter=200000"} // µs
	dirs := map[string]bool{}
	for path := range list(t, c.data, snapshot) {
		dirs[filepath.Dir(path)] = true
	}
	for dir := range dirs {
		slow = append(slow, "-P", dir)
	}
	if err := c.backup(t.Context(), slow...); err != nil {
		t.Fatal(err)
	}
	if _, err := c.converged(t.Context()); err != nil {
		t.Error(err)
	}
	if parts := archived(t, c.bucket).counts()[manifest.Full]; parts < 3 {
		t.Errorf("the full has %d parts: too few to show anything", parts)
	}
}

func checkStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: make test installs it")
	}
	out, err := exec.CommandContext(t.Context(), "strace", "-f", "-o", os.DevNull, "true").CombinedOutput()
	if err != nil {
		t.Fatalf("strace can't trace here, for ptrace(2) is not allowed (a container needs --cap-add=SYS_PTRACE): %v\n%s", err, out)
	}
}

// strace is the command line that runs a program whose nth such call fails.
func (f fault) strace(w *copied, trace string, n int32) []string {
	argv := []string{
		"strace", "-f", "-o", trace, "-e", "signal=none", "-e", "trace=" + f.calls,
		"-e", fmt.Sprintf("inject=%s:%s:when=%d", f.calls, f.result, n),
	}
	if f.result != kill { // strace 6.1 forgets signals then
		argv = append(argv, "--seccomp-bpf")
	}
	if f.within != nil {
		for _, path := range f.within(w) {
			argv = append(argv, "-P", path)
		}
	}
	return argv
}

// survived runs a backup whose nth such call fails, if there are so many, and then another one.
func (f fault) survived(ctx context.Context, w *copied, n int32, want map[string]chunker.Hash) (met bool, err error) {
	trace := filepath.Join(w.dir, "trace")
	failed := w.backup(ctx, f.strace(w, trace, n)...)
	text, err := os.ReadFile(trace)
	if err != nil {
		return false, err
	}
	met = bytes.Contains(text, []byte("(INJECTED)")) || killed(failed)
	if !met && failed != nil {
		return met, fmt.Errorf("without a fault: %w", failed)
	}
	if err := w.check(ctx, failed == nil); err != nil {
		return met, fmt.Errorf("after the fault (%v): %w", failed, err)
	}
	if err := w.backup(ctx); err != nil {
		return met, fmt.Errorf("the backup after a fault (%v): %w", failed, err)
	}
	got, err := w.converged(ctx)
	if err != nil {
		return met, fmt.Errorf("after a fault (%v): %w", failed, err)
	}
	if !maps.Equal(got, want) {
		return met, fmt.Errorf("after a fault (%v): %d files were restored, want %d; or they differ", failed, len(got), len(want))
	}
	return met, nil
}

// killed tells whether a command was: strace ends as what it traces does.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
