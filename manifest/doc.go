// Package manifest is the vocabulary of sstash: what a node's history says, how it is written
// down, and which SSTables make up a recovery point. It is pure: no I/O, no clock.
//
// # Words
//
//   - node: one database process and its data directories, named by cluster name and host id.
//   - table: keyspace, name and table id.
//   - SSTable: the component files of one id in one directory.
//   - component: one file of an SSTable.
//   - frame: the unit that is compressed, verified and fetched, about 1 MiB raw.
//   - pack: one object holding frames.
//   - pack set: the packs of one large SSTable, or the bundle: the small SSTables of one manifest.
//   - manifest: one numbered entry in a node's history, and the only commit there is.
//   - base: what one complete snapshot of one table holds.
//   - increment: an SSTable that the database linked into backups/.
//   - chain: of one table, a base and the increments after it, up to the next base or cut.
//   - cut: a TRUNCATE or DROP of a table: no chain reaches over it.
//   - final set: the auto snapshot that Cassandra took before a cut, the table's last state.
//   - barrier: a flush or a snapshot that we saw succeed; it began at t0, so all that was
//     acknowledged before t0 is in SSTables that we can name.
//   - gap: SSTables may be missing among the increments up to here, until the next base.
//   - recovery point: a moment, and for each table what it is proven through.
//
// # Invariants
//
//   - I1 An object is written once, whole, under a new name. No exceptions: the bucket may be
//     write-once.
//   - I2 What an object references is durable first: packs, then the manifest. The manifest is the
//     commit. It references its own uploads, or pack sets that an earlier kept manifest keeps.
//   - I3 Nothing is deleted that an expire manifest does not name, at least 48 h old by the bucket's
//     clock, checked again against every kept manifest. Never after a listing that failed, was
//     partial or came back empty.
//   - I4 manifests/<seq> is created only if absent, without gaps. Who loses a number reads what won:
//     its own nonce means success (a lost response), anything else means that another writer has
//     opened the history, and this one stops. There is no other lock: a cloned machine loses, loudly.
//   - I5 The bucket alone restores. Local state is a cache; any of it may vanish between any two
//     operations.
//   - I6 Every byte is verified against its hash before it is placed; a file appears under its name
//     complete or not at all.
//   - I7 File events are hints. Only a scan decides that an SSTable or a snapshot is complete.
//   - I8 A hard link is unlinked only if the very same file (filesystem, inode, size, mtime; the hash
//     too for mutable components) is in a durable manifest, or the operator named it superseded.
//     Snapshots are cleared through Cassandra, and only those that sstash took. Nothing else in a
//     data directory is written, renamed, touched or removed.
//   - I9 Identity is content. File names, generation numbers and sizes come back with other bytes.
//   - I10 What failed is reported. A point never claims more than its barrier proves.
//
// # Format 1
//
// A manifest is three zstd frames, of which two are skippable, so that `zstd -dc FILE | jq .`
// prints the body and any zstd tool passes over the rest:
//
//	+----------------------------------------------------+
//	| skippable frame 0x184D2A50: header, JSON           |  clear even when the body is sealed
//	+----------------------------------------------------+
//	| zstd frame: body, JSON                             |  suite 0; a sealed body is a skippable
//	|                                                    |  frame 0x184D2A51 of another suite
//	+----------------------------------------------------+
//	| skippable frame 0x184D2A52: BLAKE3-256 of all      |  32 bytes
//	| bytes before this frame                            |
//	+----------------------------------------------------+
//
// A skippable frame is its magic number and its length, both little-endian uint32, then the content
// (RFC 8878, 3.1.2). The checksum of manifest n-1 is the header's "previous" in manifest n, so the
// history is one chain of hashes. Readers ignore JSON keys that they don't know, and refuse a newer
// format, an unknown suite, an unknown kind, and any name in the header's "critical" that they don't
// know: that is how a later version makes an older one stop instead of misreading.
//
// What a full keeps together: one full may be committed in parts, each a manifest of its own. The
// SSTables of a table's base are those of all parts with the same base id; the base exists once a
// part says that the table is complete.
//
// # Which increments belong to a base
//
// The clock is not asked. A base says after which manifest its chain goes on: "after" is the newest
// manifest whose scan ended before the snapshot began. What such a scan saw was live then, and so is
// in the snapshot, or was compacted, truncated or deleted before it. Every later increment is in the
// chain; some of them are in the base as well, and overlap is harmless where a gap is not. To know
// "after" even when the writer died meanwhile, each manifest names the snapshots that its scan saw
// and that were not yet committed ("pending"). An empty name stands for any: the scan could not list
// everything. Of bases with the same "after" the chain holds all, and is called after the one whose
// snapshot began last by the clock.
//
// # Cuts
//
// A cut begins a chain as a base does: with nothing, or with the SSTables that it says live on. An entry
// of kind cut holds what was written before it and was stored with it, so whatever entries up to it name
// is no part of the chain since, and whatever later ones name is. The writer decides, which has all
// there is to decide by at hand; a reader only follows the order. A base whose snapshot began after the
// cut begins the next chain; "after" orders the two as it orders bases, and the moment where that can't.
//
// # What a chain is proven through
//
// A base proves what the beginning of its snapshot proves. A barrier ("barrier", in the increment of
// the scan that followed the flush) proves more, for all tables but those that it names, as long as no
// gap ("gaps", in the increment of the scan or look that noticed it) lies between the base's "after"
// and the barrier. A gap is closed by a base that goes on after it, and never otherwise. Both are
// fields that a reader may pass over: it then proves less.
//
// # Rolls
//
// Every 512 entries, an increment without SSTables restates those before it ("roll"), so that a reader
// fetches one object instead of them; each entry's header names the newest roll, and that the ones
// before it. A roll is an entry like any other, in the chain of hashes, and restated by the next one.
// What it restates stays, and counts for a reader that doesn't know rolls.
package manifest
