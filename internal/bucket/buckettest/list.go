package buckettest

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sstash/sstash/internal/bucket"
)

func testList(t *testing.T, b bucket.Bucket) {
	// A walk that sorts directory by directory gets these wrong: '-' and '.'
	// sort before '/', digits and letters after it.
	all := []string{
		"a", "b-c/x", "b.c", "b/c", "b/c-", "b/c-d/e", "b/d", "b0", "c!", "c/0", "c/00", "c/1/2/3", "c/10",
	}
	for _, name := range all {
		put(t, b, name, []byte("x"))
	}
	slices.Sort(all)
	afters := []string{"", "b/", "c/1/", "zz"}
	for _, name := range all { // every name, and what lies around it
		afters = append(afters, name, name+"!", name[:len(name)-1])
	}
	for _, prefix := range []string{"", "b", "b-", "b/", "b/c", "c/1", "c/1/", "d", "d/"} {
		for _, after := range afters {
			if bucket.CheckList(prefix, after) != nil {
				continue
			}
			var want []string
			for _, name := range all {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			if got := names(list(t, b, prefix, after)); !slices.Equal(got, want) {
				t.Errorf("list %q after %q = %q\n  want %q", prefix, after, got, want)
			}
		}
	}
}

// testListMany crosses pages, see Test.
func testListMany(t *testing.T, b bucket.Bucket) {
	const n = 250
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("packs/%04d", i*7%n))
	}
	var wg sync.WaitGroup
	for part := range slices.Chunk(want, n/8+1) {
		wg.Go(func() {
			for _, name := range part {
				if err := b.Put(t.Context(), name, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	if got := names(list(t, b, "", "")); !slices.Equal(got, want) {
		t.Errorf("listed %d names, want %d in order", len(got), len(want))
	}
	if got := names(list(t, b, "packs/", want[n-3])); !slices.Equal(got, want[n-2:]) {
		t.Errorf("listed %q after the third last", got)
	}
	for range 2 { // a listing may be stopped early, and ranged over again
		seq, seen := b.List(t.Context(), "packs/", ""), 0
		for o, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if o.Name != want[seen] {
				t.Fatalf("listed %s, want %s", o.Name, want[seen])
			}
			if seen++; seen == 3 {
				break
			}
		}
	}
}

// testListWhileDeleting is what a collector does.
func testListWhileDeleting(t *testing.T, b bucket.Bucket) {
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("log/%02d/x", i))
		put(t, b, want[i], nil)
	}
	var got []string
	for o, err := range b.List(t.Context(), "log/", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Name)
		if err := b.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q\n  want %q", got, want)
	}
	if left := list(t, b, "", ""); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// list is a listing that must not fail.
func list(t *testing.T, b bucket.Bucket, prefix, after string) []bucket.Object {
	t.Helper()
	objects, err := collect(b.List(t.Context(), prefix, after))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func collect(seq iter.Seq2[bucket.Object, error]) (objects []bucket.Object, err error) {
	for o, err := range seq {
		if err != nil {
			return objects, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func names(objects []bucket.Object) []string {
	var all []string
	for _, o := range objects {
		all = append(all, o.Name)
	}
	return all
}
