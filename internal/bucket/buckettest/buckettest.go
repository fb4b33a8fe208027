// Package buckettest checks that a bucket.Bucket keeps what package bucket
// demands, and has the two buckets that tests of everything above need: Memory,
// which is fast and whose clock can be set, and Fault, which goes wrong at a
// chosen operation.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// Test runs the conformance suite. open returns a new empty bucket each time;
// what it needs to clean up it registers with the t it is given. A driver that
// lists in pages is opened with pages of at most 100 names: emulators are too slow
// for the thousands of objects that it would take to fill the usual ones.
func Test(t *testing.T, open func(t *testing.T) bucket.Bucket) {
	for _, c := range []struct {
		name string
		test func(*testing.T, bucket.Bucket)
	}{
		{"Content", testContent},
		{"Names", testNames},
		{"BadNames", testBadNames},
		{"CreateOnly", testCreateOnly},
		{"Race", testRace},
		{"Cancelled", testCancelled},
		{"Ranges", testRanges},
		{"Missing", testMissing},
		{"Delete", testDelete},
		{"List", testList},
		{"ListMany", testListMany},
		{"ListWhileDeleting", testListWhileDeleting},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func testContent(t *testing.T, b bucket.Bucket) {
	large := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{}).Read(large)
	for name, data := range map[string][]byte{
		"empty": {},
		"small": []byte("one\x00two\r\n"),
		"large": large,
	} {
		before := time.Now()
		buf := bytes.Clone(data)
		put(t, b, name, buf)
		clear(buf) // the bucket must not have kept it
		got := get(t, b, name)
		if !bytes.Equal(got, data) {
			t.Errorf("%s: got %d bytes that differ from the %d put", name, len(got), len(data))
		}
		clear(got) // it is ours, not the bucket's
		if again := get(t, b, name); !bytes.Equal(again, data) {
			t.Errorf("%s: content changed with the slice that Get returned", name)
		}
		objects := list(t, b, name, "")
		if len(objects) != 1 || objects[0].Name != name || objects[0].Size != int64(len(data)) {
			t.Errorf("%s: listed as %+v, want %d bytes", name, objects, len(data))
			continue
		}
		// Two clocks may be compared here: no store under test is an hour off.
		if d := objects[0].Created.Sub(before).Abs(); d > time.Hour {
			t.Errorf("%s: created %v from now by the store's clock", name, d)
		}
	}
}

func testNames(t *testing.T, b bucket.Bucket) {
	want := []string{
		"Case", "case", "a b/c d", "a+b", "50%", "%41", "%2F", "a&b=c", "a?b", "a#b", "a:b",
		`"quoted"'`, "*[x]{y}", "~tilde", "é", "e\u0301", "日本語/システィム", "🙂",
		"deep/" + strings.Repeat("d/", 100) + "x", strings.Repeat("n", bucket.MaxElement), "dot.", "a..b",
	}
	for _, name := range want {
		put(t, b, name, []byte(name))
	}
	for _, name := range want {
		if got := get(t, b, name); string(got) != name {
			t.Errorf("get %q = %q", name, got)
		}
		if got := names(list(t, b, name, "")); !slices.Contains(got, name) {
			t.Errorf("list with prefix %q = %q", name, got)
		}
	}
	slices.Sort(want)
	if got := names(list(t, b, "", "")); !slices.Equal(got, want) {
		t.Errorf("listed %q\n  want %q", got, want)
	}
}

func testBadNames(t *testing.T, b bucket.Bucket) {
	ctx := t.Context()
	for _, name := range []string{"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.b", "a\x00b", "a\nb", "\xff", strings.Repeat("n/", bucket.MaxName)} {
		_, getErr := b.Get(ctx, name, 0, -1)
		for op, err := range map[string]error{
			"put":    b.Put(ctx, name, []byte("x")),
			"get":    getErr,
			"delete": b.Delete(ctx, name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %.20q: %v, want fs.ErrInvalid", op, name, err)
			}
		}
	}
	for _, bad := range []string{"/", "a//", "../", ".", "\x00"} {
		if _, err := collect(b.List(ctx, bad, "")); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("list with prefix %q: %v, want fs.ErrInvalid", bad, err)
		}
		if _, err := collect(b.List(ctx, "", bad)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("list after %q: %v, want fs.ErrInvalid", bad, err)
		}
	}
	put(t, b, "a", nil)
	if _, err := b.Get(ctx, "a", -1, 1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("get from a negative offset: %v, want fs.ErrInvalid", err)
	}
	if got := names(list(t, b, "", "")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("bad names left %q behind", got)
	}
}

func testCreateOnly(t *testing.T, b bucket.Bucket) {
	put(t, b, "m/1", []byte("first"))
	for _, data := range []string{"second", "first", ""} {
		if err := b.Put(t.Context(), "m/1", []byte(data)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("put %q over it: %v, want fs.ErrExist", data, err)
		}
	}
	if got := get(t, b, "m/1"); string(got) != "first" {
		t.Errorf("content is %q, want the first", got)
	}
	if got := names(list(t, b, "", "")); !slices.Equal(got, []string{"m/1"}) {
		t.Errorf("refused puts left %q behind", got)
	}
}

