// Package bucket defines the store that backups live in: a flat namespace of
// write-once objects, and what sstash demands of it.
//
// # What is demanded of any store
//
// A store that does not keep all of these cannot hold backups. The suite in
// buckettest checks what can be checked from outside.
//
//   - Create-if-absent is atomic. Of any number of Puts of one name, wherever
//     they run, at most one succeeds. The numbering of manifests, and with it
//     the guarantee that a node has one writer, rests on this alone (I4).
//   - An object appears whole or not at all, and never changes afterwards (I1).
//     A Put that failed, was cancelled or died with its process leaves the
//     complete object or nothing.
//   - When Put returns nil the object is durable: it survives the loss of power
//     at both ends (I2).
//   - What was put can be read and is listed at once, by everybody; what was
//     deleted is gone at once. There is no eventual consistency to wait for.
//   - A listing is complete and in byte order of names, or it ends in an error.
//     A short listing that looks complete would make a collector delete live
//     data (I3).
//   - Created comes from the store's clock, the same for all objects, so that
//     ages can be compared without trusting the clock of any node (I3).
//   - Names are case-sensitive and kept byte for byte.
//
// Not demanded: overwriting, renaming, appending, metadata, versions, locks,
// or that the store notices damaged bytes. Every byte read is checked against
// its hash by whoever reads it (I6).
//
// # What the store may demand of its callers
//
// Names pass CheckName. No name is a directory of another: a store that holds
// "a/b" is never asked to hold "a" or "a/b/c", because in a directory one is a
// file where the other needs a directory.
package bucket

import (
	"context"
	"errors"
	"iter"
	"time"
)

// ErrDenied is wrapped by errors that mean that the store answered and refused
// the caller: bad or missing credentials, a missing permission, a retention
// rule, a read-only mount. Trying again does not help.
var ErrDenied = errors.New("access to the bucket is denied")

// ErrUnreachable is wrapped by errors that mean that the store could not be
// used at all: no network, no answer after every retry, no such bucket or
// directory. Trying again later may help.
var ErrUnreachable = errors.New("bucket is unreachable")

// Bucket is a flat namespace of write-once objects. All methods may be called
// concurrently, from any number of processes.
//
// Besides the errors named at each method, all of them return errors that wrap
// ErrDenied, ErrUnreachable, fs.ErrInvalid (a name that CheckName refuses) or,
// when ctx ended, ctx.Err(). Drivers retry what is worth retrying before they
// return ErrUnreachable.
type Bucket interface {
	// Put creates the object name holding data, durably and whole. It does not
	// keep data after it returned.
	//
	// The error is fs.ErrExist when the name is taken, even by the same bytes.
	// The one exception: when an earlier attempt inside this very call may have
	// reached the store and its answer was lost, an object of equal size and
	// CRC32C is taken to be the one that this call has put, and that is success.
	// Where it matters which of two writers of equal bytes has won, the bytes
	// must differ: manifests carry a nonce (I4).
	//
	// After any other error the object may or may not exist, never in part. Put
	// again: fs.ErrExist then means that something is there to be compared.
	Put(ctx context.Context, name string, data []byte) error

	// Get returns n bytes from offset off, or everything from off if n < 0, in
	// a slice that the caller owns. The error is fs.ErrNotExist when there is
	// no such object, and io.ErrUnexpectedEOF when it ends before off+n, or
	// before off. It never returns fewer bytes than asked with a nil error.
	Get(ctx context.Context, name string, off, n int64) ([]byte, error)

	// List yields the objects whose names begin with prefix and are greater
	// than after, in byte order of names. Both may be empty; both must be the
	// beginning of a valid name. Objects put or deleted while it runs may or
	// may not be seen, all others are. An error is yielded last, with a zero
	// Object; what came before it is true but not complete. Foreign objects,
	// whose names CheckName refuses, are left out.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]

	// Delete removes the object name, durably. A name that is already gone, or
	// never was, is not an error.
	Delete(ctx context.Context, name string) error
}

// Object is what a listing knows about an object.
type Object struct {
	Name    string
	Size    int64     // bytes
	Created time.Time // by the store's clock
}
