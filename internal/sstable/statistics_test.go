package sstable

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"slices"
	"testing"
)

type fields []byte

func (f fields) u8(v byte) fields    { return append(f, v) }
func (f fields) u16(v uint16) fields { return binary.BigEndian.AppendUint16(f, v) }
func (f fields) u32(v uint32) fields { return binary.BigEndian.AppendUint32(f, v) }
func (f fields) i64(v int64) fields  { return binary.BigEndian.AppendUint64(f, uint64(v)) }
func (f fields) pad(n int) fields    { return append(f, make([]byte, n)...) }
func (f fields) short(s string) fields {
	return append(f.u8(byte(len(s))), s...) // a vint below 128 is itself
}

// statsPart writes the STATS part with gates taken from Cassandra's StatsMetadata
// and BigVersion, for versions that no fixture has as well.
func statsPart(n Name, s Stats) []byte {
	legacy := !n.bti() && n.Version < "ma"
	modern := n.bti() || n.Version >= "oa"
	f := fields{}.u32(1).pad(16).u32(2).pad(32).pad(12).i64(s.MinTimestamp).i64(s.MaxTimestamp)
	if !legacy {
		f = f.u32(uint32(s.MinDeletion))
	}
	f = f.u32(uint32(s.MaxDeletion))
	if !legacy {
		f = f.pad(8)
	}
	f = f.pad(8)
	if modern {
		f = f.u32(2).u32(2).pad(24)
	} else {
		f = f.u32(100).u32(2).pad(32)
	}
	f = f.u32(uint32(s.Level)).i64(s.RepairedAt)
	if modern {
		const marshal = "org.apache.cassandra.db.marshal."
		f = f.u8(3).short(marshal + "UTF8Type").short(marshal + "ReversedType(" + marshal + "Int32Type)").short(marshal + "BooleanType")
		f = f.u8(1).u16(3).u8(0b10_00_00).short("abc").u32(7) // the third value is null
		f = f.u8(6).u16(3).u8(0b00_00_01).u32(8).u8(1)        // the first is empty
	} else {
		f = f.u32(1).u16(3).pad(3).u32(2).u16(0).u16(1).pad(1)
	}
	f = f.u8(0)
	if !legacy {
		f = f.pad(8).i64(s.Rows)
	}
	if n.bti() || n.Version >= "mb" {
		f = f.pad(12)
	}
	if n.bti() || n.Version >= "mc" {
		f = f.u32(1).pad(24)
	}
	if n.bti() || n.Version >= "na" {
		f = f.u8(1).pad(16).u8(1)
	}
	if n.bti() || n.Version >= "nb" || n.Version == "me" {
		id, _ := hex.DecodeString(s.HostID)
		f = append(f.u8(1), id...)
	}
	if modern {
		f = f.u8(1).short(string(s.FirstKey)).short(string(s.LastKey)).pad(8).pad(4 * 2) // for 2 tombstones
	}
	return f
}

// statisticsFile puts a COMPACTION part between the two that are read.
func statisticsFile(n Name, partitioner string, stats []byte) []byte {
	parts := [][]byte{append(appendUTF(nil, partitioner), make([]byte, 8)...), {1, 2, 3}, stats}
	sealed := n.bti() || n.Version >= "na"
	sum := func(f fields, covered []byte) fields {
		if sealed {
			f = f.u32(crc32.ChecksumIEEE(covered))
		}
		return f
	}
	f := sum(fields{}.u32(3), fields{}.u32(3))
	at := uint32(4 + 3*8)
	if sealed {
		at += 8
	}
	covered := fields{}.u32(3)
	for kind, p := range parts {
		f, covered = f.u32(uint32(kind)).u32(at), covered.u32(uint32(kind)).u32(at)
		at += uint32(len(sum(p[:len(p):len(p)], nil)))
	}
	f = sum(f, covered)
	for _, p := range parts {
		f = sum(append(f, p...), p)
	}
	return f
}

func versions() []Name {
	var names []Name
	for _, v := range []string{"ka", "la", "lb", "ma", "mb", "mc", "md", "me", "na", "nb", "oa", "pa"} {
		names = append(names, Name{Version: v, Format: "big"})
	}
	return append(names, Name{Version: "da", Format: "bti"}, Name{Version: "ea", Format: "bti"})
}

func TestParseStats(t *testing.T) {
	const partitioner = "org.apache.cassandra.dht.Murmur3Partitioner"
	for _, n := range versions() {
		stored := Stats{MinTimestamp: math.MinInt64, MaxTimestamp: 1795253110042724, MinDeletion: 1795253110, MaxDeletion: math.MaxInt32,
			Level: 3, RepairedAt: 1795253110042, Rows: 77, HostID: "0a7fdd93c36b148808035142b4b2d8f1", FirstKey: []byte{}, LastKey: []byte("key")}
		want := stored
		want.Partitioner, want.MaxDeletion = partitioner, NoDeletion
		if n.since("oa") { // there 2^31-1 is a time as others, and 2^32-1 is none
			stored.MinDeletion, stored.MaxDeletion = math.MaxInt32, math.MaxUint32
			want.MinDeletion = math.MaxInt32
		} else {
			want.FirstKey, want.LastKey = nil, nil
		}
		if !n.since("ma") {
			want.MinDeletion, want.Rows = 0, 0
		}
		if !n.hostIDs() {
			want.HostID = ""
		}
		b := statisticsFile(n, partitioner, statsPart(n, stored))
		got, ok := ParseStats(n, b)
		if !ok || !equalStats(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", n.Version, got, ok, want)
		}
		more := statisticsFile(n, partitioner, append(statsPart(n, stored), 1))
		if got, ok := ParseStats(n, more); ok || !equalStats(got, Stats{Partitioner: partitioner}) {
			t.Errorf("%s with more at the end: %+v, %v", n.Version, got, ok)
		}
	}
	if _, ok := ParseStats(Name{Version: "jb", Format: "big"}, statisticsFile(Name{Version: "ka"}, "x", nil)); ok {
		t.Error("jb, of another structure, was parsed")
	}
}

