package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
)

func TestConformance(t *testing.T) {
	buckettest.Test(t, func(t *testing.T) bucket.Bucket { return openTemp(t) })
}

func openTemp(t *testing.T) *Bucket {
	t.Helper()
	b, err := Create(filepath.Join(t.TempDir(), "bucket"))
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

// Who only reads must not make an empty bucket out of a typing error.
func TestOpenMakesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "new")
	if _, err := Open(root); !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

func TestCreate(t *testing.T) {
	tmp := t.TempDir()
	for range 2 { // it is created, and then it exists
		if _, err := Create(filepath.Join(tmp, "new")); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(root string, want error, text string) {
		t.Helper()
		_, err := Create(root)
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

// TestLimit: every byte is asked of the limiter; who waits for it stops with the context, and leaves nothing.
func TestLimit(t *testing.T) {
	b := openTemp(t)
	b.Limit = rate.NewLimiter(0, 1000)
	if err := b.Put(t.Context(), "name", make([]byte, 900)); err != nil || b.Limit.Tokens() != 100 {
		t.Errorf("put: %v, %f bytes are left of the limit", err, b.Limit.Tokens())
	}
	b.Limit = rate.NewLimiter(1, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
	if err := b.Put(ctx, "never", make([]byte, 900)); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want that of the context", err)
	}
	if _, err := b.Get(t.Context(), "never", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get: %v, want fs.ErrNotExist", err)
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
