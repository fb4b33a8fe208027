package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"github.com/sstash/sstash/internal/bucket"
)

// pace says how often and for how long an operation is tried.
type pace struct {
	attempts int           // at most
	pause    time.Duration // after the first attempt, doubled after each; the true one is random, between none and this
	patience time.Duration // for an answer, on top of the time that content takes
	rate     int64         // bytes a second: a connection slower than that is given up
}

var defaultPace = pace{
	attempts: 8,
	pause:    250 * time.Millisecond, // half a minute at most for all seven
	patience: 30 * time.Second,
	rate:     32 << 10,
}

// Two facts about an attempt that the SDK has no error for.
var (
	errStalled = errors.New("no answer in time")
	errShort   = fmt.Errorf("object ends early: %w", io.ErrUnexpectedEOF)
)

// try runs op until it succeeds, fails for good, or has had all its attempts,
// and returns what that means to a caller of bucket.Bucket. op calls expect when
// it knows how many bytes are to be sent or received, to be given time for them.
func (b *Bucket) try(ctx context.Context, op func(ctx context.Context, expect func(n int64)) error) error {
	pause := b.pace.pause
	for i := 1; ; i++ {
		err := b.attempt(ctx, op)
		if err == nil {
			b.found.Store(true)
			return nil
		}
		if i == b.pace.attempts || ctx.Err() != nil || !transient(err) {
			return b.explain(ctx, err)
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return b.explain(ctx, err)
		}
		pause *= 2
	}
}

// attempt runs op once, with a deadline of its own.
func (b *Bucket) attempt(parent context.Context, op func(context.Context, func(int64)) error) error {
	if err := parent.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	deadline := time.AfterFunc(b.pace.patience, func() { cancel(errStalled) })
	defer deadline.Stop()
	err := op(ctx, func(n int64) {
		deadline.Reset(b.pace.patience + time.Duration(n/b.pace.rate)*time.Second)
	})
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("%w (%v)", errStalled, err)
	}
	return err
}

// transient tells failures that another attempt may not meet again.
func transient(err error) bool {
	return errors.Is(err, errStalled) || storage.ShouldRetry(err) && !errors.Is(err, errShort)
}

// explain turns the last error of an operation into one that wraps the sentinel
// that it stands for.
func (b *Bucket) explain(ctx context.Context, err error) error {
	var token *auth.Error
	var network net.Error
	status := code(err)
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	case ctx.Err() != nil, errors.Is(err, errShort), errors.Is(err, fs.ErrExist):
		return err
	case errors.Is(err, storage.ErrObjectNotExist):
		return b.missing(ctx)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: there is no bucket gs://%s: create it or correct the bucket URL (%v)", bucket.ErrUnreachable, b.name, err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: gs://%s: %w", bucket.ErrDenied, b.name, err)
	case errors.As(err, &token) && !transient(err):
		return fmt.Errorf("%w: no credentials for gs://%s: %w", bucket.ErrDenied, b.name, err)
	case transient(err), errors.As(err, &network):
		return fmt.Errorf("%w: gs://%s: %w", bucket.ErrUnreachable, b.name, err)
	}
	return err
}

// missing explains that an object is not there, which the service answers too
// when there is no bucket: the first time that is looked up.
func (b *Bucket) missing(ctx context.Context) error {
	if !b.found.Load() {
		if _, _, err := b.page(ctx, "", "", ""); err != nil {
			return err
		}
	}
	return fs.ErrNotExist
}

// code returns the HTTP status in err, or 0.
func code(err error) int {
	var answer *googleapi.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return 0
}