// testRace is I4's fence: eight writers want the same number.
func testRace(t *testing.T, b bucket.Bucket) {
	for round := range 10 {
		name := fmt.Sprintf("race/%d/manifest", round)
		content := func(writer int) []byte { return fmt.Appendf(nil, "written by %d", writer) }
		errs := make([]error, 8)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for w := range errs {
			wg.Go(func() {
				<-start
				errs[w] = b.Put(t.Context(), name, content(w))
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for w, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = w
			case err == nil:
				t.Errorf("%s: writers %d and %d both won", name, winner, w)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("%s: writer %d: %v, want fs.ErrExist", name, w, err)
			}
		}
		if winner < 0 {
			t.Fatalf("%s: nobody won", name)
		}
		if got := get(t, b, name); !bytes.Equal(got, content(winner)) {
			t.Errorf("%s: content is %q, but writer %d was told that it won", name, got, winner)
		}
	}
}

func testCancelled(t *testing.T, b bucket.Bucket) {
	put(t, b, "there", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := b.Get(ctx, "there", 0, -1)
	_, listErr := collect(b.List(ctx, "", ""))
	_, emptyErr := collect(b.List(ctx, "none", "")) // not an empty listing!
	for op, err := range map[string]error{
		"put":        b.Put(ctx, "new", []byte("x")),
		"get":        getErr,
		"list":       listErr,
		"list empty": emptyErr,
		"delete":     b.Delete(ctx, "there"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", op, err)
		}
	}
	if got := names(list(t, b, "", "")); !slices.Equal(got, []string{"there"}) {
		t.Errorf("after cancelled operations the bucket has %q", got)
	}
	put(t, b, "new", []byte("y"))
}

func testRanges(t *testing.T, b bucket.Bucket) {
	const data = "0123456789"
	put(t, b, "ten", []byte(data))
	put(t, b, "none", nil)
	f := func(name string, off, n int64, want string) {
		t.Helper()
		got, err := b.Get(t.Context(), name, off, n)
		if err != nil || string(got) != want {
			t.Errorf("get %s %d+%d = %q, %v; want %q", name, off, n, got, err, want)
		}
	}
	f("ten", 0, 10, data)
	f("ten", 0, 1, "0")
	f("ten", 3, 4, "3456")
	f("ten", 9, 1, "9")
	f("ten", 0, -1, data)
	f("ten", 7, -1, "789")
	f("ten", 10, -1, "")
	f("ten", 0, 0, "")
	f("ten", 5, 0, "")
	f("ten", 10, 0, "")
	f("none", 0, -1, "")
	f("none", 0, 0, "")

	short := func(name string, off, n int64) {
		t.Helper()
		if got, err := b.Get(t.Context(), name, off, n); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("get %s %d+%d = %q, %v; want io.ErrUnexpectedEOF", name, off, n, got, err)
		}
	}
	short("ten", 0, 11)
	short("ten", 9, 2)
	short("ten", 10, 1)
	short("ten", 11, 0)
	short("ten", 11, -1)
	short("ten", 5, 1<<62) // must not be allocated before it is checked
	short("ten", 1<<62, 1<<62)
	short("none", 0, 1)
	short("none", 1, -1)
}

func testMissing(t *testing.T, b bucket.Bucket) {
	f := func() {
		t.Helper()
		for _, n := range []int64{-1, 0, 5} {
			if _, err := b.Get(t.Context(), "no/such", 0, n); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("get %d bytes: %v, want fs.ErrNotExist", n, err)
			}
		}
		if err := b.Delete(t.Context(), "no/such"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if got := list(t, b, "no/", ""); len(got) > 0 {
			t.Errorf("list: %v", got)
		}
	}
	f() // in an empty bucket
	put(t, b, "no/such/directory/is/an/object", nil)
	if _, err := b.Get(t.Context(), "no/such/directory", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a name that others begin with: %v, want fs.ErrNotExist", err)
	}
	if err := b.Delete(t.Context(), "no/such/directory"); err != nil {
		t.Errorf("delete of a name that others begin with: %v", err)
	}
	get(t, b, "no/such/directory/is/an/object")
}

func testDelete(t *testing.T, b bucket.Bucket) {
	for _, name := range []string{"d/1", "d/2", "e/f/g"} {
		put(t, b, name, []byte(name))
	}
	for range 2 { // the second time it is already gone
		for _, name := range []string{"d/1", "e/f/g"} {
			if err := b.Delete(t.Context(), name); err != nil {
				t.Errorf("delete %s: %v", name, err)
			}
		}
	}
	if _, err := b.Get(t.Context(), "d/1", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a deleted object: %v, want fs.ErrNotExist", err)
	}
	if got := names(list(t, b, "", "")); !slices.Equal(got, []string{"d/2"}) {
		t.Errorf("left %q, want d/2", got)
	}
	put(t, b, "e/f/h", []byte("beside what was deleted"))
}

// put creates an object that is not there yet.
func put(t *testing.T, b bucket.Bucket, name string, data []byte) {
	t.Helper()
	if err := b.Put(t.Context(), name, data); err != nil {
		t.Fatal(err)
	}
}

// get reads a whole object that is there.
func get(t *testing.T, b bucket.Bucket, name string) []byte {
	t.Helper()
	data, err := b.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
