package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
)

func TestConformance(t *testing.T) {
	buckettest.Test(t, func(t *testing.T) bucket.Bucket { return openTemp(t) })
}

func openTemp(t *testing.T) *Bucket {
	t.Helper()
	b, err := Open(filepath.Join(t.TempDir(), "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.root.Close() })
	return b
}

// files returns every file and directory in the bucket but tmpDir itself.
func files(t *testing.T, b *Bucket) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(b.root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." && name != tmpDir {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func listed(t *testing.T, b *Bucket) []string {
	t.Helper()
	var all []string
	for o, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Name)
	}
	return all
}

func TestOpen(t *testing.T) {
	tmp := t.TempDir()
	for range 2 { // it is created, and then it exists
		if _, err := Open(filepath.Join(tmp, "new")); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(root string, want error, text string) {
		t.Helper()
		_, err := Open(root)
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("open %s: %v, want %v with %q", root, err, want, text)
		}
	}
	f(filepath.Join(tmp, "not-mounted", "sstash"), bucket.ErrUnreachable, "mount the disk")
	f("relative", fs.ErrInvalid, "absolute")
	f(filepath.Join(tmp, "file"), nil, "not a directory")
	f(filepath.Join(tmp, "file", "below"), syscall.ENOTDIR, "not a directory")
}

func TestModes(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	b := openTemp(t)
	if err := b.Put(t.Context(), "d/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{".": fs.ModeDir | 0o750, "d": fs.ModeDir | 0o750, "d/x": 0o640} {
		info, err := b.root.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

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
		b, err := Open(root)
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

// TestI1_Killed kills writers and looks at what they left: whole objects, and
// files in tmpDir that the next Open removes once they are old, and only then.
func TestI1_Killed(t *testing.T) {
	content := func(name string) []byte { return []byte(strings.Repeat(name, 20000)) }
	if root := os.Getenv("BUCKET_TEST_CHILD"); root != "" {
		b, err := Open(root)
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
	b, err := Open(root)
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

func TestSweep(t *testing.T) {
	b := openTemp(t)
	if err := b.Put(t.Context(), "keep", nil); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{
		"keep":        2 * staleAfter,
		".tmp/stale":  staleAfter + time.Minute,
		".tmp/active": staleAfter - time.Hour,
	} {
		then := time.Now().Add(-age)
		file := filepath.Join(b.root.Name(), name)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(b.root.Name()); err != nil {
		t.Fatal(err)
	}
	if got, want := files(t, b), []string{".tmp/active", "keep"}; !slices.Equal(got, want) {
		t.Errorf("after the sweep there are %q, want %q", got, want)
	}
}

// TestForeign has things in the directory that no Put has made.
func TestForeign(t *testing.T) {
	b := openTemp(t)
	root := b.root.Name()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(
		b.Put(t.Context(), "d/object", []byte("x")),
		os.WriteFile(outside, []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(root, "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(root, "dirlink")),
		syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600),
		os.WriteFile(filepath.Join(root, ".hidden"), nil, 0o600),
		os.WriteFile(filepath.Join(root, "d", "bad\nname"), nil, 0o600),
		os.Mkdir(filepath.Join(root, "empty"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	before := files(t, b)
	if got := listed(t, b); !slices.Equal(got, []string{"d/object"}) {
		t.Errorf("listed %q, want the object", got)
	}
	for _, name := range []string{"link", "dirlink/secret", "pipe", "empty"} {
		if data, err := b.Get(t.Context(), name, 0, -1); err == nil {
			t.Errorf("get %s = %q, want an error", name, data)
		}
		if err := b.Put(t.Context(), name, []byte("x")); err == nil {
			t.Errorf("put %s: no error", name)
		}
		if name != "dirlink/secret" {
			if err := b.Delete(t.Context(), name); err != nil {
				t.Errorf("delete %s: %v", name, err)
			}
		} else if err := b.Delete(t.Context(), name); err == nil {
			t.Errorf("delete %s: no error", name)
		}
	}
	if got := files(t, b); !slices.Equal(got, before) {
		t.Errorf("there are %q, were %q", got, before)
	}
	if data, err := os.ReadFile(outside); string(data) != "secret" {
		t.Errorf("outside the bucket is %q, %v", data, err)
	}
}

// TestFileInTheWay: that a directory cannot be made must not look as if the
// object existed.
func TestFileInTheWay(t *testing.T) {
	for _, file := range []string{"a", tmpDir} {
		b := openTemp(t)
		if err := b.root.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), "a/b", nil); err == nil || errors.Is(err, fs.ErrExist) {
			t.Errorf("put below the file %s: %v, want an error other than fs.ErrExist", file, err)
		}
	}
}

// TestListIsLazy shows that a listing does not look beyond where it has come.
func TestListIsLazy(t *testing.T) {
	b := openTemp(t)
	for i := range 3 {
		if err := b.Put(t.Context(), fmt.Sprintf("%d/x", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for o, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			// What is not read yet may still change. Had it been read, its
			// object would be seen below.
			if err := errors.Join(b.Delete(t.Context(), "2/x"), b.Put(t.Context(), "2/y", nil)); err != nil {
				t.Fatal(err)
			}
		}
		if n == 3 && o.Name != "2/y" {
			t.Errorf("third is %s, want 2/y: directory 2 was read before it was needed", o.Name)
		}
	}
	if n != 3 {
		t.Errorf("listed %d objects, want 3", n)
	}
}

// TestDeletePrunes races Put against the removal of the directory that it needs.
func TestDeletePrunes(t *testing.T) {
	b := openTemp(t)
	done := make(chan error)
	for w := range 4 {
		go func() {
			for i := range 50 {
				name := fmt.Sprintf("log/segment/%d-%d", w, i)
				if err := errors.Join(b.Put(t.Context(), name, nil), b.Delete(t.Context(), name)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := files(t, b); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

func TestDenied(t *testing.T) {
	for _, err := range []error{syscall.EACCES, syscall.EPERM, syscall.EROFS} {
		if got := classify(&fs.PathError{Op: "openat", Path: "x", Err: err}); !errors.Is(got, bucket.ErrDenied) || !errors.Is(got, err) {
			t.Errorf("classify(%v) = %v", err, got)
		}
	}
	for _, err := range []error{syscall.ENOSPC, fs.ErrExist, fs.ErrNotExist, context.Canceled} {
		if got := classify(err); got != err {
			t.Errorf("classify(%v) = %v", err, got)
		}
	}
}
