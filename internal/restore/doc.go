// Package restore brings SSTables back: it chooses a point, plans, fetches, verifies, places, and
// loads into a running node.
//
//	Select   a point in a node's history            reads manifests
//	Build    the point and what is wanted → a Plan  pure
//	Stage    the Plan's files → a directory         reads packs
//	Load     the Plan's tables → a running node     stages table after table, and imports each
//	Verify   a directory, or a node, against the Plan
//
// # What a point holds
//
// A point is an entry of the history. It never holds what was written after it (see Until), and
// says for each table what it is proven through, which is earlier (I10).
//
// # How a file comes back (I6)
//
//  1. Its frame list is fetched and must add up to the file's size.
//  2. Its frames are fetched, neighbours in one GET of at most 4 MiB, several GETs at a time. Each is
//     verified against its hash, the whole file against its own. An Index.db that is in the frames of
//     its Data.db comes with them.
//  3. It is written under a temporary name in the directory it is for, synced, and only then renamed.
//
// What a GET returned wrong is fetched once more, since clients pass on what the network damaged.
// After that it is damage: the file is left out, and everything else goes on. Any other error ends
// the run; the next one goes on where it was. A file that stands under its name is kept when it has
// the size and hash that the plan says; a journal remembers what was verified, so that going on does
// not read it all again. The journal is a cache (I5): without it, files are hashed again. It is gone
// when all is done.
//
// # Layout
//
//	DIR/<keyspace>/<table>-<table id>/[.<index>/]<component file>
//
// is one directory whatever the number of data directories was. Where the history has the same file
// names with other contents in one table (I9), all but the first of them get fresh numbers, above
// all that are there.
//
// # Loading
//
// The files of one table are staged in a directory of ours on the file system of the data
// directories, and `nodetool import` moves them from there before the next table is staged: the disk
// never holds anything twice. Indexes are not staged, for import rebuilds them. A table's SSTables go
// in one call, because a base without its increments shows old values and deleted rows; only a byte
// budget splits them. What is about to be imported, and what was, is in the journal; when a run is cut
// off between the two, the next one looks among the live files. To load an SSTable twice is harmless:
// the newest write wins, and of a counter's shard the newest clock.
package restore
