// Package pack is the format of the objects that hold frames, in both
// directions, and the vocabulary that points into them. It is pure: bytes in,
// bytes out. What a frame's stored bytes are, package chunker says.
//
// A pack is one object of a pack set. A set holds the components of one SSTable,
// or of the small SSTables of one manifest, and nothing else, so that it dies
// whole. Its packs are numbered from 0 and named by [Name]. The set id is 128
// random bits drawn before anything is written: a reference is known at once, a
// name never comes back (I1), and names spread over a bucket's key space.
//
// # Pack, versions 1 and 2
//
// All integers of fixed width are little-endian. A uvarint is base-128, low
// bits first, in its shortest form (encoding/binary). CRC32C is CRC-32 with the
// Castagnoli polynomial.
//
//	+---------------------------+ 0
//	| header             64 B   |
//	+---------------------------+ 64
//	| frames                    | stored bytes of each frame, back to back
//	+---------------------------+
//	| frame lists               | one per component, back to back
//	+---------------------------+
//	| footer                    | sections: what lies above
//	+---------------------------+ size - 48
//	| trailer            48 B   |
//	+---------------------------+ size
//
// Header:
//
//	 0  8 B  magic       89 53 53 54 50 41 43 4b ("\x89SSTPACK")
//	 8  u8   version     1, or 2 if frames share their bytes. A reader refuses a higher one.
//	 9  u8   suite       how the rest is sealed: 0 = not at all, the only one known. A
//	                     reader refuses others. (Set, number, offset) names a frame once
//	                     and for ever, so a suite can derive keys and nonces from it.
//	10  2 B  reserved    0; a reader ignores it
//	12  u32  number      of this pack in its set
//	16 16 B  set         the set's id
//	32 28 B  reserved    0; a reader ignores it
//	60  u32  CRC32C      of bytes 0 to 59. Header and trailer keep their place and size
//	                     in every version and suite.
//
// Footer: sections, one after the other, each kind once, in any order:
//
//	u8       tag         bits 0 to 6: which section; bit 7: critical. A reader refuses
//	                     an unknown section that is critical and skips other ones.
//	uvarint  length      of the payload
//	payload
//
//	tag 0x81 frames      a frame list (below) of all frames of this pack, by offset
//	tag 0x82 lists       uvarint count, then for each frame list of this pack, by offset:
//	                     uvarint offset · uvarint length · uvarint label length · label
//
// A label says to a human what a list was, such as
// "shop/orders-5a1c…/nb-1-big-Data.db". Nothing but salvage without manifests
// reads it. The frames lie back to back from the header's end, the frame lists
// from there to the footer: no gap, no overlap. But in version 2, two frames that
// follow each other in the footer may have the very same place: their transforms
// make two things of the same stored bytes.
//
// Trailer:
//
//	 0  u32  footer length
//	 4  u32  CRC32C      of the footer, so that it can be read without the frames, or
//	                     salvaged when they are damaged
//	 8  8 B  end mark    "PACKEND\n"
//	16 32 B  checksum    BLAKE3-256 of the object up to here
//
// # Frame list, version 1
//
// The frames of one component in file order. A manifest points at it with a
// [ListRef], and a restore fetches it alone, by range; so it carries its own
// version and checksum. An empty component has a list of no frames. The list of a
// component is in the pack of its last frame or in a later one; frames may be in
// lower-numbered packs of the same set.
//
//	u8       version     1. A reader refuses another one.
//	uvarint  count       of frames, then for each:
//	         uvarint  pack       number of its pack in the set
//	         uvarint  offset     of the stored bytes in that pack, < 2^32
//	         uvarint  length     of the stored bytes, 1 or more; offset + length < 2^32
//	         uvarint  raw        length of the raw bytes, 1 or more, < 2^32
//	         u8       codec      see package chunker
//	         u8       transform  see package chunker
//	         32 B     hash       BLAKE3-256 of the raw bytes
//	u32      CRC32C      of all before; the last four bytes of a list in every version
package pack
