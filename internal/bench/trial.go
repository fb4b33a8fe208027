package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// trial is what a tool took to store one snapshot of the data, then another one of the same files in
// the place of the first, and to restore that.
type trial struct {
	tool          string
	first, second pass
	restore       cost
}

type pass struct {
	cost
	added int64 // bytes, to the store
	data  int   // how many Data.db it read
}

// rest is how long a pass comes after its snapshot, as one by a timer does.
const rest = 3 * time.Second

// try lets a tool do all of it in dir, which is on the file system of the data.
func try(ctx context.Context, d dataset, tool func(workplace) tool, dir string) (trial, error) {
	w := workplace{dir}
	t := tool(w)
	r := trial{tool: t.name}
	if err := os.Mkdir(w.store(), 0o700); err != nil {
		return r, err
	}
	if t.setup != nil {
		if err := t.setup(ctx); err != nil {
			return r, err
		}
	}
	for i, p := range []*pass{&r.first, &r.second} {
		if err := os.RemoveAll(w.tree()); err != nil {
			return r, err
		}
		if err := d.snapshot(w.tree(), []string{"monday", "tuesday"}[i]); err != nil {
			return r, err
		}
		if err := sleep(ctx, rest); err != nil {
			return r, err
		}
		if err := p.measure(ctx, w, t.backups[i]); err != nil {
			return r, err
		}
	}
	if err := r.first.whole(w.tree()); err != nil {
		return r, err
	}
	if err := warm(w.store()); err != nil {
		return r, err
	}
	var err error
	if r.restore, err = measure(ctx, t.restore...); err != nil {
		return r, err
	}
	return r, same(w.tree(), w.restored())
}

func (p *pass) measure(ctx context.Context, w workplace, command []string) error {
	if err := warm(w.tree()); err != nil {
		return err
	}
	data, err := filepath.Glob(filepath.Join(w.tree(), "*", keyspace, "*", "snapshots", "*", "*-Data.db"))
	if err != nil {
		return err
	}
	reads, err := watchReads(data, unix.IN_ONESHOT)
	if err != nil {
		return err
	}
	defer reads.close()
	before, err := sum(w.store())
	if err != nil {
		return err
	}
	if p.cost, err = measure(ctx, command...); err != nil {
		return err
	}
	if p.data, err = reads.files(); err != nil {
		return err
	}
	after, err := sum(w.store())
	p.added = after - before
	return err
}

// whole holds when a first pass read every SSTable: one that left some for later took less.
func (p pass) whole(tree string) error {
	all, err := count(tree)
	if err == nil && p.data != all.sstables {
		err = fmt.Errorf("the first pass read %d of %d SSTables", p.data, all.sstables)
	}
	return err
}

// same holds when as many SSTables came back, with as many files and bytes. That they are the right
// ones is for the tests.
func same(tree, restored string) error {
	want, err := count(tree)
	if err != nil {
		return err
	}
	got, err := count(restored)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("restored %+v, stored %+v", got, want)
	}
	return nil
}

// best is the quicker of two trials in each of their parts: the one that others on the machine
// disturbed less.
func best(a, b trial) trial {
	quicker := func(a, b pass) pass {
		if b.wall < a.wall {
			return b
		}
		return a
	}
	a.first, a.second = quicker(a.first, b.first), quicker(a.second, b.second)
	if b.restore.wall < a.restore.wall {
		a.restore = b.restore
	}
	return a
}
