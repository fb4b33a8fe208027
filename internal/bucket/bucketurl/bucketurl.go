// Package bucketurl opens the bucket that a URL names. It is the one place that
// knows all drivers.
package bucketurl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/dir"
	"github.com/sstash/sstash/internal/bucket/gcs"
)

// Open returns the bucket that rawURL names:
//
//	gs://bucket/prefix   Google Cloud Storage; the prefix may be missing
//	file:///directory    a directory, which must exist
//
// The error wraps fs.ErrInvalid when rawURL is no such URL, errors.ErrUnsupported
// when it names a store that this build has no driver for, or else
// bucket.ErrDenied or bucket.ErrUnreachable. Stores in the network are not asked
// until they are used.
//
// There is nothing to close: a bucket may be used as long as the process lives.
func Open(ctx context.Context, rawURL string) (bucket.Bucket, error) {
	return open(ctx, rawURL, dir.Open, nil)
}

// Create is Open for who is going to write: it makes the directory, where only
// its last element is missing. Stores in the network have to be there. What is put
// keeps to limit, in bytes per second, all of it together; nil is no limit.
func Create(ctx context.Context, rawURL string, limit *rate.Limiter) (bucket.Bucket, error) {
	return open(ctx, rawURL, dir.Create, limit)
}

func open(ctx context.Context, rawURL string, openDir func(string) (*dir.Bucket, error), limit *rate.Limiter) (bucket.Bucket, error) {
	const want = "want gs://bucket/prefix or file:///directory"
	u, err := url.Parse(rawURL)
	if err != nil {
		// Unwrap leaves out the URL, which the error repeats.
		return nil, fmt.Errorf("bucket URL %q: %w: %w; %s", rawURL, fs.ErrInvalid, errors.Unwrap(err), want)
	}
	plain := u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
	switch {
	case u.Scheme == "gs" && u.Host != "" && plain:
		b, err := gcs.Open(ctx, u.Host, strings.Trim(u.Path, "/"), nil)
		if err != nil {
			return nil, err
		}
		b.Limit = limit
		return b, nil
	case u.Scheme == "file" && u.Host == "" && path.IsAbs(u.Path) && path.Clean(u.Path) != "/" && plain:
		b, err := openDir(path.Clean(u.Path))
		if err != nil {
			return nil, err
		}
		b.Limit = limit
		return b, nil
	case u.Scheme == "s3" || u.Scheme == "azblob":
		return nil, fmt.Errorf("bucket URL %q: %w: %s:// is not supported yet by this build; %s", u.Redacted(), errors.ErrUnsupported, u.Scheme, want)
	}
	return nil, fmt.Errorf("bucket URL %q: %w; %s", u.Redacted(), fs.ErrInvalid, want)
}
