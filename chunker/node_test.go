package chunker_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/internal/cassandratest"
)

// Everything that a real node writes comes back: what it flushed, what it compacted, and its own tables.
// What LZ4 compressed is split into columns, all of it, and makes Index.db again.
func TestI6_RowsOfANode(t *testing.T) {
	n := cassandratest.New(t, cassandratest.Options{Config: map[string]any{
		"storage_compatibility_mode": compatible,
		"batch_size_warn_threshold":  "1MiB",
		"batch_size_fail_threshold":  "1MiB",
	}})
	tables := nodeTables()
	writeTables(t, n, tables)
	byTable := map[string]*tally{}
	versions := map[string]int{}
	indexes, longest, largest := indexTally{}, uint64(0), 0
	e, d := newEncoder(t, chunker.Balanced), chunker.NewDecoder()
	for _, f := range readDataFiles(t, n.DataDirs...) {
		name := tableOf(f.path)
		if byTable[name] == nil {
			byTable[name] = &tally{}
		}
		var n tally
		for _, chunks := range []int{2, chunker.RowsSize / f.rows.Length} {
			n.check(t, e, f.pieces(chunks), f.rows)
		}
		byTable[name].add(n)
		if f.compressor == "LZ4Compressor" && len(f.index) > 0 && strings.HasPrefix(name, "k.") {
			indexes.check(t, e, d, f, f.pieces(chunker.RowsSize/f.rows.Length))
			if name == "k.wide" {
				longest = max(longest, longestEntry(f.index))
			}
			if name == "k.huge" {
				largest = max(largest, len(f.ends)*f.rows.Length)
			}
		}
		if f.compressor == "LZ4Compressor" && (n.opened[chunker.None]+n.opened[chunker.Unchunked] > 0 || n.kept > 0) {
			t.Errorf("%s: %s", f.path, n)
		}
		versions[f.name.Version]++
	}
	for _, name := range slices.Sorted(maps.Keys(byTable)) {
		t.Logf("%-34s %s", name, byTable[name])
	}
	t.Logf("Index.db: %s", indexes)
	if indexes.made < indexes.files*9/10 || indexes.files < 150 { // counters hardly compress
		t.Error("too few Index.db are made again")
	}
	if longest < 1000 {
		t.Errorf("the longest entry for a wide partition has %d bytes", longest)
	}
	if largest < 100<<20 {
		t.Errorf("the largest table of one partition has %d bytes", largest)
	}
	if versions["nb"] < len(tables) || versions["oa"] < len(tables) {
		t.Errorf("versions %v", versions)
	}
}

// longestEntry is the length of an index's longest entry: one with a promoted index, if keys are short.
func longestEntry(index []byte) (longest uint64) {
	for {
		e, ok := columns.ParseIndexEntry(index)
		if !ok {
			return longest
		}
		longest, index = max(longest, e.Length), index[e.Length:]
	}
}

// tableOf is the keyspace and table of a path <data>/<keyspace>/<table>-<id>/…
func tableOf(path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, p := range parts {
		if p == "data1" || p == "data2" {
			table, _, _ := strings.Cut(parts[i+2], "-")
			return parts[i+1] + "." + table
		}
	}
	return path
}

// Values of storage_compatibility_mode: 5.0 writes nb, then oa, which no fixture has.
const compatible, modern = "CASSANDRA_4", "NONE"

// writeTables makes tables and fills them: two flushes, which stay in backups/; then, as nodes that were
// upgraded do, a flush and a compaction in the newer format.
func writeTables(t *testing.T, n *cassandratest.Node, tables []nodeTable) {
	t.Helper()
	s, err := n.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	exec := func(cql string) {
		t.Helper()
		if err := s.Query(cql).Exec(); err != nil {
			t.Fatalf("%.300s: %v", cql, err)
		}
	}
	exec("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	exec("CREATE TYPE k.place (x int, name text, tags frozen<set<text>>)")
	for _, table := range tables {
		exec("CREATE TABLE k." + table.name + " " + table.create)
	}
	for round := range 3 {
		var workers errgroup.Group
		workers.SetLimit(8)
		for i, table := range tables {
			workers.Go(func() error { return table.fill(s, rand.New(rand.NewPCG(uint64(i), uint64(round))), round) })
		}
		if err := workers.Wait(); err != nil {
			t.Fatal(err)
		}
		switch round {
		case 0:
			nodetool(t, n, "flush", "k")
			for _, table := range tables {
				if table.alter != "" {
					exec(table.alter)
				}
			}
		case 1:
			s.Close()
			s = upgrade(t, n)
		case 2:
			nodetool(t, n, "flush", "k")
			nodetool(t, n, "compact", "k")
		}
	}
}

// upgrade restarts n, which flushes, so that it writes its own newest format.
func upgrade(t *testing.T, n *cassandratest.Node) *cassandratest.Session {
	t.Helper()
	config, err := os.ReadFile(n.YAML)
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte(compatible), []byte(modern), 1)
	if err := errors.Join(os.WriteFile(n.YAML, config, 0o644), n.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	s, err := n.Session()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill executes the statements of a round.
func (table nodeTable) fill(s *cassandratest.Session, r *rand.Rand, round int) error {
	const size = 20
	kind := gocql.UnloggedBatch
	if table.counts {
		kind = gocql.CounterBatch
	}
	batch := s.Batch(kind)
	for i := range table.rows {
		batch.Query(table.write(r, "k."+table.name, round*table.rows+i))
		if batch.Size() < size && i+1 < table.rows {
			continue
		}
		if err := batch.Exec(); err != nil {
			return fmt.Errorf("write %s: %w", table.name, err)
		}
		batch = s.Batch(kind)
	}
	return nil
}

func nodetool(t *testing.T, n *cassandratest.Node, args ...string) {
	t.Helper()
	if _, err := n.RunNodetool(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}
