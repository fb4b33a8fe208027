// Package sstable knows the file formats of Cassandra: directory and file names,
// components, and as much of CompressionInfo.db, Statistics.db, Summary.db,
// TOC.txt and a snapshot's manifest.json as a backup needs. It covers SSTable
// versions ka (2.1) to pa and ea (6.0), and takes later version letters as data.
//
// It is a pure leaf: no file is opened here. Every parser takes the bytes of one
// file, which may be hostile: counts are checked against the bytes that are there
// before anything is allocated, and nothing panics. All of it is safe for
// concurrent use.
package sstable

import (
	"path/filepath"
	"strings"
)

// A Table is one table of a node. Tables are told apart by ID, not by name: a
// table that is dropped and created again keeps the directory of its old id.
type Table struct {
	Keyspace string `json:"keyspace"`
	Name     string `json:"table"`
	ID       string `json:"id"` // 32 lower-case hex digits of the table's UUID; "" where the directory carries none (before 2.1)
}

// ParseTableDir tells which table a directory below a keyspace's directory
// belongs to: <name>-<id>, or <name> alone. It answers false for any other name,
// and for what Cassandra keeps beside tables in its own keyspaces.
func ParseTableDir(keyspace, dir string) (Table, bool) {
	name, id, dashed := strings.Cut(dir, "-")
	switch {
	case !isWord(keyspace) || !isWord(name):
	case keyspace == "system" && name == "_paxos_repair_state": // 4.1+: uncommitted paxos state, no table
	case !dashed:
		return Table{Keyspace: keyspace, Name: name}, true
	case len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "":
		return Table{Keyspace: keyspace, Name: name, ID: id}, true
	}
	return Table{}, false
}

// IsKeyspaceDir tells whether a directory below a data directory may be a
// keyspace's.
func IsKeyspaceDir(dir string) bool { return isWord(dir) }

// IsSystemKeyspace tells whether Cassandra itself made the keyspace.
func IsSystemKeyspace(keyspace string) bool {
	return keyspace == "system" || strings.HasPrefix(keyspace, "system_")
}

// Dir is the name of the table's directory: ParseTableDir(t.Keyspace, t.Dir()) is t.
func (t Table) Dir() string {
	if t.ID == "" {
		return t.Name
	}
	return t.Name + "-" + t.ID
}

// A Fingerprint tells a file from all others of the node without reading it, and
// one state of the file from later ones. It is what a link is checked against
// before it is unlinked (I8).
type Fingerprint struct {
	FS    uint64 // id of the filesystem
	Inode uint64
	Size  int64 // bytes
	Mtime int64 // nanoseconds since 1970
}

// A File is one component of an SSTable as a directory shows it.
type File struct {
	Component string // as in "Data.db"
	Fingerprint
	Links uint64 // names that the inode has; 1 in backups/ means that Cassandra has dropped the file
	Dir   string // relative to the data directory, where the file is not in the SSTable's own; else ""
}

// An SSTable is the set of files of one id in one directory, whatever its
// completeness. The same SSTable, hard-linked, is often in several directories.
type SSTable struct {
	Table   Table
	Index   string // the sub-directory of a table-backed secondary index, as in ".users_city"; "" for the table's own. Up to 2.1 indexes have none: Name().Index tells
	Stem    string // what the file names share, as in "nb-12-big"
	DataDir string // the data directory, as configured
	Dir     string // the directory of the files, relative to DataDir
	Files   []File // by component
}

// Name is what the SSTable's file names say; its Component is "".
func (s SSTable) Name() Name {
	n, _ := ParseName(s.Stem + "-" + Data)
	n.Component = ""
	return n
}

// File finds a component.
func (s SSTable) File(component string) (File, bool) {
	for _, f := range s.Files {
		if f.Component == component {
			return f, true
		}
	}
	return File{}, false
}

// Components are the names of the components that are there, sorted.
func (s SSTable) Components() []string {
	names := make([]string, len(s.Files))
	for i, f := range s.Files {
		names[i] = f.Component
	}
	return names
}

// Rel is the path of a component relative to DataDir, whether it is there or not.
func (s SSTable) Rel(component string) string {
	return filepath.Join(s.Dir, s.Stem+"-"+component)
}

// Place names the files of the SSTable on its node, for people: "…/nb-7-big-*".
func (s SSTable) Place() string { return filepath.Join(s.DataDir, s.Rel("*")) }

// Path is where a file of the SSTable is, relative to DataDir.
func (s SSTable) Path(f File) string {
	if f.Dir != "" {
		return filepath.Join(f.Dir, s.Stem+"-"+f.Component)
	}
	return s.Rel(f.Component)
}

// Size is the sum of all files, in bytes.
func (s SSTable) Size() int64 {
	var n int64
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}

// isWord tells whether s could name a keyspace or a table: \w+ (Cassandra
// SchemaConstants; the length limit differs by version and is not checked).
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}