func TestParseStatsDamaged(t *testing.T) {
	for _, n := range versions() {
		b := statisticsFile(n, "p", statsPart(n, Stats{}))
		for cut := range len(b) / 2 {
			if s, ok := ParseStats(n, b[:cut]); ok {
				t.Errorf("%s: %d of %d bytes give %+v", n.Version, cut, len(b), s)
			}
		}
		if !n.since("na") {
			continue
		}
		for i := range b {
			flipped := bytes.Clone(b)
			flipped[i] ^= 4
			if s, ok := ParseStats(n, flipped); ok {
				t.Errorf("%s: with byte %d of %d changed: %+v", n.Version, i, len(b), s)
			}
		}
	}
}

// The types of clustering columns decide how far the bounds reach.
func TestFixedLength(t *testing.T) {
	for name, want := range map[string]int{
		"Int32Type": 4, "ReversedType(TimeUUIDType)": 16, "VectorType(FloatType , 3)": 12, "VectorType(VectorType(LongType , 2) , 2)": 32,
		"EmptyType": 0, "UTF8Type": -1, "ReversedType(UTF8Type)": -1, "VectorType(UTF8Type , 3)": -1, "ShortType": -1, "VectorType(": -1,
	} {
		n, fixed := fixedLength(name)
		if !fixed && want != -1 || fixed && int(n) != want {
			t.Errorf("%s: %d, %v, want %d", name, n, fixed, want)
		}
	}
}

func equalStats(a, b Stats) bool {
	same := bytes.Equal(a.FirstKey, b.FirstKey) && bytes.Equal(a.LastKey, b.LastKey) &&
		(a.FirstKey == nil) == (b.FirstKey == nil) && (a.LastKey == nil) == (b.LastKey == nil)
	return same && a.Partitioner == b.Partitioner && a.MinTimestamp == b.MinTimestamp && a.MaxTimestamp == b.MaxTimestamp &&
		a.MinDeletion == b.MinDeletion && a.MaxDeletion == b.MaxDeletion && a.Level == b.Level && a.RepairedAt == b.RepairedAt &&
		a.Rows == b.Rows && a.HostID == b.HostID
}

// The tokens that SELECT token(k) shows for int keys 0 to 3.
func TestMurmur3Token(t *testing.T) {
	for key, want := range map[string]int64{
		"":                 math.MinInt64,
		"\x00\x00\x00\x00": -3485513579396041028,
		"\x00\x00\x00\x01": -4069959284402364209,
		"\x00\x00\x00\x02": -3248873570005575792,
		"\x00\x00\x00\x03": 9010454139840013625,
	} {
		if got := Murmur3Token([]byte(key)); got != want {
			t.Errorf("token of %x = %d, want %d", key, got, want)
		}
	}
}

func TestParseSummaryKeys(t *testing.T) {
	b := fields{}.u32(128).u32(1).i64(7).u32(128).u32(1).pad(7).u32(2)
	b = append(append(b, "ab"...).u32(3), "xyz"...)
	first, last, ok := ParseSummaryKeys(b)
	if !ok || string(first) != "ab" || string(last) != "xyz" {
		t.Errorf("got %q, %q, %v", first, last, ok)
	}
	for cut := range b {
		if _, _, ok := ParseSummaryKeys(b[:cut]); ok {
			t.Errorf("accepted %d of %d bytes", cut, len(b))
		}
	}
}

func FuzzParseStats(f *testing.F) {
	for _, n := range versions() {
		f.Add(n.Version, n.Format, statsPart(n, Stats{HostID: "0a7fdd93c36b148808035142b4b2d8f1", FirstKey: []byte("a"), LastKey: []byte("b")}))
	}
	f.Fuzz(func(t *testing.T, version, format string, b []byte) {
		n := Name{Version: version, Format: format}
		ParseStats(n, b)
		if _, ok := statisticsParts(n, statisticsFile(n, "p", b)); ok != n.since("ka") {
			t.Fatalf("an intact file is refused: %v", n)
		}
		if s, ok := ParseStats(n, statisticsFile(n, "p", b)); !ok && !equalStats(s, Stats{Partitioner: s.Partitioner}) {
			t.Fatalf("refused, but %+v", s)
		}
	})
}

func FuzzParseSummaryKeys(f *testing.F) {
	f.Add([]byte(fields{}.u32(128).u32(1).i64(7).u32(128).u32(1).pad(7).u32(1).u8(1).u32(1).u8(2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, last, ok := ParseSummaryKeys(b)
		if ok && !bytes.Contains(b, append(slices.Clone(fields(first)).u32(uint32(len(last))), last...)) {
			t.Fatalf("%x, %x are not in %x", first, last, b)
		}
	})
}
