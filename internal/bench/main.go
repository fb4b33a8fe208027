// Bench measures sstash on SSTables that a real Cassandra wrote, beside a plain copy and, where it is
// installed, restic: a first pass, a second one over another snapshot of the same files, a restore;
// each table alone; a scan of a node full of links; and how soon a flush after quiet is durable. It prints
// what it measured, and fails only when too little comes back from columns.
//
// All commands of a run get the same: one file system, a warm page cache, sstash's own low priority,
// their defaults. What they cost is compared within the run, since machines differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
)

type options struct {
	sstash   string
	size     string
	runs     int
	markdown bool
	flushes  bool
	data     bool
	large    string
}

func main() {
	var o options
	flag.StringVar(&o.sstash, "sstash", "bin/sstash", "the program")
	flag.StringVar(&o.size, "size", "1GiB", "of the SSTables, which are made once and kept in the test cache")
	flag.IntVar(&o.runs, "runs", 3, "trials of each program; the quickest counts")
	flag.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	flag.BoolVar(&o.flushes, "flushes", false, "measure only how soon a flush is durable, a minute")
	flag.BoolVar(&o.data, "data", false, "only make the SSTables")
	flag.StringVar(&o.large, "large", "", "store only one SSTable of this size, such as 20GB, and print what that takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) error {
	if o.data {
		return makeData(ctx, o.size)
	}
	if o.runs < 1 {
		return fmt.Errorf("-runs %d: want at least 1", o.runs)
	}
	binary, err := filepath.Abs(o.sstash)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(binary); err != nil {
		return fmt.Errorf("find the program to measure: %w", err)
	}
	if o.large != "" {
		return large(ctx, binary, o)
	}
	r := report{command: "go run ./internal/bench " + strings.Join(os.Args[1:], " "), loads: [2]string{load()}}
	if err := r.measure(ctx, binary, o); err != nil {
		return err
	}
	r.loads[1] = load()
	print := r.text
	if o.markdown {
		print = r.markdown
	}
	return errors.Join(print(os.Stdout), fallen(r.tables))
}

// makeData says what there is.
func makeData(ctx context.Context, size string) error {
	d, err := openDataset(ctx, size)
	if err != nil {
		return err
	}
	var r report
	if r.tables, r.data, err = d.contents(); err != nil {
		return err
	}
	logf("%s", d.dir)
	return r.dataGrid().text(os.Stdout)
}

func large(ctx context.Context, binary string, o options) error {
	bytes, err := humanize.ParseBytes(o.large)
	if err != nil {
		return fmt.Errorf("parse size: %w", err)
	}
	d, err := openDataset(ctx, o.size)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(d.dir), "bench-large-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // as in measure
	return measureLarge(ctx, d, binary, dir, int64(bytes))
}

func (r *report) measure(ctx context.Context, binary string, o options) error {
	place := os.TempDir()
	var d dataset
	if !o.flushes {
		var err error
		if d, err = openDataset(ctx, o.size); err != nil {
			return err
		}
		place = filepath.Dir(d.dir) // hard links need one file system
	}
	dir, err := os.MkdirTemp(place, "bench-run-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what it measured is worth more than a clean cache
	if r.host, err = host(binary, dir); err != nil {
		return err
	}
	if !o.flushes {
		if r.tables, r.data, err = d.contents(); err != nil {
			return err
		}
		logf("what comes back")
		if err := d.encode(r.tables); err != nil {
			return err
		}
		if err := r.try(ctx, d, binary, dir, o.runs); err != nil {
			return err
		}
		logf("scan")
		if r.scan, err = measureScan(ctx, filepath.Join(dir, "scan"), linkedSets, linkedTables); err != nil {
			return err
		}
	}
	logf("flushes")
	r.flushes, err = measureFlushes(ctx, binary, dir, flushNodes, flushEach)
	return err
}

// try runs all trials, the tools in turn.
func (r *report) try(ctx context.Context, d dataset, binary, dir string, runs int) error {
	balanced, dense := sstash(binary, "balanced", 1), sstash(binary, "dense", 1)
	tools := []func(workplace) tool{copying, sstash(binary, "fast", 1), sstash(binary, "fast", 2), balanced, sstash(binary, "balanced", 2), dense}
	each := []func(workplace) tool{balanced, dense}
	r.reference = "cp"
	if _, err := exec.LookPath("restic"); err == nil {
		tools, each = append(tools, restic), append(each, restic)
		r.reference = "restic"
	}
	logf("each table alone")
	if err := r.storeEach(ctx, d, each, dir); err != nil {
		return err
	}
	for i := range runs {
		for j, tool := range tools {
			at := filepath.Join(dir, "trial")
			if err := os.Mkdir(at, 0o700); err != nil {
				return err
			}
			t, err := try(ctx, d, tool, at)
			if err != nil {
				return fmt.Errorf("try %s: %w", t.tool, err)
			}
			logf("run %d of %d: %s: %.1f s, %.1f s, %.1f s", i+1, runs, t.tool, t.first.wall.Seconds(), t.second.wall.Seconds(), t.restore.wall.Seconds())
			if i == 0 {
				r.trials = append(r.trials, t)
			} else {
				r.trials[j] = best(r.trials[j], t)
			}
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// logf says on stderr how far we are.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
