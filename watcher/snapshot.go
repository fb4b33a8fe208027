package watcher

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// Snapshot judges a snapshot of a table, as of now. Cassandra links all SSTables,
// then writes manifest.json, then schema.cql, then (up to 4.1) ephemeral.snapshot, so
// it is complete when manifest.json can be read, every file that it names and every
// set that is there is complete, schema.cql is there if the version writes one, and
// nothing has changed for Settle. A schema.cql is given up after Patience.
func (j *Judge) Snapshot(sn Snapshot, now time.Time) Verdict {
	since := j.sight(sn.key(), sn.metaFiles(), now).since
	var faulty *sighting // a set that is not ready, a quarantined one if there is any
	var name string
	var damaged []string
	for _, set := range sn.SSTables {
		seen := j.set(set, now)
		if seen.since.After(since) {
			since = seen.since
		}
		if st := seen.verdict.State; st != Ready && (faulty == nil || st > faulty.verdict.State) {
			faulty, name = seen, filepath.Join(set.Index, set.Stem)
		} else if st == Ready && seen.verdict.Why != "" {
			damaged = append(damaged, filepath.Join(set.Index, set.Stem)+": "+seen.verdict.Why)
		}
	}
	v := Verdict{Ephemeral: sn.LegacyEphemeral}
	switch age := now.Sub(since); {
	case !j.settled(age):
		v.Why = j.settling()
	case faulty != nil:
		v.State, v.Why, v.Missing = faulty.verdict.State, name+": "+faulty.verdict.Why, faulty.verdict.Missing
	default:
		j.whole(&v, sn, age)
		if v.State == Ready {
			v.Why = strings.Join(damaged, "; ")
		}
	}
	return v
}

// whole judges a snapshot all of whose sets are ready. It reads the files anew each
// time: a snapshot that is being cleared must not pass for what it was.
func (j *Judge) whole(v *Verdict, sn Snapshot, age time.Duration) {
	m, err := sn.manifest()
	if err != nil {
		v.State, v.Why = j.held(age), err.Error()
		return
	}
	v.CreatedAt, v.ExpiresAt = m.CreatedAt, m.ExpiresAt
	v.Ephemeral = v.Ephemeral || m.Ephemeral
	if sn.Partial {
		v.Why = "a part of it could not be listed"
		return
	}
	if v.Missing = sn.missing(m); len(v.Missing) > 0 {
		v.State, v.Why = j.held(age), "waiting for "+strings.Join(v.Missing, ", ")
		return
	}
	v.SchemaCQL, err = sn.schema()
	if err != nil || v.SchemaCQL == "" && sn.expectsSchema() {
		v.Missing = []string{schemaName}
		if age < j.Patience {
			v.Why = "waiting for " + schemaName
			return
		}
	}
	v.State = Ready
}

func (sn Snapshot) key() string {
	return fmt.Sprintf("%s/%s/snapshots/%s", sn.Table.Keyspace, sn.Table.Dir(), sn.Tag)
}

// metaFiles are the files whose change is a change of the snapshot, besides those
// of its sets.
func (sn Snapshot) metaFiles() []sstable.File {
	var files []sstable.File
	for _, list := range [][]MetaFile{sn.Manifests, sn.Schemas} {
		for _, m := range list {
			files = append(files, sstable.File{Component: m.Path(), Fingerprint: m.Fingerprint})
		}
	}
	return files
}

// manifest joins the manifest.json of all data directories.
func (sn Snapshot) manifest() (sstable.SnapshotManifest, error) {
	if len(sn.Manifests) == 0 {
		return sstable.SnapshotManifest{}, errors.New("waiting for " + manifestName)
	}
	var all sstable.SnapshotManifest
	for _, f := range sn.Manifests {
		b, err := readFile(f.DataDir, f.Rel, f.Fingerprint, manifestLimit)
		if err != nil {
			return all, err
		}
		m, err := sstable.ParseSnapshotManifest(b)
		if err != nil {
			return all, fmt.Errorf("%s: %w", f.Path(), err)
		}
		m.Files = append(all.Files, m.Files...)
		m.Ephemeral = m.Ephemeral || all.Ephemeral
		all = m
	}
	return all, nil
}

// missing are the data files of m that are in no data directory.
func (sn Snapshot) missing(m sstable.SnapshotManifest) (files []string) {
	have := map[string]bool{}
	for _, set := range sn.SSTables {
		have[filepath.Join(set.Index, set.Stem+"-"+sstable.Data)] = true
	}
	for _, f := range m.Files {
		if !have[f] {
			files = append(files, f)
			have[f] = true
		}
	}
	return files
}

// schema is the first schema.cql that is not empty.
func (sn Snapshot) schema() (string, error) {
	for _, f := range sn.Schemas {
		b, err := readFile(f.DataDir, f.Rel, f.Fingerprint, schemaLimit)
		if err != nil || len(b) > 0 {
			return string(b), err
		}
	}
	return "", nil
}

// expectsSchema: Cassandra 3.0.9 and later write a schema.cql, but not for their own
// keyspaces. Where nothing tells the version, one may come.
func (sn Snapshot) expectsSchema() bool {
	if sstable.IsSystemKeyspace(sn.Table.Keyspace) {
		return false
	}
	for _, set := range sn.SSTables {
		if n := set.Name(); n.Format == "big" && n.Version < "ma" {
			return false
		}
	}
	return true
}
