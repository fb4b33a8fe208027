package history

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/manifest"
)

func openCache(t *testing.T) *Cache {
	t.Helper()
	c, err := OpenCache(t.TempDir(), "mem://bucket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// replace puts another object in the place of one; none when it is nil.
func replace(t *testing.T, b bucket.Bucket, name string, object []byte) {
	t.Helper()
	err := b.Delete(t.Context(), name)
	if object != nil {
		err = errors.Join(err, b.Put(t.Context(), name, object))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, b bucket.Bucket, name string) []byte {
	t.Helper()
	object, err := b.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// full commits a full of every table, which makes what lies before it needless.
func full(t *testing.T, w *Writer) {
	t.Helper()
	part := &manifest.FullPart{Tag: "sstash-1", After: w.State().Seq(), All: true, Last: true}
	if _, err := w.Commit(t.Context(), manifest.Full, nil, manifest.Body{AsOf: time.Now().UTC(), Full: part}); err != nil {
		t.Fatal(err)
	}
}

// Whoever has copies of all entries sees that the bucket has lost one, when it opens the history and
// while it runs, and says which; entries that a full has made needless may go.
func TestI5_LossIsSeenBehindTheCache(t *testing.T) {
	for _, warm := range []bool{true, false} { // a running writer knows what is lost without a cache too
		b := &buckettest.Memory{}
		var c *Cache
		if warm {
			c = openCache(t)
		}
		w := openWriter(t, b, c)
		for range 3 {
			if err := commit(w); err != nil {
				t.Fatal(err)
			}
		}
		full(t, w) // 5
		for range 3 {
			if err := commit(w); err != nil {
				t.Fatal(err)
			}
		}
		for seq := uint64(1); seq <= 8; seq++ {
			name := Name(prefix, seq)
			f := func(what string, object []byte) {
				t.Helper()
				whole := get(t, b, name)
				replace(t, b, name, object)
				defer replace(t, b, name, whole)
				want := seq >= 5 && (warm || object == nil)
				err := w.Check(t.Context())
				if errors.Is(err, ErrDamaged) != want || want && !strings.Contains(err.Error(), name) {
					t.Errorf("entry %d is %s, cache %v: a running writer: %v", seq, what, warm, err)
				}
				if warm && want {
					if _, err := tryOpen(b, c, 1); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
						t.Errorf("entry %d is %s, cache %v: open: %v", seq, what, warm, err)
					}
				}
			}
			f("missing", nil)
			f("longer", append(get(t, b, name), 0))
		}
		if err := w.Check(t.Context()); err != nil {
			t.Errorf("after repair: %v", err)
		}
		openWriter(t, b, c)
		if err := w.Check(t.Context()); err != nil {
			t.Errorf("another writer's entry is no damage: %v", err)
		}
	}
}

// A bucket that can't be asked is not a damaged one.
func TestCheckThatFails(t *testing.T) {
	b := &buckettest.Memory{}
	f := &buckettest.Fault{Bucket: b, At: 3}
	w := openWriter(t, f, nil)
	if err := w.Check(t.Context()); !errors.Is(err, bucket.ErrUnreachable) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Errorf("and then: %v", err)
	}
}

func startOver(b bucket.Bucket, c *Cache) (*Writer, error) {
	return OpenWriter(context.Background(), Reader{Bucket: b, Prefix: prefix, Cache: c}, Identity{"prod", "1c380315"},
		manifest.Body{}, WriterOptions{Now: time.Now, StartOver: true})
}

// A history that begins anew behind a hole needs nothing from before it.
func TestStartOverBehindAHole(t *testing.T) {
	b, c := &buckettest.Memory{}, openCache(t)
	w := openWriter(t, b, c)
	for range 3 {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	replace(t, b, Name(prefix, 2), nil)
	w, err := startOver(b, c)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.Seq() != 5 || s.Base() != 5 {
		t.Errorf("begins anew at %d with base %d, want 5", s.Seq(), s.Base())
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	openWriter(t, b, c)
}

// Nor does the one that the old writer, which knows of no hole, still writes meanwhile.
func TestStartOverBesideABusyWriter(t *testing.T) {
	b := &buckettest.Memory{}
	old := openWriter(t, b, nil)
	for range 3 {
		if err := commit(old); err != nil {
			t.Fatal(err)
		}
	}
	replace(t, b, Name(prefix, 2), nil)
	w, err := startOver(&busy{Bucket: b, times: 2, commit: func() {
		if err := commit(old); err != nil {
			t.Error(err)
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.Seq() != 7 || s.Base() != 7 {
		t.Errorf("begins anew at %d with base %d, want 7", s.Seq(), s.Base())
	}
	openWriter(t, b, nil)
}

// The newest entry is another one than this machine wrote, of the same length.
func TestI5_ReplacedNewestEntry(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) }
	open := func(b bucket.Bucket, c *Cache) (*Writer, error) {
		return OpenWriter(t.Context(), Reader{Bucket: b, Prefix: prefix, Cache: c}, Identity{"prod", "1c380315"},
			manifest.Body{}, WriterOptions{Now: now})
	}
	ours, c := &buckettest.Memory{}, openCache(t)
	if _, err := open(ours, c); err != nil {
		t.Fatal(err)
	}
	theirs := ours.Clone()
	for _, err := range []error{second(open(ours, c)), second(open(theirs, nil))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	name := Name(prefix, 2)
	a, b := get(t, ours, name), get(t, theirs, name)
	if slices.Equal(a, b) || len(a) != len(b) {
		t.Fatalf("%d and %d bytes: not what this test is about", len(a), len(b))
	}
	for range 2 { // to have seen it is not to have taken it for ours
		if _, err := open(theirs, c); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want ErrDamaged", err)
		}
	}
	if _, err := open(ours, c); err != nil {
		t.Error(err)
	}
}

func second(_ *Writer, err error) error { return err }

// A history of which the last number is taken goes no further: names of more digits are not read.
func TestI4_NoNumberIsLeft(t *testing.T) {
	b := &buckettest.Memory{}
	object, err := manifest.Encode(&manifest.Manifest{Header: manifest.Header{Seq: last, Base: last, Kind: manifest.Open}})
	if err != nil {
		t.Fatal(err)
	}
	replace(t, b, Name(prefix, last), object)
	if _, err := tryOpen(b, nil, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want ErrDamaged", err)
	}
	if n := seqs(t, b); n != last {
		t.Errorf("the newest entry is %d", n)
	}
}

// Objects below manifests/ that no sstash put there: those with other names are nothing, and one that
// would be the newest entry is named, also when a history begins anew.
func TestStrayObjects(t *testing.T) {
	try := func(name string, c *Cache, wantOpen, wantOver error) {
		t.Helper()
		b := &buckettest.Memory{}
		if err := commit(openWriter(t, b, c)); err != nil {
			t.Fatal(err)
		}
		replace(t, b, name, []byte("stray"))
		if _, err := tryOpen(b, c, 1); !errors.Is(err, wantOpen) || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: open: %v, want %v", name, err, wantOpen)
		}
		w, err := startOver(b, c)
		if !errors.Is(err, wantOver) || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: start over: %v, want %v", name, err, wantOver)
		}
		if err != nil {
			return
		}
		if err := commit(w); err != nil {
			t.Errorf("%s: commit: %v", name, err)
		}
		if got, want := seqs(t, b), w.State().Seq(); got != want {
			t.Errorf("%s: the newest entry is %d, and %d was committed", name, got, want)
		}
		openWriter(t, b, c)
	}
	f := func(name string, wantOpen, wantOver error) {
		t.Helper()
		name = prefix + "manifests/" + name
		try(name, openCache(t), wantOpen, wantOver)
		try(name, nil, wantOpen, wantOver)
	}
	f("9999999999", ErrDamaged, ErrDamaged)
	f("9000000000", ErrDamaged, ErrDamaged)
	f("8999999999", ErrDamaged, nil)
	f("0000000007", ErrDamaged, nil)
	for _, other := range []string{"10000000000", "18446744073709551616", "0000000000", "00000000007", "7", "-000000001", "+000000001", "000000000x", "0000000007.tmp"} {
		f(other, nil, nil)
	}
}
