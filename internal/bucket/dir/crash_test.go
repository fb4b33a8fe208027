package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// TestI2_Durable shows what is synced, in what order, before Put and Delete
// return: first the content, then every directory up to the root.
func TestI2_Durable(t *testing.T) {
	b := openTemp(t)
	var trace, before []string
	put := func(ctx context.Context) error { return b.Put(ctx, "a/b/new", []byte("x")) }
	b.sync = func(f *os.File) error {
		name, err := filepath.Rel(b.root.Name(), f.Name())
		if strings.HasPrefix(name, tmpDir) {
			name = "content"
		}
		if got := listed(t, b); len(trace) == 0 && len(got) > len(before) {
			t.Errorf("%q are listed, but no content is durable yet", got)
		}
		trace = append(trace, name)
		return errors.Join(err, f.Sync())
	}
	f := func(want string, run func(context.Context) error, wantErr error) {
		t.Helper()
		trace, before = nil, listed(t, b)
		if err := run(t.Context()); !errors.Is(err, wantErr) {
			t.Errorf("%v, want %v", err, wantErr)
		}
		if got := strings.Join(trace, " "); got != want {
			t.Errorf("synced %q, want %q", got, want)
		}
	}
	f("content a/b a .", put, nil)
	f("content a/b a .", put, fs.ErrExist) // its winner may not have come so far
	f("content a .", func(ctx context.Context) error { return b.Put(ctx, "a/two", nil) }, nil)
	f("a", func(ctx context.Context) error { return b.Delete(ctx, "a/b/new") }, nil) // a/b went with it
}

// TestSyncFails lets each sync of a Put fail. fs.ErrExist must not be returned
// either as long as what is there is not durable.
func TestSyncFails(t *testing.T) {
	for i := range 4 { // the content, d/e, d, the root
		b := openTemp(t)
		n := 0
		b.sync = func(f *os.File) error {
			n++
			if n > i {
				return &fs.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
			}
			return f.Sync()
		}
		for range 2 {
			n = 0
			if err := b.Put(t.Context(), "d/e/x", []byte("x")); !errors.Is(err, syscall.EIO) || !errors.Is(err, bucket.ErrUnreachable) {
				t.Errorf("put with sync %d failing: %v, want EIO and ErrUnreachable", i+1, err)
			}
		}
		if got := files(t, b); i == 0 && len(got) > 0 {
			t.Errorf("content that could not be synced left %q", got)
		}
	}
}

// endsAt is a context that is cancelled when it is asked for the nth time.
type endsAt struct {
	context.Context
	n int
}

func (c *endsAt) Err() error {
	if c.n--; c.n <= 0 {
		return context.Canceled
	}
	return nil
}

func TestPutCancelledAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		b := openTemp(t)
		err := b.Put(&endsAt{t.Context(), n}, "d/x", []byte("x"))
		if err == nil {
			if n == 1 {
				t.Fatal("Put does not look at its context")
			}
			return
		}
		if got := files(t, b); !errors.Is(err, context.Canceled) || len(got) > 0 {
			t.Errorf("cancelled at look %d: %v, left %q", n, err, got)
		}
	}
}

// child runs this test binary again, to run only the test that calls it, with
// the directory in an environment variable.
func child(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "BUCKET_TEST_CHILD="+root)
	return cmd
}

// TestPutNoSpace runs into a limit of the file size, which like a full disk cuts
// a write short, and unlike one can be had without root.
func TestPutNoSpace(t *testing.T) {
	if root := os.Getenv("BUCKET_TEST_CHILD"); root != "" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		b, err := Create(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), "d/large", make([]byte, 2<<20)); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("put: %v, want EFBIG", err)
		}
		if got := files(t, b); len(got) > 0 {
			t.Errorf("left %q", got)
		}
		return
	}
	if out, err := child(t, filepath.Join(t.TempDir(), "b")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestI1_Killed kills writers and looks at what they left: whole objects only.
func TestI1_Killed(t *testing.T) {
	content := func(name string) []byte { return []byte(strings.Repeat(name, 20000)) }
	if root := os.Getenv("BUCKET_TEST_CHILD"); root != "" {
		b, err := Create(root)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			go func() {
				for j := 0; ; j++ {
					name := fmt.Sprintf("%d/%d", i, j)
					if err := b.Put(t.Context(), name, content(name)); err != nil {
						panic(err)
					}
				}
			}()
		}
		select {} // until killed
	}
	root := filepath.Join(t.TempDir(), "b")
	cmd := child(t, root)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(root + "/*/?*"); len(found) > 100 {
			break
		}
		if time.Now().After(deadline) {
			t.Error("the child puts nothing")
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	b, err := Create(root)
	if err != nil {
		t.Fatal(err)
	}
	names := listed(t, b)
	for _, name := range names {
		data, err := b.Get(t.Context(), name, 0, -1)
		if err != nil || string(data) != string(content(name)) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
	if len(names) == 0 {
		t.Error("no object survived")
	}
}
