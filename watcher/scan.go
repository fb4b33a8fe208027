package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/sstable"
)

// Scan lists all backups/ below the data directories, and then all snapshots/: so
// what it sees in backups/ is older than a snapshot that it does not see, whichever
// data directories they are in. It reads no file.
//
// A data directory that is missing or can't be read is an error, since an empty
// listing would look as if there were nothing to back up. Below it, what can't be
// read is in the listing's Errors, and the rest is listed. Only a data directory
// itself may be a symbolic link.
func Scan(ctx context.Context, dataDirs []string) (Listing, error) {
	if len(dataDirs) == 0 {
		return Listing{}, errors.New("scan: no data directories are configured")
	}
	s := scanner{
		ctx:         ctx,
		l:           Listing{Started: time.Now()},
		tables:      map[sstable.Table]bool{},
		snapshots:   map[snapshotKey]*Snapshot{},
		filesystems: map[uint64]uint64{},
	}
	defer s.close()
	var seen []os.FileInfo
	for _, path := range dataDirs {
		info, err := s.dataDir(path)
		if err := ctx.Err(); err != nil {
			return Listing{}, err
		}
		if err != nil {
			return Listing{}, fmt.Errorf("scan data directory: %w; check that its disk is mounted, that sstash may read it, and that the database has it, too", err)
		}
		for i, other := range seen {
			if os.SameFile(info, other) {
				return Listing{}, fmt.Errorf("scan: data directories %s and %s are the same; configure one of them", dataDirs[i], path)
			}
		}
		seen = append(seen, info)
	}
	for _, t := range s.found {
		s.snapshotsOf(t)
	}
	if err := ctx.Err(); err != nil {
		return Listing{}, err
	}
	return s.listing(), nil
}

// A scanner collects what one scan finds.
type scanner struct {
	ctx         context.Context
	l           Listing
	tables      map[sstable.Table]bool
	snapshots   map[snapshotKey]*Snapshot
	filesystems map[uint64]uint64 // by device
	changed     time.Time         // the newest of all entries in backups/ and snapshots/
	roots       []directory       // the data directories
	found       []place
}

// A place is a table in one data directory.
type place struct {
	root  directory
	table sstable.Table
}

type snapshotKey struct {
	table sstable.Table
	tag   string
}

func (s *scanner) dataDir(path string) (fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	d := directory{File: f, dataDir: path}
	s.roots = append(s.roots, d)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	entries, err := s.entries(d)
	if err != nil {
		return nil, err
	}
	s.l.directories = append(s.l.directories, d.path(""))
	for _, e := range entries {
		switch {
		case sstable.IsKeyspaceDir(e.name) && !e.isRegular():
			s.keyspace(d, e.name)
		case e.name != "lost+found":
			s.unknown(d, e.name)
		}
	}
	return info, nil
}

func (s *scanner) close() {
	for _, d := range s.roots {
		d.Close()
	}
}

func (s *scanner) keyspace(parent directory, name string) {
	s.within(parent, name, sstable.Table{Keyspace: name}, func(d directory, entries []entry) {
		s.l.directories = append(s.l.directories, d.path(""))
		for _, e := range entries {
			table, ok := sstable.ParseTableDir(name, e.name)
			switch {
			case ok && !e.isRegular():
				s.table(d, table)
			case name == "system" && e.name == "_paxos_repair_state": // 4.1+; no table
			default:
				s.unknown(d, e.name)
			}
		}
	})
}

// table opens backups/ and does not list the table's own directory: it may hold a
// hundred thousand live files.
func (s *scanner) table(parent directory, table sstable.Table) {
	d, err := parent.open(table.Dir())
	if err != nil {
		s.fail(table, err)
		return
	}
	defer d.Close()
	s.tables[table] = true
	s.found = append(s.found, place{s.roots[len(s.roots)-1], table})
	if !s.within(d, "backups", table, func(d directory, entries []entry) { s.backups(d, table, entries) }) {
		s.l.absent = append(s.l.absent, d.path("backups"))
	}
}

func (s *scanner) snapshotsOf(p place) {
	name := filepath.Join(p.table.Keyspace, p.table.Dir(), "snapshots")
	if !s.within(p.root, name, p.table, func(d directory, entries []entry) { s.tags(d, p.table, entries) }) {
		s.l.absent = append(s.l.absent, p.root.path(name))
	}
}

