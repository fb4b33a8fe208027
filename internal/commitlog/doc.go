// Package commitlog stores the tail of a node's commit log while it is being written, and gives it
// back: the segments that hold every write acknowledged in a span of time.
//
// # Segments
//
// A segment is a file CommitLog-<version>-<id>.log: a header, then a chain of sync markers, each of
// which says where the next one is. What lies before the newest valid marker never changes again;
// that is the durable stretch. The segment that is written to has a spare one behind it, empty but for
// its header. Ids are consecutive within one run of the node. A tail holds every segment open, so that
// what was written to one that is deleted can still be read, and learns of new ones by file events and
// by listing the directory. It never writes there.
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
//
// # What is proven
//
// Until is a moment before which every acknowledged write is in the pieces (I10). A marker alone proves
// no such moment: a pass of the database's sync thread reserves its place, waits for the writes before
// it, and writes it later; what was acknowledged meanwhile is behind it. So a look at time t is proven
// by one of these, in what was durable when it was over, or when a later look was:
//
//   - The database acknowledges what it has synced (commitlog_sync batch, group): all that was
//     acknowledged before t was behind a marker before t.
//   - Nothing but zeros follows the durable stretch of any segment that is written through memory: a
//     write is seen in the file before it is acknowledged. That is how idleness is told from what is not
//     synced yet. It does not hold with compression, encryption, O_DIRECT (5.0), nor for segments that
//     are recycled (2.1), and the database is asked whether it maps its segments.
//   - Four passes have become visible since t in one segment. The first may have begun before t, and a
//     marker may be written by who discards a segment; of four, one began after t, went through all
//     segments up to the one then written to, and was over when the next began. All segments are read
//     once more after the passes were counted. With O_DIRECT markers become visible in bulk, so a look
//     counts as one pass however many it sees; this takes a flush to be visible within three looks.
//
// Passes are 100 ms apart (periodic, 4.0+, and 3.0.16, 3.11.2), or a sync period (10 s) where markers
// are written with it. So a busy node's log is proven up to the look before, and with compression up to
// 40 s ago. An idle one is proven at once, or with compression at its next writes: Cassandra writes its
// size estimates every five minutes. A node that is stopped is idle.
//
// Since is when a stretch began, by a look at segments that were open from then on. A new stretch
// begins, and says why:
//
//   - A segment was deleted before it could be opened, or 2.1 recycled it.
//   - Ids are not consecutive, and file events were lost: others may have come and gone. Without lost
//     events it is the node that was restarted, and each of its segments was seen.
//   - The node was restarted with anything behind a durable stretch, or where that can't be seen: what
//     it had acknowledged and not synced is lost, also to itself.
//   - A tail begins, and a segment that was going on is gone or does not begin with the stored bytes
//     (they are hashed), or segments are missing behind it. Else it goes on where the last one ended.
//   - The clock was set back. All times are the node's: until is the time of a look as its clock said
//     then or as it would say later, whichever is earlier. Times that were twice are in no stretch.
//   - An object that can't be read has taken the next number: no restore gets across it. What is still
//     held is stored from its beginning again, behind it.
//   - The disk was filling up, and deleted segments that were not stored yet were let go.
//
// A segment counts as ended, for a tail that begins later, when it was deleted and read after that, or
// when four passes have written to a newer one and not to it.
package commitlog
