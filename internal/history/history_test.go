package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/bucket/dir"
	"github.com/sstash/sstash/manifest"
)

const prefix = "prod/1c380315/"

func newDir(t *testing.T) bucket.Bucket {
	t.Helper()
	b, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openWriter(t *testing.T, b bucket.Bucket, c *Cache) *Writer {
	t.Helper()
	w, err := tryOpen(b, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func tryOpen(b bucket.Bucket, c *Cache, pid int) (*Writer, error) {
	r := Reader{Bucket: b, Prefix: prefix, Cache: c}
	return OpenWriter(context.Background(), r, Identity{"prod", "1c380315"},
		manifest.Body{Writer: &manifest.Writer{Host: "node1", PID: pid}}, WriterOptions{Now: time.Now})
}

func commit(w *Writer) error {
	_, err := w.Commit(context.Background(), manifest.Increment, nil, manifest.Body{AsOf: time.Now().UTC()})
	return err
}

func seqs(t *testing.T, b bucket.Bucket) (n uint64) {
	t.Helper()
	r := Reader{Bucket: b, Prefix: prefix}
	n, err := r.Newest(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return 0
	}
	if _, err := r.State(context.Background(), n); err != nil {
		t.Errorf("the history can't be read back: %v", err)
	}
	return n
}

func TestHistoryGoesOnAfterRestart(t *testing.T) {
	b := newDir(t)
	for range 3 {
		if err := commit(openWriter(t, b, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := seqs(t, b); n != 6 {
		t.Errorf("%d entries, want 3 opens and 3 increments", n)
	}
}

func TestI4_WhoOpenedLastGoesOn(t *testing.T) {
	b := newDir(t)
	first := openWriter(t, b, nil)
	second := openWriter(t, b, nil)
	if err := commit(first); !errors.Is(err, ErrFenced) {
		t.Errorf("the first writer: %v, want ErrFenced", err)
	}
	if err := commit(first); !errors.Is(err, ErrFenced) {
		t.Errorf("the first writer, again: %v, want ErrFenced", err)
	}
	for range 2 {
		if err := commit(second); err != nil {
			t.Errorf("the second writer: %v", err)
		}
	}
}

// busy lets another writer commit right before a Put, so many times.
type busy struct {
	bucket.Bucket
	times  int
	commit func()
}

func (b *busy) Put(ctx context.Context, name string, data []byte) error {
	if b.times > 0 {
		b.times--
		b.commit()
	}
	return b.Bucket.Put(ctx, name, data)
}

func TestI4_BusyWriterKeepsNobodyOut(t *testing.T) {
	b := newDir(t)
	first := openWriter(t, b, nil)
	second := openWriter(t, &busy{Bucket: b, times: 30, commit: func() {
		if err := commit(first); err != nil {
			t.Error(err)
		}
	}}, nil)
	if err := commit(first); !errors.Is(err, ErrFenced) {
		t.Errorf("the first writer: %v, want ErrFenced", err)
	}
	if err := commit(second); err != nil {
		t.Errorf("the second writer: %v", err)
	}
	if n := seqs(t, b); n != 33 {
		t.Errorf("%d entries, want two opens and 31 increments", n)
	}
}

func TestI4_OfWritersThatOpenAtOnceOneGoesOn(t *testing.T) {
	b := newDir(t)
	const n = 8
	results := make(chan error, n)
	for pid := range n {
		go func() {
			w, err := tryOpen(b, nil, pid)
			for range 3 {
				if err == nil {
					err = commit(w)
				}
			}
			results <- err
		}()
	}
	alive := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			alive++
		case !errors.Is(err, ErrFenced):
			t.Error(err)
		}
	}
	// Writers that finish before the next one opens all succeed; one at least does.
	if alive == 0 {
		t.Error("nobody goes on")
	}
	seqs(t, b)
}

// Every operation of a short life fails or crashes, before or after its effect. A writer that goes
// on, or its successor, must never lose or repeat an entry.
func TestI4_EveryOperationFails(t *testing.T) {
	life := func(b bucket.Bucket) (done int, err error) {
		w, err := tryOpen(b, nil, 1)
		if err != nil {
			return 0, err
		}
		for range 3 {
			if err := commit(w); err == nil {
				done++
			} else if err := commit(w); err == nil { // a second try
				done++
			} else {
				return done, err
			}
		}
		return done, nil
	}
	for _, kind := range buckettest.Kinds() {
		for at := 1; ; at++ {
			b := newDir(t)
			f := &buckettest.Fault{Bucket: b, At: at, Kind: kind}
			done, err := life(f)
			if f.Count() < at {
				break
			}
			t.Run(fmt.Sprintf("%v at %d", kind, at), func(t *testing.T) {
				if errors.Is(err, ErrFenced) {
					t.Errorf("fenced by itself: %v", err)
				}
				n := seqs(t, b)
				if int(n) < done {
					t.Errorf("%d entries, %d were acknowledged", n, done)
				}
				if _, err := life(b); err != nil {
					t.Errorf("the next run: %v", err)
				}
			})
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	root := t.TempDir()
	b, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	w := openWriter(t, b, nil)
	for range 3 {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(root, Name(prefix, 3))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, damage func() error) {
		t.Helper()
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(b, nil, 1); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("missing", func() error { return os.Remove(path) })
	f("cut short", func() error { return os.Truncate(path, 100) })
	f("another entry in its place", func() error {
		other, err := os.ReadFile(filepath.Join(root, Name(prefix, 2)))
		if err != nil {
			return err
		}
		return os.WriteFile(path, other, 0o600)
	})
	if _, err := tryOpen(b, nil, 1); err != nil {
		t.Errorf("after repair: %v", err)
	}
}

func TestCacheIsOnlyACache(t *testing.T) {
	state := t.TempDir()
	b := newDir(t)
	openCache := func() *Cache {
		c, err := OpenCache(state, "file:///bucket")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := openCache()
	w := openWriter(t, b, c)
	for range 5 {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenCache(state, "file:///bucket"); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process: %v, want ErrInUse", err)
	}
	c.Close()

	c = openCache()
	counted := &buckettest.Fault{Bucket: b}
	if _, err := tryOpen(counted, c, 1); err != nil {
		t.Fatal(err)
	}
	if n := counted.Count(); n != 4 {
		t.Errorf("%d operations with a warm cache, want 4 (compare the newest, list what is newer, check, open): %v", n, counted.Trace())
	}
	c.Close()

	if err := os.WriteFile(filepath.Join(state, cacheFile), []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = openCache()
	openWriter(t, b, c)
	c.Close()
}

// A bucket that has lost what we know it to hold, as a disk that is not mounted seems to have, is not
// one to begin anew in.
func TestI10_EmptyBucketIsNotANewOne(t *testing.T) {
	state := t.TempDir()
	c, err := OpenCache(state, "file:///bucket")
	if err != nil {
		t.Fatal(err)
	}
	b := newDir(t)
	openWriter(t, b, c)
	if _, err := tryOpen(newDir(t), c, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("an empty bucket: %v, want ErrDamaged", err)
	}
	openWriter(t, b, c) // mounted again
	c.Close()

	if c, err = OpenCache(state, "file:///another"); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := openWriter(t, newDir(t), c).State().Seq(); got != 1 {
		t.Errorf("the history in another bucket begins at %d", got)
	}
}
