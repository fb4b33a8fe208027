package pack

import (
	"encoding/binary"
	"fmt"

	"github.com/sstash/sstash/chunker"
)

// All of this is part of the format, which the package comment draws.
const (
	magic    = "\x89SSTPACK"
	endMark  = "PACKEND\n"
	version1 = 1
	version2 = 2 // frames may share their stored bytes
	unsealed = 0 // the only suite

	headerSize  = 64
	trailerSize = 48

	critical      = 0x80
	sectionFrames = critical | 1
	sectionLists  = critical | 2
)

// appendHeader begins an object.
func appendHeader(object []byte, version byte, set SetID, number uint32) []byte {
	h := make([]byte, headerSize)
	copy(h, magic)
	h[8], h[9] = version, unsealed
	binary.LittleEndian.PutUint32(h[12:], number)
	copy(h[16:], set[:])
	binary.LittleEndian.PutUint32(h[60:], crc32c(h[:60]))
	return append(object, h...)
}

// parseHeader reads the first headerSize bytes of an object.
func parseHeader(h []byte) (set SetID, number uint32, err error) {
	switch {
	case string(h[:8]) != magic:
		err = fmt.Errorf("%w: does not begin like a pack", chunker.ErrCorrupt)
	case crc32c(h[:60]) != binary.LittleEndian.Uint32(h[60:]):
		err = fmt.Errorf("%w: checksum of the header differs", chunker.ErrCorrupt)
	case h[8] != version1 && h[8] != version2:
		err = fmt.Errorf("version %d: %w", h[8], chunker.ErrUnsupported)
	case h[9] != unsealed:
		err = fmt.Errorf("sealed with suite %d: %w", h[9], chunker.ErrUnsupported)
	}
	return SetID(h[16:32]), binary.LittleEndian.Uint32(h[12:]), err
}

// appendFooter appends the sections.
func appendFooter(object []byte, frames []FrameRef, lists []List) []byte {
	object = appendSection(object, sectionFrames, AppendList(nil, frames))
	payload := binary.AppendUvarint(nil, uint64(len(lists)))
	for _, l := range lists {
		payload = binary.AppendUvarint(payload, uint64(l.Ref.Off))
		payload = binary.AppendUvarint(payload, uint64(l.Ref.Len))
		payload = binary.AppendUvarint(payload, uint64(len(l.Label)))
		payload = append(payload, l.Label...)
	}
	return appendSection(object, sectionLists, payload)
}

func appendSection(object []byte, tag byte, payload []byte) []byte {
	object = append(object, tag)
	object = binary.AppendUvarint(object, uint64(len(payload)))
	return append(object, payload...)
}

// parseSections returns the payloads of a footer's sections by tag, among them
// those that every pack has.
func parseSections(footer []byte) (map[byte][]byte, error) {
	sections := make(map[byte][]byte)
	c := cursor{rest: footer}
	for len(c.rest) > 0 {
		tag := c.uint8()
		payload := c.take(c.uvarint())
		if _, twice := sections[tag]; twice {
			c.fail("section %#x is there twice", tag)
		}
		if tag&critical != 0 && tag != sectionFrames && tag != sectionLists {
			return nil, fmt.Errorf("section %#x: %w", tag, chunker.ErrUnsupported)
		}
		sections[tag] = payload
	}
	for _, tag := range []byte{sectionFrames, sectionLists} {
		if _, ok := sections[tag]; !ok {
			c.fail("section %#x is missing", tag)
		}
	}
	return sections, c.err
}

// appendTrailer ends an object whose footer begins at the given offset.
func appendTrailer(object []byte, footerOff int) []byte {
	footer := object[footerOff:]
	sum := crc32c(footer)
	object = binary.LittleEndian.AppendUint32(object, uint32(len(footer)))
	object = binary.LittleEndian.AppendUint32(object, sum)
	object = append(object, endMark...)
	checksum := chunker.Sum(object)
	return append(object, checksum[:]...)
}

// parseTrailer checks the end of an object and returns its footer, and where it
// begins.
func parseTrailer(object []byte) (footer []byte, footerOff int, err error) {
	body, t := object[:len(object)-trailerSize], object[len(object)-trailerSize:]
	length, sum := binary.LittleEndian.Uint32(t), binary.LittleEndian.Uint32(t[4:])
	switch {
	case string(t[8:16]) != endMark:
		return nil, 0, fmt.Errorf("%w: does not end like a pack, maybe cut short", chunker.ErrCorrupt)
	case chunker.Sum(object[:len(body)+16]) != chunker.Hash(t[16:]):
		return nil, 0, fmt.Errorf("%w: checksum of the object differs", chunker.ErrCorrupt)
	case uint64(length) > uint64(len(body)-headerSize):
		return nil, 0, fmt.Errorf("%w: footer of %d bytes is longer than the object", chunker.ErrCorrupt, length)
	}
	footerOff = len(body) - int(length)
	if crc32c(body[footerOff:]) != sum {
		return nil, 0, fmt.Errorf("%w: checksum of the footer differs", chunker.ErrCorrupt)
	}
	return body[footerOff:], footerOff, nil
}