// within lists a directory inside parent and calls f with it. It answers false if
// there is none.
func (s *scanner) within(parent directory, name string, scope sstable.Table, f func(directory, []entry)) bool {
	d, err := parent.open(name)
	if err != nil {
		return s.fail(scope, err)
	}
	defer d.Close()
	entries, err := s.entries(d)
	if err != nil {
		return s.fail(scope, err)
	}
	f(d, entries)
	return true
}

// fail notes an error, unless it says that the directory is gone: then it answers
// false.
func (s *scanner) fail(scope sstable.Table, err error) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	s.l.Errors = append(s.l.Errors, err)
	s.l.Unlisted = append(s.l.Unlisted, scope)
	return true
}

func (s *scanner) unknown(d directory, name string) {
	s.l.Unknown = append(s.l.Unknown, d.path(name))
}

func (s *scanner) backups(d directory, table sstable.Table, entries []entry) {
	s.l.directories = append(s.l.directories, d.path(""))
	s.note(entries)
	sets, rest := group(d, table, "", entries)
	s.l.Backups = append(s.l.Backups, sets...)
	for _, e := range rest {
		if !e.isDir() || !sstable.IsIndexDir(e.name) {
			s.unknown(d, e.name)
			continue
		}
		s.within(d, e.name, table, func(d directory, entries []entry) {
			s.l.directories = append(s.l.directories, d.path(""))
			s.l.Backups = append(s.l.Backups, s.index(d, table, entries)...)
		})
	}
}

func (s *scanner) tags(d directory, table sstable.Table, entries []entry) {
	s.l.directories = append(s.l.directories, d.path(""))
	s.note(entries)
	for _, e := range entries {
		if !e.isDir() {
			s.unknown(d, e.name)
			continue
		}
		s.within(d, e.name, table, func(d directory, entries []entry) { s.snapshot(d, table, e.name, entries) })
	}
}

func (s *scanner) snapshot(d directory, table sstable.Table, tag string, entries []entry) {
	key := snapshotKey{table, tag}
	sn := s.snapshots[key]
	if sn == nil {
		sn = &Snapshot{Table: table, Tag: tag}
		s.snapshots[key] = sn
	}
	s.note(entries)
	sets, rest := group(d, table, "", entries)
	sn.SSTables = append(sn.SSTables, sets...)
	for _, e := range rest {
		meta := MetaFile{d.dataDir, filepath.Join(d.rel, e.name), e.Fingerprint}
		switch {
		case e.isDir() && sstable.IsIndexDir(e.name):
			s.within(d, e.name, table, func(d directory, entries []entry) {
				sn.SSTables = append(sn.SSTables, s.index(d, table, entries)...)
			})
		case e.isRegular() && e.name == manifestName:
			sn.Manifests = append(sn.Manifests, meta)
		case e.isRegular() && e.name == schemaName:
			sn.Schemas = append(sn.Schemas, meta)
		case e.isRegular() && e.name == ephemeralName:
			sn.LegacyEphemeral = true
		default:
			s.unknown(d, e.name)
		}
	}
}

// note takes note of when these have changed last.
func (s *scanner) note(entries []entry) {
	for _, e := range entries {
		if e.changed.After(s.changed) {
			s.changed = e.changed
		}
	}
}

// index gives the sets of a table-backed secondary index.
func (s *scanner) index(d directory, table sstable.Table, entries []entry) []sstable.SSTable {
	s.note(entries)
	sets, rest := group(d, table, filepath.Base(d.rel), entries)
	for _, e := range rest {
		s.unknown(d, e.name)
	}
	return sets
}

// group makes sets of the components among the entries, which are sorted: so names
// with the same stem are neighbours, and components are in order.
func group(d directory, table sstable.Table, index string, entries []entry) (sets []sstable.SSTable, rest []entry) {
	for _, e := range entries {
		n, ok := sstable.ParseName(e.name)
		if !ok || n.Temporary || !e.isRegular() {
			rest = append(rest, e)
			continue
		}
		if len(sets) == 0 || sets[len(sets)-1].Stem != n.Stem {
			sets = append(sets, sstable.SSTable{Table: table, Index: index, Stem: n.Stem, DataDir: d.dataDir, Dir: d.rel})
		}
		last := &sets[len(sets)-1]
		last.Files = append(last.Files, sstable.File{Component: n.Component, Fingerprint: e.Fingerprint, Links: e.links})
	}
	return sets, rest
}
