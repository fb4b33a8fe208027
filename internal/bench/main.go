// Bench measures sstash on SSTables that a real Cassandra wrote, beside a plain copy and, where it is
// installed, restic: a first pass, a second one over another snapshot of the same files, a restore;
// a scan of a node full of links; and how soon a flush after quiet is durable. It prints what it measured, and asserts nothing.
//
// All commands of a run get the same: one file system, a warm page cache, sstash's own low priority,
// their defaults. What they cost is compared within the run, since machines differ.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

type options struct {
	sstash   string
	size     string
	runs     int
	markdown bool
	flushes  bool
}

func main() {
	var o options
	flag.StringVar(&o.sstash, "sstash", "bin/sstash", "the program")
	flag.StringVar(&o.size, "size", "1GiB", "of the SSTables, which are made once and kept in the test cache")
	flag.IntVar(&o.runs, "runs", 3, "trials of each program; the quickest counts")
	flag.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	flag.BoolVar(&o.flushes, "flushes", false, "measure only how soon a flush is durable, a minute")
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
	r := report{command: "go run ./internal/bench " + strings.Join(os.Args[1:], " "), loads: [2]string{load()}}
	if err := r.measure(ctx, binary, o); err != nil {
		return err
	}
	r.loads[1] = load()
	if o.markdown {
		return r.markdown(os.Stdout)
	}
	return r.text(os.Stdout)
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
	tools := []func(workplace) tool{copying, sstash(binary, "fast"), sstash(binary, "balanced"), sstash(binary, "dense")}
	r.reference = "cp"
	if _, err := exec.LookPath("restic"); err == nil {
		tools = append(tools, restic)
		r.reference = "restic"
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
