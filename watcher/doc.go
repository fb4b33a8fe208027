// Package watcher finds what there is to back up on a node: the SSTables that
// Cassandra linked into backups/ and snapshots/, and whether they are complete.
//
// The promise: a scan reports every SSTable that is complete under a data
// directory's backups/ and snapshots/; events only make a scan come sooner (I7).
// Three parts keep it, and the caller connects them:
//
//	Scan     one pass over the directories. Lists and stats, reads nothing.
//	Judge    says of each set and each snapshot whether it is complete. Reads
//	         the small files: TOC.txt, CompressionInfo.db, manifest.json.
//	Watcher  hints that it is time for the next scan.
//
// Places are told apart by their depth below the data directory, never by their
// names, for tables may be called snapshots and keyspaces backups:
//
//	<data dir>/<keyspace>/<table>-<id>/backups/[.<index>/]<file>
//	<data dir>/<keyspace>/<table>-<id>/snapshots/<tag>/[.<index>/]<file>
//
// The live files beside them are never listed; Complete looks at those of one SSTable
// by their names. Nothing is written, and no symbolic
// link below a data directory is followed.
package watcher
