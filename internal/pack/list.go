package pack

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/sstash/sstash/chunker"
)

const (
	listVersion = 1
	crcSize     = 4
	hashSize    = len(chunker.Hash{})
	minFrame    = 4 + 2 + hashSize  // shortest entry of a frame
	maxFrame    = 20 + 2 + hashSize // longest
)

// AppendList appends the encoding of a component's frames, in file order, to dst.
func AppendList(dst []byte, frames []FrameRef) []byte {
	start := len(dst)
	dst = append(dst, listVersion)
	dst = binary.AppendUvarint(dst, uint64(len(frames)))
	for _, f := range frames {
		for _, v := range []uint32{f.Pack, f.Off, f.Len, f.Raw} {
			dst = binary.AppendUvarint(dst, uint64(v))
		}
		dst = append(dst, byte(f.Codec), byte(f.Transform))
		dst = append(dst, f.Hash[:]...)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32c(dst[start:]))
}

// ParseList is the inverse of AppendList: what it accepts, AppendList encodes to
// the same bytes. It may be given hostile bytes, allocates at most twice their
// length, and doesn't mind codecs and transforms that it doesn't know. The raw
// lengths of a list add up without overflow in an int64.
func ParseList(b []byte) ([]FrameRef, error) {
	frames, err := parseList(b)
	if err != nil {
		return nil, fmt.Errorf("parse frame list: %w", err)
	}
	return frames, nil
}

func parseList(b []byte) ([]FrameRef, error) {
	if len(b) < crcSize {
		return nil, fmt.Errorf("%w: %d bytes", chunker.ErrCorrupt, len(b))
	}
	body, sum := b[:len(b)-crcSize], b[len(b)-crcSize:]
	if crc32c(body) != binary.LittleEndian.Uint32(sum) {
		return nil, fmt.Errorf("%w: checksum differs", chunker.ErrCorrupt)
	}
	c := cursor{rest: body}
	if v := c.uint8(); c.err == nil && v != listVersion {
		return nil, fmt.Errorf("version %d: %w", v, chunker.ErrUnsupported)
	}
	count := c.uvarint()
	if int64(count) > int64(len(c.rest)/minFrame) {
		c.fail("%d frames in %d bytes", count, len(c.rest))
		count = 0
	}
	frames := make([]FrameRef, count)
	for i := range frames {
		frames[i] = c.frame()
	}
	return frames, c.end()
}

// frame reads one entry of a list.
func (c *cursor) frame() FrameRef {
	f := FrameRef{Pack: c.uvarint(), Off: c.uvarint(), Len: c.uvarint(), Raw: c.uvarint()}
	f.Codec, f.Transform = chunker.Codec(c.uint8()), chunker.Transform(c.uint8())
	copy(f.Hash[:], c.take(uint32(hashSize)))
	switch {
	case f.Len < 1 || f.Raw < 1:
		c.fail("an empty frame")
	case uint64(f.Off)+uint64(f.Len) > math.MaxUint32:
		c.fail("a frame beyond 2^32")
	}
	return f
}

func crc32c(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
