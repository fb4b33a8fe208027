package watcher

import (
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/fixtures"
)

// counts are the SSTables, files and bytes of one place: a backups/ or one tag.
type counts struct {
	sets, files int
	bytes       int64
}

func (c *counts) add(sets, files int, bytes int64) {
	c.sets, c.files, c.bytes = c.sets+sets, c.files+files, c.bytes+bytes
}

// walk classifies all files by splitting their paths, which the scan doesn't do.
func walk(t *testing.T, node string) map[string]counts {
	t.Helper()
	found := map[string]counts{}
	for _, dir := range fixtures.DataDirs(node) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, _ := filepath.Rel(dir, path)
			e := strings.Split(rel, "/") // keyspace, table, backups | snapshots, [tag], …
			if e[2] != "backups" && e[2] != "snapshots" {
				return nil
			}
			key := e[0] + "/" + e[1] + "/" + e[2]
			if e[2] == "snapshots" {
				key += "/" + e[3]
			}
			c := found[key]
			defer func() { found[key] = c }()
			if d.Name() == "manifest.json" || d.Name() == "schema.cql" {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			c.add(0, 1, info.Size())
			if strings.HasSuffix(d.Name(), "-Data.db") {
				c.sets++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Every SSTable that real nodes of seven generations linked is found where it is,
// and judged complete.
func TestFixtures(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			node := fixtures.Unpack(t, variant)
			l := scan(t, fixtures.DataDirs(node)...)
			wantList(t, "unknown", l.Unknown)
			if l.Partial() {
				t.Error(l.Errors)
			}
			got := map[string]counts{}
			for _, s := range l.Backups {
				key := s.Table.Keyspace + "/" + s.Table.Dir() + "/backups"
				c := got[key]
				c.add(1, len(s.Files), s.Size())
				got[key] = c
			}
			for _, sn := range l.Snapshots {
				var c counts
				for _, s := range sn.SSTables {
					c.add(1, len(s.Files), s.Size())
				}
				got[sn.key()] = c
			}
			if want := walk(t, node); !maps.Equal(got, want) {
				t.Errorf("scan and walk differ:\nscan %v\nwalk %v", got, want)
			}
			judgeAll(t, l, variant)
		})
	}
}

// judgeAll: nothing is ready at first sight, everything is after it has settled.
func judgeAll(t *testing.T, l Listing, variant string) {
	t.Helper()
	j := &Judge{Settle: time.Second, Patience: time.Minute}
	now := time.Unix(1e9, 0)
	for _, s := range l.Backups {
		if v := j.Backup(s, now); v.State != Waiting {
			t.Errorf("%s: %+v at first sight", s.Rel(""), v)
		}
	}
	for _, sn := range l.Snapshots {
		if v := j.Snapshot(sn, now); v.State != Waiting {
			t.Errorf("%s: %+v at first sight", sn.key(), v)
		}
	}
	now = now.Add(j.Settle)
	for _, s := range l.Backups {
		if v := j.Backup(s, now); v.State != Ready || len(v.Missing) > 0 {
			t.Errorf("%s: %+v", s.Rel(""), v)
		}
	}
	schemas := 0
	for _, sn := range l.Snapshots {
		v := j.Snapshot(sn, now)
		if v.State != Ready || len(v.Missing) > 0 || v.Ephemeral {
			t.Errorf("%s: %+v", sn.key(), v)
		}
		if v.CreatedAt.IsZero() != (variant < "4.1") {
			t.Errorf("%s: created at %s", sn.key(), v.CreatedAt)
		}
		if v.SchemaCQL != "" {
			schemas++
		}
		if v.SchemaCQL != "" && !strings.Contains(v.SchemaCQL, "CREATE TABLE IF NOT EXISTS ") &&
			!strings.Contains(v.SchemaCQL, "CREATE MATERIALIZED VIEW IF NOT EXISTS ") {
			t.Errorf("%s: schema.cql %q", sn.key(), v.SchemaCQL)
		}
	}
	if (schemas == 0) != (variant < "3") {
		t.Errorf("%d schemas", schemas)
	}
}
