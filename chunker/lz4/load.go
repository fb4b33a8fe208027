//go:build purego

package lz4

import "encoding/binary"

// load32 returns the 4 bytes at b[i].
func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

// load64 returns the 8 bytes at b[i].
func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// copy8 copies 8 bytes from src[i] to dst[o]; those may overlap.
func copy8(dst []byte, o int, src []byte, i int) { *(*[8]byte)(dst[o:]) = *(*[8]byte)(src[i:]) }
