package commitlog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strconv"
)

// ErrNotSegment: what should be the beginning of a segment is none, or is not written yet. Cassandra
// makes the file first and its header a moment later.
var ErrNotSegment = errors.New("not a commit log segment")

const (
	markerSize = 8
	// MaxHeader is the longest header that there can be: the length of its parameters is a uint16.
	MaxHeader = 4 + 8 + 2 + 1<<16 - 1 + 4
	// firstWithParameters is the version (Cassandra 2.2) since which a header has parameters.
	firstWithParameters = 5
)

// Name is what the name of a segment's file says.
type Name struct {
	Version int   // 4: 2.1 · 5: 2.2 · 6: 3.x · 7: 4.x, and 5.0 in compatibility mode · 8: 5.0 · 9: 6.0
	ID      int64 // consecutive within one run of the node; its first is milliseconds since 1970
}

// String is the name of the file.
func (n Name) String() string { return fmt.Sprintf("CommitLog-%d-%d.log", n.Version, n.ID) }

// ParseName parses the name of a file: Cassandra's CommitLogDescriptor, 2.1+.
func ParseName(file string) (Name, bool) {
	m := namePattern.FindStringSubmatch(file)
	if m == nil {
		return Name{}, false
	}
	version, err := strconv.Atoi(m[1])
	id, idErr := strconv.ParseInt(m[2], 10, 64)
	n := Name{version, id}
	return n, err == nil && idErr == nil && version >= 4 && id > 0 && n.String() == file
}

var namePattern = regexp.MustCompile(`^CommitLog-(\d{1,4})-(\d{1,18})\.log$`)

// Header is the beginning of a segment.
type Header struct {
	Name
	Size        int64  // bytes of the header itself
	Compression string // class of the compressor, empty without
	Encrypted   bool
}

// Grows tells whether the file grows with its content. Others are as long as they will ever be from
// the start, and zero behind what was written.
func (h Header) Grows() bool { return h.Compression != "" || h.Encrypted }

// ParseHeader parses the first bytes of a segment, MaxHeader of them or all there are
// (CommitLogDescriptor.writeHeader, 2.1+).
func ParseHeader(b []byte) (Header, error) {
	if len(b) < 16 {
		return Header{}, fmt.Errorf("%d bytes: %w", len(b), ErrNotSegment)
	}
	h := Header{Name: Name{int(int32(binary.BigEndian.Uint32(b))), int64(binary.BigEndian.Uint64(b[4:]))}, Size: 16}
	if h.Version < 4 || h.ID <= 0 {
		return Header{}, fmt.Errorf("version %d, id %d: %w", h.Version, h.ID, ErrNotSegment)
	}
	crc := checksum(0, uint32(h.Version), uint32(h.ID), uint32(h.ID>>32))
	rest := b[12:]
	if h.Version >= firstWithParameters {
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n+4 {
			return Header{}, fmt.Errorf("header is cut short: %w", ErrNotSegment)
		}
		crc = crc32.Update(checksum(crc, uint32(n)), crc32.IEEETable, rest[2:2+n])
		if err := h.parameters(rest[2 : 2+n]); err != nil {
			return Header{}, err
		}
		rest, h.Size = rest[2+n:], h.Size+int64(2+n)
	}
	if binary.BigEndian.Uint32(rest) != crc {
		return Header{}, fmt.Errorf("header does not match its checksum: %w", ErrNotSegment)
	}
	return h, nil
}

// ReadHeader reads the header of a segment's file. ErrNotSegment: it has none, or none yet.
func ReadHeader(r io.ReaderAt) (h Header, err error) {
	for _, size := range []int{512, MaxHeader} { // the first is enough for almost all
		b := make([]byte, size)
		n, readErr := r.ReadAt(b, 0)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return Header{}, fmt.Errorf("read segment header: %w", readErr)
		}
		if h, err = ParseHeader(b[:n]); err == nil || n < size {
			break
		}
	}
	return h, err
}

func (h *Header) parameters(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	var p struct {
		Compression string `json:"compressionClass"`
		Cipher      string `json:"encCipher"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("parameters: %w: %w", err, ErrNotSegment)
	}
	h.Compression, h.Encrypted = p.Compression, p.Cipher != ""
	return nil
}

// checksum goes on with a CRC32 over big endian integers.
func checksum(crc uint32, values ...uint32) uint32 {
	var b [4]byte
	for _, v := range values {
		binary.BigEndian.PutUint32(b[:], v)
		crc = crc32.Update(crc, crc32.IEEETable, b[:])
	}
	return crc
}

// Chain is the chain of a segment's sync markers, as far as it was followed.
type Chain struct {
	// End is the end of the durable stretch [0, End): bytes that never change again. It is where the
	// next marker will be.
	End int64
	// Markers counts the valid ones.
	Markers int

	id int64
}

// Chain is the chain before its first marker: only the header is durable.
func (h Header) Chain() Chain { return Chain{End: h.Size, id: h.ID} }

// Follow goes on from where the chain ended, in a file that is size bytes long and may be written to
// meanwhile. It ends at a place that holds no valid marker, or one that leads beyond the file: that
// section is not all there yet. A marker is int32 position of the next one, int32 CRC32 of the id's
// halves and its own position (CommitLogSegment.writeSyncMarker, 2.1+).
func (c *Chain) Follow(r io.ReaderAt, size int64) error {
	for c.End+markerSize <= size {
		next, ok, err := c.marker(r)
		if err != nil {
			return err
		}
		if !ok || next < c.End+markerSize || next > size {
			return nil
		}
		c.End = next
		c.Markers++
	}
	return nil
}

// marker reads the one at End. Its checksum does not cover where it leads, and is written behind
// that: so a valid one is read once more.
func (c *Chain) marker(r io.ReaderAt) (next int64, ok bool, err error) {
	var b [markerSize]byte
	want := checksum(0, uint32(c.id), uint32(c.id>>32), uint32(c.End))
	for range 2 {
		if _, err := r.ReadAt(b[:], c.End); err != nil {
			return 0, false, fmt.Errorf("read sync marker at %d: %w", c.End, err)
		}
		if binary.BigEndian.Uint32(b[4:]) != want {
			return 0, false, nil
		}
	}
	return int64(int32(binary.BigEndian.Uint32(b[:]))), true, nil
}
