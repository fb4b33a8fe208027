package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
)

// loading is one run of Load.
type loading struct {
	*filling
	loader *Loader
	id     chunker.Hash        // of the plan
	live   map[Name]string     // ids of the live tables
	states map[int][]loadState // of the SSTables, by table
	log    *replayed
}

// prepare finds out what an earlier run has done, refuses tables that are not empty, and makes those
// that are not there.
func (r *loading) prepare(ctx context.Context) error {
	var err error
	if r.id, err = r.plan.identity(); err != nil {
		return err
	}
	l := r.loader
	live, err := l.Session.Live(ctx)
	if err != nil {
		return err
	}
	if err := r.resume(live); err != nil {
		return err
	}
	if !l.AllowNotEmpty {
		if err := r.checkEmpty(ctx, live); err != nil {
			return err
		}
	}
	schema, err := r.plan.replay(live, l.Replication)
	if err != nil {
		return err
	}
	made, err := l.Session.Replay(ctx, schema)
	if err != nil {
		return err
	}
	r.report.noteSchema(schema, made)
	if live, err = l.Session.Live(ctx); err != nil {
		return err
	}
	for _, t := range r.plan.Tables {
		if id, ok := liveID(live, t.Target()); ok {
			r.live[t.Target()] = id
		}
	}
	return nil
}

// resume reads what an earlier run of this plan has loaded. What has been emptied since, or made
// anew, counts as not loaded.
func (r *loading) resume(live cassandra.Live) error {
	for i, t := range r.plan.Tables {
		n := t.Target()
		id, ok := liveID(live, n)
		states, done := r.dir.journal.loaded(r.id, n, id, len(t.SSTables))
		if !ok || done {
			clear(states)
		}
		r.states[i] = states
		if !begun(states) {
			continue
		}
		files, err := liveData(r.loader.tableDirs(n, id))
		if err != nil {
			return err
		}
		if len(files) > 0 {
			continue
		}
		clear(states)
		rec := loadRecord{Plan: r.id, Table: n, ID: id, State: emptied}
		if err := r.dir.journal.add(record{Load: &rec}); err != nil {
			return err
		}
	}
	return nil
}

func begun(states []loadState) bool {
	for _, s := range states {
		if s != "" {
			return true
		}
	}
	return false
}

// checkEmpty refuses tables that hold anything on this node, tombstones too: those would hide what is
// restored. Other nodes of the ring don't count: they may have been restored already.
func (r *loading) checkEmpty(ctx context.Context, live cassandra.Live) error {
	flush := map[string][]string{} // tables by keyspace
	dirs := map[Name][]string{}
	for i, t := range r.plan.Tables {
		n := t.Target()
		id, ok := liveID(live, n)
		if !ok || len(t.SSTables) == 0 && r.plan.Replay == nil || begun(r.states[i]) {
			continue
		}
		flush[n.Keyspace] = append(flush[n.Keyspace], n.Table)
		dirs[n] = r.loader.tableDirs(n, id)
	}
	for keyspace, tables := range flush {
		if err := r.loader.Tool.Flush(ctx, keyspace, tables...); err != nil {
			return err
		}
	}
	for range 10 { // what was truncated just now takes a moment to go
		full, err := holdData(dirs)
		if err != nil || len(full) == 0 {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	full, err := holdData(dirs)
	if err != nil || len(full) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s; truncate, restore under another name, or allow the mixture", ErrNotEmpty, some(full))
}

// holdData names the tables that have an SSTable in their directories.
func holdData(dirs map[Name][]string) (full []string, err error) {
	for n, in := range dirs {
		files, err := liveData(in)
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			full = append(full, n.String())
		}
	}
	return full, nil
}

// noteSchema adds what replaying the schema left out, and what may keep SSTables from loading.
func (r *Report) noteSchema(plan cassandra.ReplayPlan, made []cassandra.ReplayTable) {
	for _, note := range plan.Notes {
		r.Warnings = append(r.Warnings, Warning{Kind: WarnSchema, Text: note})
	}
	for _, t := range made {
		if len(t.LacksDropped) > 0 {
			r.Warnings = append(r.Warnings, Warning{Kind: WarnSchema, Tables: []string{t.TableName.String()}, Text: fmt.Sprintf(
				"the live table doesn't know the dropped columns %q: SSTables that hold them can't be loaded; "+
					"drop the table, if it is empty, and restore again", t.LacksDropped)})
		}
	}
}

// tableDirs are where the SSTables of a live table may be.
func (l *Loader) tableDirs(n Name, id string) []string {
	t := sstable.Table{Keyspace: n.Keyspace, Name: n.Table, ID: id}
	var dirs []string
	for _, d := range l.DataDirs {
		dirs = append(dirs, filepath.Join(d, n.Keyspace, t.Dir()), filepath.Join(d, n.Keyspace, n.Table))
	}
	return dirs
}

// liveFile is a Data.db of a live table.
type liveFile struct {
	path string
	size int64
}

// liveData lists the Data.db at the top level of dirs.
func liveData(dirs []string) ([]liveFile, error) {
	var files []liveFile
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if n, ok := sstable.ParseName(e.Name()); !ok || n.Component != sstable.Data || n.Index != "" {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // compacted meanwhile
			}
			if err != nil {
				return nil, err
			}
			files = append(files, liveFile{filepath.Join(dir, e.Name()), info.Size()})
		}
	}
	return files, nil
}
