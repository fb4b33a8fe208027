package watcher

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// A Listing is what one Scan saw. A directory is listed as a whole or not at all:
// if it could not be read, or a file in it could not be looked at, nothing of it is
// there, and Errors says so.
type Listing struct {
	Backups   []sstable.SSTable // all sets in backups/, complete or not
	Snapshots []Snapshot
	Tables    []sstable.Table // that have a directory
	Unknown   []string        // paths that nobody can place; they are not backed up
	Errors    []error         // what could not be listed; the rest was
	Unlisted  []sstable.Table // of which something could not be listed; without a name: all of the keyspace
	Started   time.Time
	Ended     time.Time
	// Quiet is for how long nothing of what is in backups/ and snapshots/ had changed when the scan
	// started, by the clock and the files' times: less than 0 if it changed since, or if the clock was set back.
	Quiet time.Duration

	directories []string // that exist and in which something new may appear
	absent      []string // backups and snapshots directories that don't exist yet
}

// Partial tells whether something could not be listed.
func (l Listing) Partial() bool { return len(l.Errors) > 0 }

// A Snapshot is one tag of one table, over all data directories.
type Snapshot struct {
	Table           sstable.Table
	Tag             string
	SSTables        []sstable.SSTable
	Manifests       []MetaFile // manifest.json: one in some data directory; in each one since 6.0
	Schemas         []MetaFile // schema.cql: likewise, and maybe in another directory; none up to 2.2
	LegacyEphemeral bool       // made by a repair (a file says so, up to 4.1)
	Partial         bool       // more of it may be where the scan could not look
}

// A MetaFile is a file that Cassandra writes beside the SSTables of a snapshot.
type MetaFile struct {
	DataDir string
	Rel     string // path relative to DataDir
	sstable.Fingerprint
}

// Path is where the file is.
func (m MetaFile) Path() string { return filepath.Join(m.DataDir, m.Rel) }

// Names in a snapshot's directory that are not components.
const (
	manifestName  = "manifest.json"
	schemaName    = "schema.cql"
	ephemeralName = "ephemeral.snapshot"
)

func compareTables(a, b sstable.Table) int {
	return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

func compareSets(a, b sstable.SSTable) int {
	return cmp.Or(cmp.Compare(a.DataDir, b.DataDir), cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Stem, b.Stem))
}

func compareMeta(a, b MetaFile) int {
	return cmp.Or(cmp.Compare(a.DataDir, b.DataDir), cmp.Compare(a.Rel, b.Rel))
}

// listing puts what was found in order, so that equal directories give equal
// listings.
func (s *scanner) listing() Listing {
	l := s.l
	l.Tables = slices.SortedFunc(maps.Keys(s.tables), compareTables)
	slices.SortFunc(l.Backups, compareSets)
	slices.Sort(l.Unknown)
	slices.Sort(l.directories)
	for _, sn := range s.snapshots {
		sn.Partial = slices.ContainsFunc(l.Unlisted, func(t sstable.Table) bool {
			return t == sn.Table || t == sstable.Table{Keyspace: sn.Table.Keyspace}
		})
		slices.SortFunc(sn.SSTables, compareSets)
		slices.SortFunc(sn.Manifests, compareMeta)
		slices.SortFunc(sn.Schemas, compareMeta)
		l.Snapshots = append(l.Snapshots, *sn)
	}
	slices.SortFunc(l.Snapshots, func(a, b Snapshot) int {
		return cmp.Or(compareTables(a.Table, b.Table), cmp.Compare(a.Tag, b.Tag))
	})
	l.Quiet, l.Ended = l.Started.Sub(s.changed), time.Now()
	return l
}
