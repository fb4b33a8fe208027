package sstable

import (
	"hash"
	"hash/adler32"
	"hash/crc32"
	"strconv"
	"strings"
)

// NewDigest returns the hash of all bytes of Data.db that component holds in decimal; nil
// if it is another component. Of a compressed Data.db it may be another hash: 2.1.0 to
// 2.1.4 left out checksums (CASSANDRA-8778), and scrub leaves one that counts what it has
// dropped, for ChecksumWriter can't go back. (Cassandra DataIntegrityMetadata.ChecksumWriter.)
func NewDigest(component string) hash.Hash32 {
	switch component {
	case "Digest.crc32": // 3.0+
		return crc32.NewIEEE()
	case "Digest.adler32", "Digest.sha1": // 2.2; 2.1, which means Adler-32 too
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
