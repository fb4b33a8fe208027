package sstable

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Murmur3Token is the token that Cassandra's Murmur3Partitioner gives a partition
// key. It is the first half of MurmurHash3 x64 128 with seed 0, except that
// Cassandra has always taken the bytes of the tail as signed; the empty key and the
// smallest value are special.
func Murmur3Token(key []byte) int64 {
	if len(key) == 0 {
		return math.MinInt64
	}
	h := int64(murmur3(key))
	if h == math.MinInt64 {
		return math.MaxInt64
	}
	return h
}

const (
	murmurC1 = 0x87c37b91114253d5
	murmurC2 = 0x4cf5ad432745937f
)

func murmur3(key []byte) uint64 {
	var h1, h2 uint64
	tail := key
	for ; len(tail) >= 16; tail = tail[16:] {
		h1 ^= mixK1(binary.LittleEndian.Uint64(tail))
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= mixK2(binary.LittleEndian.Uint64(tail[8:]))
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	}
	var k [2]uint64
	for i, c := range tail {
		k[i/8] ^= uint64(int8(c)) << (i % 8 * 8)
	}
	h1 ^= mixK1(k[0])
	h2 ^= mixK2(k[1])

	h1 ^= uint64(len(key))
	h2 ^= uint64(len(key))
	h1 += h2
	h2 += h1
	return finalMix(h1) + finalMix(h2)
}

func mixK1(k uint64) uint64 { return bits.RotateLeft64(k*murmurC1, 31) * murmurC2 }
func mixK2(k uint64) uint64 { return bits.RotateLeft64(k*murmurC2, 33) * murmurC1 }

func finalMix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
