package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/manifest"
)

// What is truncated or dropped, with sstash beside it and while it is down, can be had back as it was
// right before; what is restored from after it holds nothing of that. The node goes on all the while.
func TestCutsOnARealNode(t *testing.T) {
	for _, auto := range []bool{true, false} {
		t.Run(fmt.Sprintf("auto_snapshot %v", auto), func(t *testing.T) {
			node := cassandratest.New(t, cassandratest.Options{Config: map[string]any{"auto_snapshot": auto}})
			c := &cutting{T: t, node: node, session: connect(t, node), auto: auto}
			c.bucket = "file://" + filepath.Join(t.TempDir(), "bucket")
			c.svc = configure(t, node, Setup{Bucket: c.bucket})
			pid := node.PID()
			execute(t, c.session, `CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
			for _, table := range []string{"items", "orders", "kept"} {
				execute(t, c.session, fmt.Sprintf(`CREATE TABLE shop.%s (id int PRIMARY KEY, v text)`, table))
				c.write(table, 0, 100)
			}
			launch(t, c.svc)
			until(t, c.svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
			c.truncated()
			c.truncatedWhileDown()
			c.dropped()
			terminate(t, c.svc)
			if node.PID() != pid {
				t.Errorf("the node was process %d and is %d", pid, node.PID())
			}
		})
	}
}

type cutting struct {
	*testing.T
	node    *cassandratest.Node
	session *gocql.Session
	svc     *Sstash
	bucket  string
	auto    bool
}

func (c *cutting) write(table string, from, to int) {
	c.Helper()
	for i := from; i < to; i++ {
		if err := c.session.Query(fmt.Sprintf(`INSERT INTO shop.%s (id, v) VALUES (?, ?)`, table), i, fmt.Sprint("v", i)).ExecContext(c.Context()); err != nil {
			c.Fatal(err)
		}
	}
}

// want compares the ids of a table.
func (c *cutting) want(table string, from, to int) {
	c.Helper()
	ids := c.ids(table)
	for i := from; i < to; i++ {
		if !ids[i] {
			c.Errorf("%s lacks %d", table, i)
			break
		}
	}
	if len(ids) != to-from {
		c.Errorf("%s has %d rows, want %d: %v", table, len(ids), to-from, slices.Sorted(maps.Keys(ids)))
	}
}

func (c *cutting) ids(table string) map[int]bool {
	c.Helper()
	ids := map[int]bool{}
	var id int
	rows := c.session.Query("SELECT id FROM shop." + table).IterContext(c.Context())
	for rows.Scan(&id) {
		ids[id] = true
	}
	if err := rows.Close(); err != nil {
		c.Fatal(err)
	}
	return ids
}

func (c *cutting) restore(args ...string) {
	c.Helper()
	if _, err := c.svc.Command(c.Context(), append([]string{"restore"}, args...)...); err != nil {
		c.Fatal(err)
	}
}

// recorded waits until the history has so many cuts of a table.
func (c *cutting) recorded(table string, n int) {
	c.Helper()
	for deadline := time.Now().Add(waiting); ; {
		a, err := readArchive(c.Context(), c.bucket)
		if err != nil {
			c.Fatal(err)
		}
		s := manifest.NewState()
		for _, m := range a.manifests {
			if err := s.Apply(m); err != nil {
				c.Fatal(err)
			}
		}
		ends := s.Endings("shop", table)
		if len(ends) == n && (ends[n-1].Final || !c.auto) {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("%d cuts of %s are known, want %d: %+v", len(ends), table, n, ends)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *cutting) truncated() {
	c.write("items", 100, 150) // in memory
	execute(c.T, c.session, "TRUNCATE shop.items")
	c.write("items", 1000, 1050)
	covered(c.T, c.node, c.svc)
	c.recorded("items", 1)
	c.restore("--before-truncate", "shop.items", "--as", "shop.items_before")
	c.want("items_before", 0, 150)
	c.restore("--tables", "shop.items", "--as", "shop.items_after")
	c.want("items_after", 1000, 1050)
}

func (c *cutting) truncatedWhileDown() {
	terminate(c.T, c.svc)
	c.write("items", 1050, 1060)
	nodetool(c.T, c.node, "flush")
	c.write("items", 1060, 1070)
	nodetool(c.T, c.node, "compact", "shop", "items")
	execute(c.T, c.session, "TRUNCATE shop.items")
	c.write("items", 2000, 2030)
	nodetool(c.T, c.node, "flush")
	c.write("items", 2030, 2040)
	nodetool(c.T, c.node, "flush")
	nodetool(c.T, c.node, "compact", "shop", "items")
	launch(c.T, c.svc)
	covered(c.T, c.node, c.svc)
	c.recorded("items", 2)
	c.restore("--before-truncate", "shop.items", "--as", "shop.items_before2")
	c.want("items_before2", 1000, 1070)
	c.restore("--tables", "shop.items", "--as", "shop.items_after2")
	c.want("items_after2", 2000, 2040)
}

// dropped drops a table under load.
func (c *cutting) dropped() {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	var writers sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]int{}
	write := func(table string) {
		for i := 0; ctx.Err() == nil; i++ {
			if err := c.session.Query(fmt.Sprintf(`INSERT INTO shop.%s (id, v) VALUES (?, 'loaded')`, table), 10_000+i).ExecContext(ctx); err != nil {
				if table == "kept" && ctx.Err() == nil {
					c.Errorf("the node did not serve: %v", err)
				}
				return
			}
			mu.Lock()
			acknowledged[table] = i + 1
			mu.Unlock()
		}
	}
	so := func(table string) int {
		mu.Lock()
		defer mu.Unlock()
		return acknowledged[table]
	}
	for _, table := range []string{"orders", "kept"} {
		writers.Go(func() { write(table) })
	}
	for so("orders") < 500 || so("kept") < 500 {
		time.Sleep(10 * time.Millisecond)
	}
	before := so("orders")
	if !c.auto { // nobody promises that what is in memory is flushed then
		nodetool(c.T, c.node, "flush", "shop", "orders")
	}
	execute(c.T, c.session, "DROP TABLE shop.orders")
	covered(c.T, c.node, c.svc)
	c.recorded("orders", 1)
	plan := filepath.Join(c.TempDir(), "orders.plan") // as docs/restore.md says
	c.restore("plan", "--before-drop", "shop.orders", "-o", plan)
	c.restore("run", plan)
	c.restore("verify", plan)
	cancel()
	writers.Wait()
	ids := c.ids("orders")
	for i := range before {
		if !ids[10_000+i] {
			c.Fatalf("of %d rows that were acknowledged before the DROP, row %d is missing; %d are there", before, i, len(ids))
		}
	}
	for i := range 100 {
		if !ids[i] {
			c.Fatalf("row %d, of the full, is missing", i)
		}
	}
	c.Logf("%d rows acknowledged before the DROP, %d are back; %d others written meanwhile", before, len(ids)-100, so("kept"))
	covered(c.T, c.node, c.svc)
	c.restore("--tables", "shop.orders", "--as", "shop.orders_after")
	if again := c.ids("orders_after"); len(again) != len(ids) {
		c.Errorf("restored, backed up and restored again: %d rows of %d", len(again), len(ids))
	}
}
