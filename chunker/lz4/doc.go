// Package lz4 is the LZ4 block codec, with an encoder that gives byte for byte
// what liblz4 gave to Cassandra.
package lz4

import (
	"errors"
	"fmt"
)

// ErrCorrupt means that a block is no LZ4 block of so many raw bytes.
var ErrCorrupt = errors.New("corrupt LZ4 block")

// Class names the LZ4 compressors that give the same bytes. The values are part
// of the format: none changes, none is used again. 0 is no class.
type Class uint8

// The classes.
const (
	A Class = 1 // liblz4 r117: lz4-java 1.2.0, Cassandra 2.1
	B Class = 2 // liblz4 r119 to r127: lz4-java 1.3.0, Cassandra 2.2 to 3.11; and lz4-java without its native library
	C Class = 3 // liblz4 1.8.2 to 1.10.0: lz4-java 1.5.0 on, Cassandra 4.0 to 6.0
)

// Valid tells whether c is one of the constants.
func (c Class) Valid() bool { return A <= c && c <= C }

// String names c for people.
func (c Class) String() string {
	if c.Valid() {
		return string(rune('A' + c - A))
	}
	return fmt.Sprintf("class %d", uint8(c))
}
