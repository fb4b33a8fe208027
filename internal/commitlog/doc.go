// Package commitlog stores the tail of a node's commit log while it is being written, and gives it
// back: the segments that hold every write acknowledged in a span of time.
//
// # Segments
//
// A segment is a file CommitLog-<version>-<id>.log: a header, then a chain of sync markers, each of
// which says where the next one is. What lies before the newest valid marker never changes again;
// that is the durable stretch. How markers come about is what is proven by them; see below.
//
// # Pieces
//
// What is new of all segments at one look becomes a piece, an object log/<number> below the node's
// prefix. Numbers go up from 1, whoever writes, and are created only if absent (I1, I4): a writer that
// finds its number taken by one that opened the history later is over, and says so. So a log has one
// order, and nothing in it depends on which of two writers' clocks is right.
//
// Format 1 is a zstd frame with its header and checksums in skippable frames, so that `zstd -dc FILE`
// prints the bytes of its parts, one behind the other:
//
//	+----------------------------------------------------+
//	| skippable frame 0x184D2A50: header, JSON (Piece)   |  clear even when the rest is sealed
//	+----------------------------------------------------+
//	| skippable frame 0x184D2A53: BLAKE3-256 of all      |  32 bytes: a header is read and verified
//	| bytes before this frame                            |  without the rest
//	+----------------------------------------------------+
//	| zstd frame: the bytes of the parts                 |
//	+----------------------------------------------------+
//	| skippable frame 0x184D2A52: BLAKE3-256 of all      |  32 bytes
//	| bytes before this frame                            |
//	+----------------------------------------------------+
//
// A skippable frame is its magic number and its length, both little-endian uint32, then the content
// (RFC 8878, 3.1.2). Readers ignore JSON keys that they don't know, and refuse a newer format, an
// unknown suite and any name in "critical" that they don't know, as those of manifests do.
//
// Pieces without a hole between them are a stretch. Each says where its stretch begins and what is
// proven with it, so that a reader finds all stretches with a GET or two for each. Cassandra replays a
// segment from its first byte only, so each part also names the piece that holds the beginning of its
// segment. Whoever deletes old pieces must keep those that a kept piece needs for that.
package commitlog
