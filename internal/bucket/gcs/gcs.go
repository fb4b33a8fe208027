// Package gcs keeps a bucket in Google Cloud Storage. It is the only package
// that imports the Cloud Storage SDK.
//
// Every operation is made of attempts that this package starts, bounds and
// counts itself; the SDK is told not to retry. The SDK's own retries of uploads
// know no limit but the context, have no deadline for one attempt, and hide that
// there was an earlier attempt, which is what decides whether "already exists"
// may be our own object (storage v1.70.0, gensupport.sendAndRetry).
//
// An upload is one request: the condition ifGenerationMatch=0, the CRC32C, which
// the service checks before the object appears, and the content, straight from
// the caller's slice. Nothing is resumable, so nothing is left behind.
//
// Reads of a whole object are checked against the CRC32C that the service sends.
// Reads of a range are not: the service has no checksum of a range.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"sync/atomic"

	"cloud.google.com/go/storage"
	"golang.org/x/time/rate"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/sstash/sstash/internal/bucket"
)

// Bucket is a Cloud Storage bucket, or what begins with a prefix in one. It
// implements bucket.Bucket.
type Bucket struct {
	// Limit bounds the bytes that Puts send per second, those of attempts that fail too; nil for no
	// bound. Set before use.
	Limit *rate.Limiter

	handle *storage.BucketHandle
	name   string
	prefix string      // of every object's name: "" or ends with a slash
	found  atomic.Bool // the bucket has been seen to exist

	pace     pace
	pageSize int // names in one answer to a listing
}

// Open returns the part of the named bucket that is below prefix, which is
// empty or a name without a slash at its end. It does not look whether the bucket
// is there: the first operation will tell.
//
// Requests go through client; nil means a client of the SDK's, with Application
// Default Credentials. Either way the SDK honours STORAGE_EMULATOR_HOST.
func Open(ctx context.Context, name, prefix string, client *http.Client) (*Bucket, error) {
	if prefix != "" {
		if err := bucket.CheckName(prefix); err != nil || len(prefix) > bucket.MaxPrefix {
			return nil, fmt.Errorf("open gs://%s: prefix %.80q: %w", name, prefix, fs.ErrInvalid)
		}
		prefix += "/"
	}
	options := []option.ClientOption{storage.WithJSONReads(), option.WithScopes(storage.ScopeReadWrite)}
	if client != nil {
		options = append(options, option.WithHTTPClient(client))
	}
	// The client may keep its context to refresh credentials: it must outlive ctx.
	c, err := storage.NewClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, fmt.Errorf("open gs://%s: %w: %w (run on a machine with a service account, or set GOOGLE_APPLICATION_CREDENTIALS)",
			name, bucket.ErrDenied, err)
	}
	c.SetRetry(storage.WithPolicy(storage.RetryNever))
	return &Bucket{
		handle:   c.Bucket(name),
		name:     name,
		prefix:   prefix,
		pace:     defaultPace,
		pageSize: 1000, // the most that the service gives
	}, nil
}

func (b *Bucket) object(name string) *storage.ObjectHandle {
	return b.handle.Object(b.prefix + name)
}

// Put implements bucket.Bucket.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	if err := b.put(ctx, name, data); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func (b *Bucket) put(ctx context.Context, name string, data []byte) error {
	if err := bucket.CheckName(name); err != nil {
		return err
	}
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	asked := false // an earlier attempt of this call may have put the object
	return b.try(ctx, func(ctx context.Context, expect func(int64)) error {
		expect(int64(len(data)))
		err := b.upload(ctx, name, data, crc, expect)
		if code(err) != http.StatusPreconditionFailed {
			asked = true
			return err
		}
		if !asked {
			return fs.ErrExist
		}
		attrs, err := b.object(name).Attrs(ctx)
		switch {
		case errors.Is(err, storage.ErrObjectNotExist):
			return fmt.Errorf("refused because the object exists, which then did not: %v", err)
		case err != nil:
			return err
		case attrs.Size != int64(len(data)) || attrs.CRC32C != crc:
			return fs.ErrExist
		}
		return nil
	})
}

