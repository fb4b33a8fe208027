package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/cassandratest"
)

// dataset is a keyspace on disk, with the snapshot that a real Cassandra took of it: below dir,
// <data directory>/bench/<table>-<id>/snapshots/bench/.
type dataset struct{ dir string }

const keyspace, tag = "bench", "bench"

// openDataset returns the data set of that size in the test cache, made on the first call: several
// minutes for a gigabyte. Remove it after changes to how it is made.
func openDataset(ctx context.Context, size string) (dataset, error) {
	bytes, err := humanize.ParseBytes(size)
	if err != nil {
		return dataset{}, fmt.Errorf("parse size: %w", err)
	}
	lib, _, err := cassandratest.Jars(ctx)
	if err != nil {
		return dataset{}, err
	}
	cache := filepath.Dir(filepath.Dir(lib)) // the test cache, in which Cassandra lies
	d := dataset{filepath.Join(cache, "bench-"+strings.ReplaceAll(size, " ", ""))}
	if _, err := os.Stat(d.dir); !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	making := d.dir + ".new"
	if err := os.RemoveAll(making); err != nil {
		return d, err
	}
	if err := makeDataset(ctx, making, int64(bytes)); err != nil {
		return d, fmt.Errorf("make data set: %w", err)
	}
	return d, os.Rename(making, d.dir)
}

func makeDataset(ctx context.Context, dir string, size int64) error {
	text, err := readProse(documentation())
	if err != nil {
		return err
	}
	logf("a real Cassandra makes %s of SSTables, once", humanize.IBytes(uint64(size)))
	home := filepath.Join(dir, "node")
	node, err := cassandratest.Start(ctx, cassandratest.Options{
		Dir: home, HeapMB: 1536,
		JVMArgs: []string{"-XX:TieredStopAtLevel=4", "-Xmn768m"}, // it lives long enough for the better compiler
		Config: map[string]any{
			"incremental_backups":                             false, // they would keep every compacted file
			"memtable_heap_space":                             "256MiB",
			"batch_size_warn_threshold":                       "1024KiB",
			"batch_size_fail_threshold":                       "1024KiB",
			"unlogged_batch_across_partitions_warn_threshold": 10_000,
		},
	})
	if err != nil {
		return err
	}
	defer node.Kill()
	if err := fill(ctx, node, text, size); err != nil {
		return err
	}
	if _, err := node.RunNodetool(ctx, "snapshot", "-t", tag, keyspace); err != nil {
		return err
	}
	if err := node.Stop(ctx); err != nil {
		return err
	}
	for _, data := range node.DataDirs {
		to := filepath.Join(dir, filepath.Base(data), keyspace)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(data, keyspace), to); err != nil {
			return err
		}
	}
	return os.RemoveAll(home)
}

// fill writes in rounds, each of which ends with a flush and what that makes compaction do, until the
// SSTables have reached size.
func fill(ctx context.Context, node *cassandratest.Node, text *prose, size int64) error {
	session, err := node.Session()
	if err != nil {
		return err
	}
	defer session.Close()
	loaders, err := createTables(session, text)
	if err != nil {
		return err
	}
	for {
		g, gctx := errgroup.WithContext(ctx)
		for _, l := range loaders {
			g.Go(func() error { return l.load(gctx, session, size/8) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if _, err := node.RunNodetool(ctx, "flush", keyspace); err != nil {
			return err
		}
		if err := compacted(ctx, node); err != nil {
			return err
		}
		have, err := live(node)
		if err != nil || have >= size {
			return err
		}
		logf("%s of %s", humanize.IBytes(uint64(have)), humanize.IBytes(uint64(size)))
	}
}

// loader fills one table.
type loader struct {
	table
	next    func() []any
	rand    *rand.Rand
	written int64 // the last row's write time, microseconds
}

func createTables(s *cassandratest.Session, text *prose) ([]*loader, error) {
	statements := []string{"CREATE KEYSPACE " + keyspace + " WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1} AND durable_writes = false"}
	var loaders []*loader
	for i, t := range tables() {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s.%s %s", keyspace, t.name, t.columns))
		r := rand.New(rand.NewPCG(1, uint64(i)))
		loaders = append(loaders, &loader{t, t.rows(r, text), r, start().UnixMicro()})
	}
	for _, cql := range statements {
		if err := s.Query(cql).Exec(); err != nil {
			return nil, fmt.Errorf("%s: %w", cql, err)
		}
	}
	return loaders, nil
}

// load writes the table's share of so many bytes, in batches of some 32 KiB, with write times as if
// the rows had come one by one.
func (l *loader) load(ctx context.Context, s *cassandratest.Session, bytes int64) error {
	cql := fmt.Sprintf("INSERT INTO %s.%s (%s) VALUES (?%s) USING TIMESTAMP ?", keyspace, l.name, l.insert, strings.Repeat(", ?", strings.Count(l.insert, ",")))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for left := int64(l.share * float64(bytes)); left > 0 && ctx.Err() == nil; {
		batch := s.Batch(gocql.UnloggedBatch)
		for size := 0; size < 32<<10; {
			row := l.next()
			size += weigh(row)
			left -= int64(weigh(row))
			l.written += 1 + l.rand.Int64N(4000)
			batch.Query(cql, append(slices.Clip(row), l.written)...)
		}
		g.Go(func() error { return batch.ExecContext(ctx) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("load %s: %w", l.name, err)
	}
	return nil
}

// compacted waits until compaction has nothing to do.
func compacted(ctx context.Context, node *cassandratest.Node) error {
	for {
		out, err := node.RunNodetool(ctx, "compactionstats")
		if err != nil || strings.Contains(strings.Join(strings.Fields(out), " "), "pending tasks 0 ") {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// live is how many bytes the keyspace's SSTables have.
func live(node *cassandratest.Node) (bytes int64, err error) {
	for _, data := range node.DataDirs {
		c, err := count(filepath.Join(data, keyspace))
		if err != nil {
			return 0, err
		}
		bytes += c.bytes
	}
	return bytes, nil
}
