package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// maxSkew is how far the node's clock may be from the bucket's. Nothing breaks beyond: order in a
// history is that of its numbers. But people choose points by the clock.
const maxSkew = 5 * time.Second

// Bucket tries a bucket with a probe below prefix: create, refuse to create again, read a range, list,
// delete. Where deleting is denied, the probe stays; it is a few bytes.
func Bucket(ctx context.Context, b bucket.Bucket, prefix string, now func() time.Time) Findings {
	var found Findings
	began := now()
	name := prefix + "doctor/" + began.UTC().Format("20060102T150405Z") + "-" + random()
	content := []byte("sstash doctor: " + name)
	if err := b.Put(ctx, name, content); err != nil {
		found.fail("bucket create", reach(err), "create an object: %v", err)
		return found
	}
	found.ok("bucket create", "created %s", name)
	found.createOnce(ctx, b, name, content)
	found.readRange(ctx, b, name, content)
	found.list(ctx, b, name, len(content), began, now())
	found.remove(ctx, b, name)
	return found
}

func random() string {
	r := make([]byte, 6)
	rand.Read(r) // never fails (crypto/rand)
	return hex.EncodeToString(r)
}

// createOnce: create-if-absent is the only lock there is (I4).
func (found *Findings) createOnce(ctx context.Context, b bucket.Bucket, name string, content []byte) {
	const check = "bucket create once"
	err := b.Put(ctx, name, append([]byte("another "), content...))
	if err == nil {
		found.fail(check, "use a store that honours create-if-absent: two writers would destroy each other's history here",
			"an object was created twice under one name")
		return
	}
	if !errors.Is(err, fs.ErrExist) {
		found.fail(check, reach(err), "create it again: %v", err)
		return
	}
	got, err := b.Get(ctx, name, 0, -1)
	switch {
	case err != nil:
		found.fail(check, reach(err), "read it back: %v", err)
	case !bytes.Equal(got, content):
		found.fail(check, "don't use this store", "creating it again was refused, and yet changed it")
	default:
		found.ok(check, "creating it again was refused")
	}
}

func (found *Findings) readRange(ctx context.Context, b bucket.Bucket, name string, content []byte) {
	const check, off, n = "bucket read", 7, 6
	got, err := b.Get(ctx, name, off, n)
	switch {
	case err != nil:
		found.fail(check, reach(err), "read a range: %v", err)
	case !bytes.Equal(got, content[off:off+n]):
		found.fail(check, "don't use this store", "a range of %d bytes came back as other bytes", n)
	default:
		found.ok(check, "a range can be read")
	}
}

func (found *Findings) list(ctx context.Context, b bucket.Bucket, name string, size int, began, ended time.Time) {
	const check = "bucket list"
	for o, err := range b.List(ctx, name, "") {
		if err != nil {
			found.fail(check, reach(err), "list: %v", err)
			return
		}
		if o.Name != name {
			continue
		}
		if o.Size != int64(size) {
			found.fail(check, "don't use this store", "the listing says %d bytes where there are %d", o.Size, size)
			return
		}
		found.ok(check, "the listing has it at once")
		found.clock(o.Created, began, ended)
		return
	}
	found.fail(check, "use a store whose listings are complete", "the listing lacks what was just created")
}

// clock compares the bucket's clock with ours: the probe was created between began and ended.
func (found *Findings) clock(created, began, ended time.Time) {
	var skew time.Duration
	switch {
	case created.Before(began):
		skew = began.Sub(created)
	case created.After(ended):
		skew = created.Sub(ended)
	}
	if skew > maxSkew {
		found.warn("clock", "run an NTP client: points are chosen by this clock",
			"this machine's clock is %s away from the bucket's", skew.Round(time.Second))
		return
	}
	found.ok("clock", "agrees with the bucket's")
}

func (found *Findings) remove(ctx context.Context, b bucket.Bucket, name string) {
	const check = "bucket delete"
	err := b.Delete(ctx, name)
	switch {
	case err == nil:
		found.ok(check, "this identity can delete: whoever takes over this machine can destroy its backups; "+
			"without that permission they can't")
	case errors.Is(err, bucket.ErrDenied):
		found.ok(check, "append-only: proven; %s stays", name)
	default:
		found.warn(check, reach(err), "delete: %v", err)
	}
}

// reach is what to do about an error of a bucket.
func reach(err error) string {
	switch {
	case errors.Is(err, bucket.ErrDenied):
		return "give this identity the permission: create, read and list are needed"
	case errors.Is(err, bucket.ErrUnreachable):
		return "check the bucket's name and the network"
	}
	return "make it work by hand first, as the user that runs sstash"
}
