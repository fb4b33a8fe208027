// Package chunker turns raw bytes into frames and frames back into the very
// same raw bytes. It is pure: no I/O, no goroutines, no global state.
//
// A frame is the unit that is compressed, verified and fetched; each can be read
// alone. A file is cut into pieces of [FrameSize] bytes, the last one shorter; a
// Data.db of LZ4 chunks into runs of whole chunks that hold [RowsSize] bytes of
// rows. Each piece becomes one frame. An empty file has no frames.
//
//	raw bytes ──transform──► ──codec──► stored bytes
//	raw bytes ◄──undo─────── ◄──undo─── stored bytes
//
//	raw        what the file holds; 1 byte to MaxRaw; its BLAKE3-256 is the frame's hash
//	transform  0  none
//	           1  unchunked: the rows in the chunks of a Data.db, without LZ4; codec 1
//	           2  columns: these rows as package columns stores them; codec 0
//	           3  reserved: recipe (a compaction's output from stored inputs)
//	           4  indexed: columns, with what makes a part of Index.db of them; codec 0
//	           5  index: that part of Index.db, out of the same stored bytes; codec 0
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
// # Transforms 1 and 2
//
// Cassandra writes a chunk of Data.db as (CompressedSequentialWriter, LZ4Compressor)
//
//	u32le length of the rows | LZ4 block | u32be checksum of both
//
// and with min_compress_ratio (4.0+) one that LZ4 does not shrink enough bare:
//
//	rows | u32be checksum
//
// The checksum is CRC-32, before 3.0 Adler-32. [Encoder.OpenRows] takes the rows out.
// The stored bytes are
//
//	u8      class of LZ4 (package lz4) | 0x80 if checksums are Adler-32
//	vint    length of the rows of every chunk that is not odd
//	vint    number of chunks
//	vint    number of odd ones
//	odd ×   vint index of the chunk less that of the odd one before, if any | u8 kind |
//	        vint length of its rows | for a kept one: vint length of the chunk
//	...     the rows of all chunks, one after the other: one zstd frame, or one of columns
//	...     the kept chunks with their checksums, one after the other: they end where the data ends
//
//	kind    1  like all others, but of another length: the last ones of a file
//	        2  bare
//	        3  kept: LZ4 makes another chunk of its rows, or the checksum is wrong
//
// A vint is encoding/binary.Uvarint. There are at most
// MaxRaw bytes of rows and MaxRaw/1024 chunks. Odd chunks ascend.
//
// To undo, decode the rows, cut them, and write each chunk as above; in place of the
// rows of a kept one, the kept chunk.
//
// # Transforms 4 and 5
//
// Index.db says of each partition, in the order of Data.db, its key and where it begins (Cassandra
// BigTableWriter.IndexWriter): nothing that the rows don't say. So the frame of a piece of Data.db holds
// the entries of its partitions as well. The same stored bytes make two frames, each of which can be
// read alone: one whose raw bytes are of Data.db, one whose raw bytes are of Index.db. They are
//
//	vint    position of the rows in the uncompressed Data.db
//	vint    length of the rest
//	vint    length of that as it is stored
//	...     the rest, one zstd frame: see columns.Encoder.AppendIndexRest
//	...     the piece of Data.db as with transform 2
//
// The rest is what the rows don't say: promoted indexes, entries of which the key is cut, whatever
// is damaged. Who decodes both frames, one after the other, decodes the rows once.
//
// # What holds
//
// Nothing counts as compressed that did not come back: [Encoder] decodes every
// frame and compares it before it hands it out, rows as rows, and each chunk with what
// LZ4 makes of its rows; and [Decoder] hands out only bytes whose hash is right (I6). What can't be made again from its rows is stored in
// a way that can: a chunk is kept, rows are not split into columns, a piece stays as it
// is, and so does what is left of an Index.db. That costs space only.
//
// The level Fast leaves chunks as they are: a tenth of the CPU time of Balanced, and
// frames of up to twice the size.
package chunker
