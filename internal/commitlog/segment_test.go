package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
)

func crc32Byte(crc uint32, b byte) uint32 { return crc32.Update(crc, crc32.IEEETable, []byte{b}) }

func TestParseName(t *testing.T) {
	f := func(file string, want Name, ok bool) {
		t.Helper()
		if got, is := ParseName(file); is != ok || ok && (got != want || got.String() != file) {
			t.Errorf("%s: %v, %v", file, got, is)
		}
	}
	f("CommitLog-4-1763731234567.log", Name{4, 1763731234567}, true)
	f("CommitLog-9-1763731234567.log", Name{9, 1763731234567}, true)
	f("CommitLog-1763731234567.log", Name{}, false) // before 2.1
	f("CommitLog-07-1763731234567.log", Name{}, false)
	f("CommitLog-7-0.log", Name{}, false)
	f("CommitLog-7-1763731234567_cdc.idx", Name{}, false)
	f("../CommitLog-7-1763731234567.log", Name{}, false)
	f("CommitLog-7-1763731234567.log.partial", Name{}, false)
}

// The header of a segment that Cassandra 5.0.8 wrote.
func TestParseHeaderOfANode(t *testing.T) {
	b := []byte("\x00\x00\x00\x07\x00\x00\x01\x9a\xa8\xd0\xa1\xb2\x00\x02{}")
	crc := crc32.ChecksumIEEE([]byte("\x00\x00\x00\x07\xa8\xd0\xa1\xb2\x00\x00\x01\x9a\x00\x00\x00\x02{}"))
	b = binary.BigEndian.AppendUint32(b, crc)
	h, err := ParseHeader(append(b, make([]byte, 100)...))
	if err != nil || h.Version != 7 || h.ID != 0x19aa8d0a1b2 || h.Size != 20 || h.Grows() {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestParseHeader(t *testing.T) {
	for version := 4; version <= 9; version++ {
		m := makeSegment(version, 1763731234567, "")
		h, err := ParseHeader(m.bytes)
		if err != nil || h.Name != m.Name || int(h.Size) != m.marker || h.Grows() {
			t.Errorf("version %d: %+v, %v", version, h, err)
		}
		for i := range h.Size {
			broken := bytes.Clone(m.bytes)
			broken[i] ^= 0x40
			if h, err := ParseHeader(broken); !errors.Is(err, ErrNotSegment) {
				t.Errorf("version %d, byte %d: %+v, %v", version, i, h, err)
			}
		}
		for n := range h.Size {
			if _, err := ParseHeader(m.bytes[:n]); !errors.Is(err, ErrNotSegment) {
				t.Errorf("version %d, %d bytes: %v", version, n, err)
			}
		}
	}
	if h, err := ParseHeader(makeSegment(6, 1, lz4).bytes); err != nil || h.Compression != "LZ4Compressor" || h.Encrypted || !h.Grows() {
		t.Errorf("compressed: %+v, %v", h, err)
	}
	if h, err := ParseHeader(makeSegment(6, 1, encrypted).bytes); err != nil || h.Compression != "" || !h.Encrypted || !h.Grows() {
		t.Errorf("encrypted: %+v, %v", h, err)
	}
}

func TestChain(t *testing.T) {
	for _, parameters := range []string{"", lz4} {
		m := makeSegment(7, 1763731234567, parameters)
		h, err := ParseHeader(m.bytes)
		if err != nil {
			t.Fatal(err)
		}
		c := h.Chain()
		check := func(when string, end, markers int) {
			t.Helper()
			if err := c.Follow(bytes.NewReader(m.bytes), int64(len(m.bytes))); err != nil || int(c.End) != end || c.Markers != markers {
				t.Errorf("%q, %s: durable to %d after %d markers, %v; want %d, %d", parameters, when, c.End, c.Markers, err, end, markers)
			}
		}
		header := int(h.Size)
		check("empty", header, 0)
		m.write(t, "first").write(t, "second")
		check("not synced", header, 0)
		m.sync(t)
		check("synced", header+8+11, 1)
		m.write(t, "third").sync(t).write(t, "fourth").sync(t).write(t, "fifth")
		check("thrice", header+3*8+11+5+6, 3)

		cut := bytes.NewReader(m.bytes[:c.End-1])
		again := h.Chain()
		if err := again.Follow(cut, c.End-1); err != nil || again.Markers != 2 {
			t.Errorf("%q: a section that is not all there: %+v, %v", parameters, again, err)
		}
	}
}

// What a recycled segment of 2.1 holds behind its new end belongs to another id.
func TestChainOfARecycledSegment(t *testing.T) {
	old := makeSegment(4, 1000, "").write(t, "old").sync(t).write(t, "older").sync(t)
	m := makeSegment(4, 2000, "")
	copy(m.bytes[m.marker+8:], old.bytes[m.marker+8:])
	m.write(t, "new").sync(t)
	copy(m.bytes[m.marker:], old.bytes[old.marker-13:])
	h, err := ParseHeader(m.bytes)
	if err != nil {
		t.Fatal(err)
	}
	c := h.Chain()
	if err := c.Follow(bytes.NewReader(m.bytes), segmentLen); err != nil || c.Markers != 1 || int(c.End) != m.marker {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzSegment(f *testing.F) {
	for version := 4; version <= 9; version++ {
		f.Add(makeSegment(version, 1763731234567, "").write(f, "first").sync(f).write(f, "second").sync(f).bytes)
	}
	f.Add(makeSegment(7, 1, lz4).write(f, "first").sync(f).bytes)
	f.Add(makeSegment(6, 1, encrypted).bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if h.Size > int64(len(b)) {
			t.Fatalf("a header of %d bytes in %d", h.Size, len(b))
		}
		c := h.Chain()
		if err := c.Follow(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
		if c.End > int64(len(b)) || c.End < h.Size+int64(c.Markers*markerSize) {
			t.Fatalf("%+v in %d bytes", c, len(b))
		}
		// What is behind the end does not matter, and what is before it is never followed anew.
		again := h.Chain()
		if err := again.Follow(bytes.NewReader(b[:c.End]), c.End); err != nil || again.End != c.End {
			t.Fatalf("%+v, and without what follows %+v, %v", c, again, err)
		}
	})
}
