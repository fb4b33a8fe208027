package sstable

import (
	"encoding/hex"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
)

// Stats are the facts of a Statistics.db that a backup records. What the version
// doesn't have is zero.
type Stats struct {
	Partitioner  string // class name: "org.apache.cassandra.dht.Murmur3Partitioner"
	MinTimestamp int64  // of writes, by the client's clock: microseconds since 1970 unless clients say otherwise; MinInt64 if nothing has one
	MaxTimestamp int64
	MinDeletion  int64 // when what is deleted or expires was or will be: seconds since 1970; NoDeletion if nothing is. MinDeletion: 3.0+
	MaxDeletion  int64
	Level        int32  // of LeveledCompactionStrategy
	RepairedAt   int64  // milliseconds since 1970, 0 if not repaired
	Rows         int64  // 3.0+; in 2.1 and 2.2 there is no such count
	HostID       string // who flushed or compacted it, 32 hex digits; me, nb and later; "" if not recorded
	// LogFrom and LogUntil bound what it covers of the commit log of HostID: a flush ends where the next
	// of the table begins. mb and later; before, LogFrom is zero.
	LogFrom, LogUntil Position
	FirstKey          []byte // oa, da and later; nil before: see ParseSummaryKeys. The empty key, of an index, is not nil
	LastKey           []byte
}

// A Position is a place in a node's commit log (Cassandra CommitLogPosition, before 3.4
// ReplayPosition).
type Position struct {
	Segment int64 `json:"segment"`
	Offset  int32 `json:"offset"`
}

// Less tells whether p comes before o.
func (p Position) Less(o Position) bool {
	return p.Segment < o.Segment || p.Segment == o.Segment && p.Offset < o.Offset
}

// NoDeletion stands for "never" in MinDeletion and MaxDeletion.
const NoDeletion = math.MaxInt64

// Parts of a Statistics.db (Cassandra MetadataType).
const (
	partValidation = 0
	partStats      = 2
	partHeader     = 3
)

// ParseStats reads a Statistics.db as Cassandra 2.1 and later write it
// (MetadataSerializer, StatsMetadata):
//
//	2.1 to 3.11  u32 n | n × (u32 type, u32 position) | parts
//	4.0 and on   u32 n, crc | n × (u32 type, u32 position), crc | parts, each with its crc
//
// It answers false, with nothing but perhaps the Partitioner, if the file is
// damaged or if the statistics don't end exactly where they should: then the version
// has something that this package doesn't know, and all of it may be misread. Keys
// share memory with b.
func ParseStats(n Name, b []byte) (Stats, bool) {
	parts, ok := statisticsParts(n, b)
	if !ok {
		return Stats{}, false
	}
	partitioner := (&decoder{b: parts[partValidation]}).utf()
	s := Stats{Partitioner: partitioner}
	d := decoder{b: parts[partStats]}
	tombstones := s.readHead(n, &d)
	s.readTail(n, &d)
	if n.since("oa") && len(d.b) == 4*tombstones {
		// Cassandra reckons 16 bytes for each entry of TombstoneHistogram, but
		// writes 12; that many zeros are left at the end.
		d.b = nil
	}
	if d.bad || len(d.b) > 0 {
		return Stats{Partitioner: partitioner}, false
	}
	return s, true
}

// SerializationHeader is the part of a Statistics.db that says how the rows of Data.db
// are written (Cassandra SerializationHeader.Serializer, 3.0+). It answers false if the
// file is damaged or the version has no such part. The header shares memory with b.
func SerializationHeader(n Name, b []byte) ([]byte, bool) {
	parts, ok := statisticsParts(n, b)
	header := parts[partHeader]
	return header, ok && n.since("ma") && len(header) > 0
}

// statisticsParts gives the parts by type, without their checksums.
func statisticsParts(n Name, b []byte) (map[uint32][]byte, bool) {
	if !n.since("ka") {
		return nil, false
	}
	d := decoder{b: b}
	var sum uint32 // over the count and then the table as well
	sealed := func(p []byte) decoder {
		sum = crc32.Update(sum, crc32.IEEETable, p)
		if n.since("na") && d.u32() != sum {
			d.fail()
		}
		return decoder{b: p}
	}
	count := sealed(d.take(4))
	table := sealed(d.take(8 * uint64(count.u32())))
	if d.bad {
		return nil, false
	}
	parts := map[uint32][]byte{}
	for len(table.b) > 0 {
		kind, at := table.u32(), uint64(table.u32())
		end := uint64(len(b))
		if next := table; len(next.b) > 0 {
			next.u32()
			end = uint64(next.u32())
		}
		if at > end || end > uint64(len(b)) {
			return nil, false
		}
		part, ok := n.unseal(b[at:end])
		if !ok {
			return nil, false
		}
		parts[kind] = part
	}
	return parts, true
}

