package manifest

import (
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

// Kind says what an entry of the history is. Readers refuse kinds they don't know.
type Kind string

const (
	// Open starts a writer: from its number on, no other writer's manifest counts.
	Open Kind = "open"
	// Full holds bases: tables under one snapshot tag, committed in parts.
	Full Kind = "full"
	// Increment holds SSTables that the database linked into backups/.
	Increment Kind = "increment"
	// KindCut ends chains: tables that were truncated or dropped.
	KindCut Kind = "cut"
)

// Manifest is one entry of a node's history. Once decoded it is read by many goroutines and
// changed by none.
type Manifest struct {
	Header
	Body Body
	// Sum is the checksum that ends the object; the next header's Previous.
	Sum chunker.Hash
}

// Header is the clear part: enough for a collector that can't open the body.
type Header struct {
	Format   int          `json:"format"`
	Suite    int          `json:"suite"`              // 0: the body is clear
	Critical []string     `json:"critical,omitempty"` // what a reader must understand or refuse
	Seq      uint64       `json:"seq"`                // from 1, without gaps
	Time     time.Time    `json:"time"`               // the writer's clock at the commit
	Kind     Kind         `json:"kind"`
	Cluster  string       `json:"cluster"`
	HostID   string       `json:"host_id"`
	Writer   string       `json:"writer"`   // the nonce of the open that this writer began with
	Nonce    string       `json:"nonce"`    // random: tells our own lost commit from another's (I4)
	Previous chunker.Hash `json:"previous"` // Sum of Seq-1; zero for the first
	// Base is the lowest manifest that is needed to restore the newest state at this entry, and to
	// know what is already stored.
	Base uint64 `json:"base"`
	// Roll is the newest roll before this entry, as far as the newest state needs one; 0: none.
	Roll uint64 `json:"roll,omitempty"`
	// Keeps are the pack sets that stay alive while this manifest is kept. Components name their
	// set by its place in this list.
	Keeps []Keep `json:"keeps,omitempty"`
}

// Keep is one pack set that a manifest keeps alive.
type Keep struct {
	Set    pack.SetID `json:"set"`
	Packs  uint32     `json:"packs"`            // how many packs the set has, numbered from 0
	Bytes  int64      `json:"bytes"`            // stored bytes of all of them
	Raw    int64      `json:"raw"`              // bytes of the components in it, as files
	Bundle bool       `json:"bundle,omitempty"` // holds the small SSTables of the manifest that made it
}

// Body is what the entry says.
type Body struct {
	// AsOf is the moment that the entry describes, by the node's clock: when the scan ended, or when
	// the snapshot of a full began.
	AsOf   time.Time `json:"as_of"`
	Node   *Node     `json:"node,omitempty"`   // in a full, and where it changed
	Writer *Writer   `json:"writer,omitempty"` // in open
	Schema *Schema   `json:"schema,omitempty"` // where it changed, and in the first part of each full
	Full   *FullPart `json:"full,omitempty"`
	// Pending are the tags of snapshots that the scan behind this entry saw on the node and that no
	// full had finished yet, and Unseen where it could not list everything.
	Pending []string `json:"pending,omitempty"`
	Barrier *Barrier `json:"barrier,omitempty"`
	Gaps    []Gap    `json:"gaps,omitempty"`
	Tables  []Table  `json:"tables,omitempty"`
	Roll    *Roll    `json:"roll,omitempty"`
}

// Unseen stands among Pending for any snapshot: it may have been where the scan could not look. No tag
// is empty.
const Unseen = ""

// Node is who the database said it was.
type Node struct {
	Release     string   `json:"release,omitempty"` // Cassandra's release_version
	Datacenter  string   `json:"datacenter,omitempty"`
	Rack        string   `json:"rack,omitempty"`
	Partitioner string   `json:"partitioner,omitempty"`
	Tokens      []string `json:"tokens,omitempty"`
	// What follows tells when flushes may not have been linked: see State.Compare.
	Generation int64   `json:"generation,omitempty"` // grows with each start (system.local.gossip_generation); 0: not known
	Backups    Backups `json:"backups,omitempty"`
	// Unlinked are the tables, "keyspace.table", that have incremental backups off for themselves (5.0+).
	Unlinked []string `json:"unlinked,omitempty"`
}

// Backups tells whether incremental backups are on; empty: not known.
type Backups string

const (
	BackupsOn  Backups = "on"
	BackupsOff Backups = "off"
)

// Writer is who opened the history: what a fenced writer is told about the one that won.
type Writer struct {
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Version string `json:"version"` // of sstash
}

// Schema is the CQL that recreates keyspaces, types, tables with their ids, indexes and views, in
// an order that replays (DESCRIBE SCHEMA WITH INTERNALS, Cassandra 4.0+).
type Schema struct {
	Hash       string   `json:"hash"`
	Statements []string `json:"statements"`
}

// FullPart places a manifest within its full.
type FullPart struct {
	Tag   string    `json:"tag"`
	Began time.Time `json:"began,omitzero"` // when the snapshot began; zero when nobody knows
	After uint64    `json:"after"`          // see the package comment
	// All: we ran the snapshot, of every table, and saw it succeed. A table that is in no part of
	// such a full did not exist.
	All bool `json:"all,omitempty"`
	// Last: with this part every table of the snapshot is complete.
	Last bool `json:"last,omitempty"`
}

// Table is what one entry says of one table.
type Table struct {
	sstable.Table
	// Base is set in a full, Cut in a cut.
	Base *Base `json:"base,omitempty"`
	Cut  *Cut  `json:"cut,omitempty"`
	// Proven, in a full: everything acknowledged before this moment is in the base. Zero where nothing
	// is proven (I10).
	Proven   time.Time `json:"proven,omitzero"`
	SSTables []SSTable `json:"sstables,omitempty"`
	// Superseded are links that were seen and not stored, because a base that covers them is on its
	// way or already there. No chain holds them.
	Superseded []SSTable `json:"superseded,omitempty"`
	// Finished are the ids of bases that earlier entries hold whole and whose snapshots are still on
	// the node. The last part of a full that begins a new Header.Base names them: else they would be
	// taken for new snapshots, and for newer ones than this full.
	Finished []string `json:"finished,omitempty"`
}

// Base is one table's part in a snapshot.
type Base struct {
	// ID is the same in every part that holds SSTables of this base, and differs when the tag is used
	// again.
	ID       string `json:"id"`
	Complete bool   `json:"complete,omitempty"`
	// Final: Cassandra took the snapshot of what a TRUNCATE or DROP was about to remove. No chain begins
	// with it.
	Final Why `json:"final,omitempty"`
	// SchemaCQL is the schema.cql that Cassandra 3.0.9+ puts beside the snapshot.
	SchemaCQL string `json:"schema_cql,omitempty"`
}

// SSTable is one stored SSTable.
type SSTable struct {
	Index string `json:"index,omitempty"` // ".name": the directory of a table-backed index
	Stem  string `json:"stem"`            // what its file names begin with, "nb-12-big"
	Facts
	Components []Component `json:"components"`
}

// Facts are what Statistics.db says of an SSTable, as far as this build can read its version.
type Facts struct {
	MinTimestamp    int64  `json:"min_timestamp,omitempty"` // microseconds, as clients set them
	MaxTimestamp    int64  `json:"max_timestamp,omitempty"`
	MaxDeletionTime int64  `json:"max_deletion_time,omitempty"` // seconds since 1970
	Level           int    `json:"level,omitempty"`
	RepairedAt      int64  `json:"repaired_at,omitempty"` // milliseconds since 1970
	OriginHost      string `json:"origin_host,omitempty"` // the host whose commit log it covers
	// LogFrom and LogUntil bound what it covers of that commit log.
	LogFrom     sstable.Position `json:"log_from,omitzero"`
	LogUntil    sstable.Position `json:"log_until,omitzero"`
	FirstToken  string           `json:"first_token,omitempty"`
	LastToken   string           `json:"last_token,omitempty"`
	Partitioner string           `json:"partitioner,omitempty"`
}

// Component is one stored file.
type Component struct {
	Name string       `json:"name"` // "Data.db"
	Size int64        `json:"size"`
	Hash chunker.Hash `json:"hash,omitzero"` // of the whole file; zero in Superseded
	Set  int          `json:"set"`           // index into Header.Keeps
	List pack.ListRef `json:"list,omitzero"` // where its frame list is
	// FS, Inode and Mtime, with Size, are the fingerprint of the link that was read (I8).
	FS    uint64 `json:"fs"`
	Inode uint64 `json:"inode"`
	Mtime int64  `json:"mtime"` // nanoseconds since 1970
}

// Fingerprint is the identity of the file that was read.
func (c Component) Fingerprint() sstable.Fingerprint {
	return sstable.Fingerprint{FS: c.FS, Inode: c.Inode, Size: c.Size, Mtime: c.Mtime}
}

// Size counts what the entry stores or refers to, as files.
func (m *Manifest) Size() (sstables int, bytes int64) {
	for _, t := range m.Body.Tables {
		sstables += len(t.SSTables)
		for _, s := range t.SSTables {
			bytes += s.Bytes()
		}
	}
	return sstables, bytes
}

// Bytes is the size of all components as files.
func (s SSTable) Bytes() (n int64) {
	for _, c := range s.Components {
		n += c.Size
	}
	return n
}

// Component returns the component of that name.
func (s SSTable) Component(name string) (Component, bool) {
	for _, c := range s.Components {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}
