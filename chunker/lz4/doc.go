// Package lz4 reads LZ4 blocks and writes them byte for byte as liblz4 wrote them
// for Cassandra, so that a chunk of Data.db can be kept as its raw bytes and come
// back as it was. It is pure: no I/O, no goroutines, no global state.
//
// A block is a list of sequences: a token, literals, and a match with bytes before.
// (LZ4 Block Format Description.) The token's upper half is the number of literals,
// its lower half the length of the match less 4; 15 goes on in the bytes behind, up
// to the first that is not 255. Distances are 16 bits, little-endian. The last
// sequence ends with its literals; no raw bytes are one token of 0.
//
// Any choice of matches makes a valid block. These are liblz4's, which found them by
// a table of one position for each hash, emptied for every block:
//
//	             A                    B                    C
//	liblz4       r117                 r119 to r127         1.8.2 to 1.10.0
//	lz4-java     1.2.0                1.3.0, and all in    1.8.0, 1.10.1
//	                                  Java up to 1.8.0
//	Cassandra    2.1                  2.2 to 3.11          4.0 to 6.0
//	search ends  12 before the end    12                   11
//	step grows   from the 61st probe  from the 65th        from the 65th
//	raw bytes    up to 65,546: 13 bits of a hash of 4 bytes
//	             from 65,547 on: 12 bits
//	             of 4 bytes           of 4 bytes           of 5 bytes
//
// A test compares with those libraries, as Cassandra runs them on a 64-bit machine.
// Those of 32 bits, liblz4 r129 to 1.8.1 and 1.11.0 on make other bytes, and so does
// LZ4HC (lz4_compressor_type: high): a chunk that does not come back is the caller's
// to find.
//
// Speed in MB/s of raw bytes, on one core of an EPYC (Zen 5) that others used too,
// against the native library of lz4-java 1.8.0, best of 40 runs of go test -bench:
//
//	                  encode                  decode
//	              safe  unsafe   liblz4   safe  unsafe  liblz4
//	text, 16K      328     462      526   1267    2500    3386
//	text, 64K      330     451      510   1167    2295    3229
//	rows, 16K      384     602      712   1710    3405    4334
//	rows, 64K      380     558      650   1631    3380    4408
//	random, 64K   8302   15147    14427  41502   41823   41902
//
// The build tag purego chooses safe.
package lz4

import (
	"errors"
	"fmt"
)

// ErrCorrupt means that bytes are no LZ4 block of so many raw bytes.
var ErrCorrupt = errors.New("corrupt LZ4 block")

// Class names the compressors that make the same blocks. The values are part of the
// format: none changes its meaning, none is used again, and 0 is none.
type Class uint8

// The classes; the package comment tells them apart.
const (
	A Class = 1
	B Class = 2
	C Class = 3
)

// Valid tells whether c is one of the constants.
func (c Class) Valid() bool { return A <= c && c <= C }

// String names c for people.
func (c Class) String() string {
	if c.Valid() {
		return "ABC"[c-A : c-A+1]
	}
	return fmt.Sprintf("class %d", uint8(c))
}