// unseal takes off and checks the checksum at the end of a part (4.0+).
func (n Name) unseal(part []byte) ([]byte, bool) {
	if !n.since("na") {
		return part, true
	}
	d := decoder{b: part}
	body := d.take(uint64(max(0, len(part)-checksumLength)))
	return body, d.u32() == crc32.ChecksumIEEE(body) && !d.bad
}

// readHead says how many entries the histogram of tombstones has.
func (s *Stats) readHead(n Name, d *decoder) (tombstones int) {
	d.skip(16) // partition sizes
	d.skip(16) // cells per partition
	s.LogUntil = d.position()
	s.MinTimestamp, s.MaxTimestamp = d.i64(), d.i64()
	if n.since("ma") {
		s.MinDeletion = n.deletion(d.u32())
	}
	s.MaxDeletion = n.deletion(d.u32())
	if n.since("ma") {
		d.take(8) // least and greatest TTL
	}
	d.take(8) // compression ratio
	d.take(4)
	if n.since("oa") {
		tombstones = d.skip(12)
	} else {
		tombstones = d.skip(16)
	}
	s.Level = d.i32()
	s.RepairedAt = d.i64()
	return tombstones
}

// deletion reads a local deletion time: signed before oa, unsigned since, with the
// greatest value for none (CASSANDRA-14227).
func (n Name) deletion(v uint32) int64 {
	switch {
	case n.since("oa") && v == math.MaxUint32, !n.since("oa") && v == math.MaxInt32:
		return NoDeletion
	case n.since("oa"):
		return int64(v)
	}
	return int64(int32(v))
}

func (s *Stats) readTail(n Name, d *decoder) {
	if n.since("oa") {
		skipCoveredClustering(d)
	} else {
		for range 2 { // least and greatest clustering values
			for range d.count(2) {
				d.take(uint64(d.u16()))
			}
		}
	}
	d.u8() // has legacy counter shards
	if n.since("ma") {
		d.i64() // columns set
		s.Rows = d.i64()
	}
	if n.since("mb") {
		s.LogFrom = d.position()
	}
	if n.since("mc") {
		d.skip(24) // the intervals of the commit log that it covers
	}
	if n.since("na") {
		if d.u8() != 0 {
			d.take(16) // pending repair
		}
		d.u8() // transient
	}
	if n.hostIDs() && d.u8() != 0 {
		s.HostID = hex.EncodeToString(d.take(16))
	}
	if n.since("oa") {
		d.u8() // has deletions of partitions
		s.FirstKey = d.take(d.vint())
		s.LastKey = d.take(d.vint())
		d.take(8) // share of the token space
	}
}

// hostIDs tells whether the version records who wrote the SSTable; it came to me
// and nb at the same time (CASSANDRA-16619).
func (n Name) hostIDs() bool { return n.since("me") && n.Version != "na" }

// skipCoveredClustering passes over a list of types and two bounds of values of
// these types (Cassandra Slice.Serializer, ClusteringPrefix.Serializer).
func skipCoveredClustering(d *decoder) {
	var types []string
	for n := d.vint(); n > 0 && !d.bad; n-- {
		types = append(types, string(d.take(d.vint())))
	}
	for range 2 {
		d.u8() // kind of the bound
		size := int(d.u16())
		if size > len(types) {
			d.fail()
			return
		}
		var absent uint64 // two bits per value, for null and for empty; renewed every 32 values
		for i, t := range types[:size] {
			if i%32 == 0 {
				absent = d.vint()
			}
			if absent>>(i%32*2)&3 == 0 {
				skipValue(d, t)
			}
		}
	}
}

// skipValue passes over a value, whose length is written only if its type has no
// fixed one.
func skipValue(d *decoder, marshal string) {
	n, fixed := fixedLength(strings.ReplaceAll(marshal, "org.apache.cassandra.db.marshal.", ""))
	if !fixed {
		n = d.vint()
	}
	d.take(n)
}

// fixedLength is the length of the values of types that have a fixed one
// (Cassandra AbstractType.valueLengthIfFixed: not byte, short, date and time).
func fixedLength(t string) (uint64, bool) {
	if inner, ok := strings.CutPrefix(t, "ReversedType("); ok {
		return fixedLength(strings.TrimSuffix(inner, ")"))
	}
	if inner, ok := strings.CutPrefix(t, "VectorType("); ok {
		comma := max(0, strings.LastIndexByte(inner, ','))
		elements, _ := strconv.ParseUint(strings.Trim(inner[comma:], ", )"), 10, 16)
		n, fixed := fixedLength(strings.TrimSpace(inner[:comma]))
		return n * elements, fixed
	}
	switch t {
	case "EmptyType":
		return 0, true
	case "BooleanType":
		return 1, true
	case "FloatType", "Int32Type":
		return 4, true
	case "DateType", "DoubleType", "LongType", "TimestampType":
		return 8, true
	case "LexicalUUIDType", "TimeUUIDType", "UUIDType":
		return 16, true
	}
	return 0, false
}
