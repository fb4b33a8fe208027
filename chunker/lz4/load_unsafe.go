//go:build !purego

package lz4

import (
	"encoding/binary"
	"unsafe"
)

// These are load.go's functions without its bounds checks: each caller has made
// sure of the bounds, and a test with the tag purego proves it.

func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32((*[4]byte)(at(b, i))[:]) }

func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64((*[8]byte)(at(b, i))[:]) }

func copy8(dst []byte, o int, src []byte, i int) { *(*[8]byte)(at(dst, o)) = *(*[8]byte)(at(src, i)) }

func at(b []byte, i int) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i) }
