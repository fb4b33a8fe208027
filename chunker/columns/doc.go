// Package columns turns the rows of a Data.db, uncompressed, into frames in which like
// lies with like, and frames back into the very same bytes. It is pure: no I/O, no
// goroutines, no global state.
//
// It knows the grammar of Cassandra's storage format since 3.0 (versions ma to me, na,
// nb, oa, da, pa, ea): see grammar.go and row.go, which are walked in both directions.
// Rows are split into streams (keys, flags, timestamps, the values of each column),
// numbers are transformed so that their bytes repeat, and each stream is compressed
// for itself. On real tables that takes 0.7 of the bytes that zstd takes of the rows,
// at about zstd's CPU time.
//
// A frame holds an arbitrary piece of a Data.db, which begins and ends in the middle of
// rows. What lies before its first boundary between two items of the grammar and what
// lies behind its last is kept as it is; [State] carries where the grammar stands from
// one frame to the encoding of the next. Every frame is decoded alone: it holds the
// schema, too.
//
// # Frame
//
// A vint is Cassandra's: as many leading one bits in the first byte as bytes follow,
// then the number, big-endian. All other integers are single bytes.
//
//	frame      1 | vint n | vint m | directory, m bytes | bodies
//
// The directory has n bytes; if m is less than n, it is one zstd frame (RFC 8878).
// In it are, one after the other:
//
//	schema     0, or 1 for oa, da, pa, ea                        how deletions of partitions are written
//	           vint least timestamp - 1442880000000000           modulo 2^64
//	           vint least local deletion time - 1442880000       modulo 2^64
//	           vint least TTL
//	           3 × (vint number of columns | columns)            clustering, static, regular; in the order of rows
//	column     kind << 2 | 2 if complex | 1 if count differs from 1; then vint count, if it does
//	start      place, of the first item | vint previous          see place; the size of the item before it
//	head, tail 2 × (vint length | payload)                       the bytes before the first item and after the last
//	streams    each as below, in the order of newStreams
//
// The kinds of columns are, from 0: variable (vint length and bytes), bool, int, bigint,
// milliseconds since 1970, float, double, timeuuid, and count bytes of fixed length. The
// others have count elements.
//
//	payload    n bytes, n being known:
//	           up to 256   the bytes
//	           else        0, and the bytes are the next n of the bodies
//	                       1 | b: n times b
//	                       2 | vint m: they are one zstd frame, the next m of the bodies
//	octets     vint n | payload of n
//	numbers    vint n, and if n > 0:
//	           mode | planes of n values                         modes 0 to 4
//	           5 | scale | vint e | exceptions, if e > 0 | planes of n-e values
//	exceptions payload of (n+7)/8: bit i%8 of byte i/8 is set if value i is one | planes of e values
//	planes     k | k × payload of n: bytes 0, 1, … of all values; the others are 0
//	texts      vint n, and if n > 0:
//	           0 | numbers, the lengths | vint sum | payload of the sum
//	           0 | payload of n × length                         if the stream has a fixed length
//	           1 | vint e | e × vint length | payload of the sum: a dictionary | payload of n: indexes
//
// What the modes of numbers mean, stands in numeric.go: how each undoes itself in undo
// and fromDecimal; mode 3, the difference to a reference, in [numbers.pop], for the
// references are what the walk knows at that point. The values of modes 1 to 3 and 5
// are zigzag: 0, -1, 1, -2, …
//
// To decode, walk over the grammar from start on, taking each field from its stream, until
// the bytes between head and tail are complete. The size of a row or marker is not
// stored, for the walk finds it.
//
// The walk passes every key that is not cut, and so [Decoder.AppendIndex] makes the Index.db of these
// partitions from what [Encoder.AppendIndexRest] kept of it; that is no part of the frame.
//
// These numbers are read for ever: none changes its meaning. Another layout has another
// first byte.
package columns

import "errors"

var (
	// ErrUnknown means that a version or type is none of those this package knows.
	ErrUnknown = errors.New("unknown")

	// ErrGrammar means that bytes don't follow the grammar of their schema.
	ErrGrammar = errors.New("not the rows of this schema")

	// ErrCorrupt means that stored bytes are not what Encode once wrote.
	ErrCorrupt = errors.New("corrupt")
)
