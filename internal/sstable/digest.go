package sstable

import (
	"hash"
	"hash/adler32"
	"hash/crc32"
	"strconv"
	"strings"
)

// NewDigest returns the hash that component tells of all bytes of Data.db, in decimal;
// nil if it is another component. 2.1 writes an Adler-32 too, whatever it calls it.
// Cassandra DataIntegrityMetadata.ChecksumWriter, 2.1+.
func NewDigest(component string) hash.Hash32 {
	switch component {
	case "Digest.crc32": // 3.0+
		return crc32.NewIEEE()
	case "Digest.adler32", "Digest.sha1": // 2.2, 2.1
		return adler32.New()
	}
	return nil
}

// ParseDigest reads such a component. It answers false to what is no number of 32 bits:
// what 2.0 wrote, for one.
func ParseDigest(b []byte) (sum uint32, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	return uint32(n), err == nil
}
