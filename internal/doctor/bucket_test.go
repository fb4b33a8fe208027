package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
)

// odd is a bucket that does one thing wrong.
type odd struct {
	bucket.Bucket
	put  func(ctx context.Context, name string, data []byte) error
	get  func(b []byte) []byte
	list func(bucket.Object) (bucket.Object, bool)
	del  error
}

func (o odd) Put(ctx context.Context, name string, data []byte) error {
	if o.put != nil {
		return o.put(ctx, name, data)
	}
	return o.Bucket.Put(ctx, name, data)
}

func (o odd) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	b, err := o.Bucket.Get(ctx, name, off, n)
	if o.get != nil {
		b = o.get(b)
	}
	return b, err
}

func (o odd) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for object, err := range o.Bucket.List(ctx, prefix, after) {
			ok := true
			if o.list != nil {
				object, ok = o.list(object)
			}
			if ok && !yield(object, err) {
				return
			}
		}
	}
}

func (o odd) Delete(ctx context.Context, name string) error {
	if o.del != nil {
		return o.del
	}
	return o.Bucket.Delete(ctx, name)
}

func find(t *testing.T, found Findings, name string) Finding {
	t.Helper()
	for _, f := range found {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, found)
	return Finding{}
}

func TestBucket(t *testing.T) {
	memory := &buckettest.Memory{}
	f := func(what string, b bucket.Bucket, name string, want Verdict, detail string) {
		t.Helper()
		found := Bucket(context.Background(), b, "prod/node/", time.Now)
		got := find(t, found, name)
		if got.Verdict != want || !strings.Contains(got.Detail, detail) {
			t.Errorf("%s: %+v, want %s: %s", what, got, want, detail)
		}
		if got.Verdict != OK && got.Remedy == "" {
			t.Errorf("%s: no remedy: %+v", what, got)
		}
	}
	f("a good bucket", memory, "bucket create once", OK, "refused")
	f("a good bucket", memory, "bucket read", OK, "")
	f("a good bucket", memory, "bucket list", OK, "")
	f("a good bucket", memory, "clock", OK, "")
	f("a good bucket", memory, "bucket delete", OK, "can delete")
	for o := range memory.List(context.Background(), "", "") {
		t.Errorf("the probe is left: %s", o.Name)
	}

	f("read only", odd{Bucket: memory, put: func(context.Context, string, []byte) error { return bucket.ErrDenied }},
		"bucket create", Fail, "denied")
	created := map[string]bool{}
	f("overwrites", odd{Bucket: memory, put: func(ctx context.Context, name string, data []byte) error {
		if !created[name] {
			created[name] = true
			return memory.Put(ctx, name, data)
		}
		return nil
	}}, "bucket create once", Fail, "twice")
	f("says no and overwrites", odd{Bucket: memory, get: func(b []byte) []byte { return append([]byte("another "), b...) }},
		"bucket create once", Fail, "changed")
	f("cuts ranges wrong", odd{Bucket: memory, get: func(b []byte) []byte {
		if len(b) < 10 {
			return b[:len(b)-1]
		}
		return b
	}}, "bucket read", Fail, "other bytes")
	f("forgets in listings", odd{Bucket: memory, list: func(o bucket.Object) (bucket.Object, bool) { return o, false }},
		"bucket list", Fail, "lacks")
	f("wrong sizes", odd{Bucket: memory, list: func(o bucket.Object) (bucket.Object, bool) { o.Size++; return o, true }},
		"bucket list", Fail, "bytes")
	f("another clock", odd{Bucket: memory, list: func(o bucket.Object) (bucket.Object, bool) {
		o.Created = o.Created.Add(-time.Hour)
		return o, true
	}}, "clock", Warn, "1h0m0s away")
	f("append only", odd{Bucket: memory, del: fmt.Errorf("delete: %w", bucket.ErrDenied)}, "bucket delete", OK, "append-only: proven")
	f("odd delete", odd{Bucket: memory, del: fs.ErrInvalid}, "bucket delete", Warn, "")
}
