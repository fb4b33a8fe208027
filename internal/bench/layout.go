package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sstash/sstash/internal/sstable"
)

// snapshot lays the data set, or some tables of it, out below tree the way Cassandra does, as a snapshot
// under another tag: hard links, and a manifest.json and schema.cql of its own.
func (d dataset) snapshot(tree, as string, tables ...string) error {
	if len(tables) == 0 {
		tables = []string{"*"}
	}
	var made []string
	for _, table := range tables {
		found, err := filepath.Glob(filepath.Join(d.dir, "*", keyspace, table+"-*", "snapshots", tag))
		if err != nil {
			return err
		}
		made = append(made, found...)
	}
	for _, from := range made {
		table, err := filepath.Rel(d.dir, filepath.Dir(from))
		if err != nil {
			return err
		}
		if err := link(from, filepath.Join(tree, table, as)); err != nil {
			return fmt.Errorf("link snapshot: %w", err)
		}
	}
	return nil
}

// link fills directory to with what is in from: SSTables by hard link, the rest by copy.
func link(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if _, ok := sstable.ParseName(e.Name()); ok {
			err = os.Link(path, target)
		} else {
			var content []byte
			if content, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(target, content, 0o644)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// volume is how much there is somewhere.
type volume struct {
	files, sstables int // files of SSTables, and these
	bytes           int64
}

// count counts the SSTables below dir.
func count(dir string) (v volume, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted away just now
		}
		if err != nil || e.IsDir() {
			return err
		}
		name, ok := sstable.ParseName(e.Name())
		if !ok {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		v.files++
		v.bytes += info.Size()
		if name.Component == sstable.Data {
			v.sstables++
		}
		return nil
	})
	return v, err
}

// contents is what the data set has, by table and in all.
func (d dataset) contents() (tables []held, all volume, err error) {
	made, err := filepath.Glob(filepath.Join(d.dir, "*", keyspace, "*", "snapshots", tag))
	if err != nil {
		return nil, all, err
	}
	at := map[string]int{}
	for _, path := range made {
		v, err := count(path)
		if err != nil {
			return nil, all, err
		}
		name, _, _ := strings.Cut(filepath.Base(filepath.Dir(filepath.Dir(path))), "-")
		if _, ok := at[name]; !ok {
			at[name] = len(tables)
			tables = append(tables, held{table: name})
		}
		tables[at[name]].add(v)
		all.add(v)
	}
	return tables, all, nil
}

func (v *volume) add(o volume) {
	v.files += o.files
	v.sstables += o.sstables
	v.bytes += o.bytes
}