// upload sends one request that creates the object, if absent. Waiting for the limit is no stalling: after
// each stretch there is time again for the rest.
func (b *Bucket) upload(ctx context.Context, name string, data []byte, crc uint32, expect func(int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := b.object(name).If(storage.Conditions{DoesNotExist: true}).NewWriter(ctx)
	w.ChunkSize = 0 // one request, and no copy of data
	w.ContentType = "application/octet-stream"
	w.CRC32C, w.SendCRC32C = crc, true
	left := int64(len(data))
	err := bucket.Pace(ctx, b.Limit, data, func(stretch []byte) error {
		_, err := w.Write(stretch)
		left -= int64(len(stretch))
		expect(left)
		return err
	})
	if err != nil {
		cancel() // or else Close would commit what has been written
		_ = w.Close()
		return err
	}
	return w.Close()
}

// Get implements bucket.Bucket.
func (b *Bucket) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	data, err := b.get(ctx, name, off, n)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return data, nil
}

func (b *Bucket) get(ctx context.Context, name string, off, n int64) (data []byte, err error) {
	if err := bucket.CheckName(name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("offset %d: %w", off, fs.ErrInvalid)
	}
	err = b.try(ctx, func(ctx context.Context, expect func(int64)) error {
		data, err = b.download(ctx, name, off, n, expect)
		return err
	})
	return data, err
}

func (b *Bucket) download(ctx context.Context, name string, off, n int64, expect func(int64)) ([]byte, error) {
	if n == 0 { // the SDK would ask for the whole object and not read it
		return nil, b.reaches(ctx, name, off)
	}
	r, err := b.object(name).NewRangeReader(ctx, off, n)
	if code(err) == http.StatusRequestedRangeNotSatisfiable {
		if n > 0 {
			return nil, errShort
		}
		return nil, b.reaches(ctx, name, off)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Attrs.Size < 0 {
		return nil, errors.New("answer without a length")
	}
	rest := r.Attrs.Size - off
	if n < 0 {
		n = rest
	}
	if n > rest {
		return nil, errShort
	}
	expect(n)
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	// Only at the end does the reader compare checksums.
	extra, err := r.Read(make([]byte, 1))
	if extra > 0 {
		return nil, fmt.Errorf("answer has more than the %d bytes asked for", n)
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// reaches returns nil if the object has at least size bytes.
func (b *Bucket) reaches(ctx context.Context, name string, size int64) error {
	attrs, err := b.object(name).Attrs(ctx)
	if err == nil && attrs.Size < size {
		err = errShort
	}
	return err
}

// List implements bucket.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		fail := func(err error) { yield(bucket.Object{}, fmt.Errorf("list %s: %w", prefix, err)) }
		if err := bucket.CheckList(prefix, after); err != nil {
			fail(err)
			return
		}
		token := ""
		for {
			page, next, err := b.page(ctx, prefix, after, token)
			if err != nil {
				fail(err)
				return
			}
			for _, attrs := range page {
				o := bucket.Object{Name: attrs.Name[len(b.prefix):], Size: attrs.Size, Created: attrs.Created}
				if o.Name == after || bucket.CheckName(o.Name) != nil {
					continue
				}
				if !yield(o, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// page returns one page of a listing, and the token of the next, "" for none.
func (b *Bucket) page(ctx context.Context, prefix, after, token string) (page []*storage.ObjectAttrs, next string, err error) {
	q := &storage.Query{Prefix: b.prefix + prefix, Projection: storage.ProjectionNoACL}
	if after != "" {
		q.StartOffset = b.prefix + after // which is inclusive
	}
	if err := q.SetAttrSelection([]string{"Name", "Size", "Created"}); err != nil {
		return nil, "", err
	}
	err = b.try(ctx, func(ctx context.Context, _ func(int64)) error {
		next, err = iterator.NewPager(b.handle.Objects(ctx, q), b.pageSize, token).NextPage(&page)
		return err
	})
	return page, next, err
}

// Delete implements bucket.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	err := bucket.CheckName(name)
	if err == nil {
		err = b.try(ctx, func(ctx context.Context, _ func(int64)) error { return b.object(name).Delete(ctx) })
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
