package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// storeEach has each tool store each table alone, in a store of its own: what tables share, such as chunks
// that are in two of them, is counted twice.
func (r *report) storeEach(ctx context.Context, d dataset, tools []func(workplace) tool, dir string) error {
	for i := range r.tables {
		t := &r.tables[i]
		for _, tool := range tools {
			at := filepath.Join(dir, "table")
			name, bytes, err := store(ctx, d, t.table, tool, at)
			if err != nil {
				return fmt.Errorf("store %s with %s: %w", t.table, name, err)
			}
			if i == 0 {
				r.storers = append(r.storers, name)
			}
			t.stored = append(t.stored, bytes)
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// store lets a tool store a table in dir, which is new, and returns what it added to an empty store.
func store(ctx context.Context, d dataset, table string, tool func(workplace) tool, dir string) (name string, bytes int64, err error) {
	w := workplace{dir}
	t := tool(w)
	if err := os.MkdirAll(w.store(), 0o700); err != nil {
		return t.name, 0, err
	}
	if t.setup != nil {
		if err := t.setup(ctx); err != nil {
			return t.name, 0, err
		}
	}
	if err := d.snapshot(w.tree(), "monday", table); err != nil {
		return t.name, 0, err
	}
	before, err := sum(w.store())
	if err != nil {
		return t.name, 0, err
	}
	if err := run(ctx, t.backups[0]); err != nil {
		return t.name, 0, err
	}
	after, err := sum(w.store())
	return t.name, after - before, err
}
