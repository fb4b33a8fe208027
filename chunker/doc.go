// Package chunker turns raw bytes into frames and frames back into the very
// same raw bytes. It is pure: no I/O, no goroutines, no global state.
//
// A frame is the unit that is compressed, verified and fetched. A file is cut
// into pieces of [FrameSize] bytes, the last one shorter, and each piece becomes
// one frame that can be read alone. An empty file has no frames.
//
//	raw bytes ──transform──► ──codec──► stored bytes
//	raw bytes ◄──undo─────── ◄──undo─── stored bytes
//
//	raw        what the file holds; 1 byte to MaxRaw; its BLAKE3-256 is the frame's hash
//	transform  0  none
//	           1  reserved: un-LZ4 (SSTable chunks stored decompressed)
//	           2  reserved: columns (rows split into streams)
//	           3  reserved: recipe (a compaction's output from stored inputs)
//	codec      0  stored: the bytes as they are
//	           1  zstd: one zstd frame (RFC 8878) that declares its content
//	              size, without dictionary and without checksum
//
// These numbers are stored in packs and are read for ever: none changes its
// meaning, none is used again. What a transform needs in order to be undone
// stands inside the frame's own stored bytes. Raw length, hash, codec and
// transform stand next to the reference to the frame, not in the frame: see
// package pack.
//
// Nothing counts as compressed that did not come back: [Encoder] decodes every
// frame and compares it before it hands it out, and [Decoder] hands out only
// bytes whose hash is right (I6).
package chunker
