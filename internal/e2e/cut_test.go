package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
			started := startOf(t, pid)
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
			if now := node.PID(); now != pid || startOf(t, now) != started {
				t.Errorf("the node was process %d, started at %s, and is %d", pid, started, now)
			}
		})
	}
}

type cutting struct {
	*testing.T
	node    *cassandratest.Node
	session *cassandratest.Session
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

// writer writes one row after the other into a table, until it can't or is stopped.
type writer struct {
	table string
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	acked []time.Time // when row firstLoaded+i was acknowledged
	err   error       // that ended it
}

const firstLoaded = 10_000

func (c *cutting) writer(table string) *writer {
	ctx, stop := context.WithCancel(c.Context())
	w := &writer{table: table, stop: stop, ended: make(chan struct{})}
	insert := fmt.Sprintf(`INSERT INTO shop.%s (id, v) VALUES (?, 'loaded')`, table)
	go func() {
		defer close(w.ended)
		for i := firstLoaded; ctx.Err() == nil; i++ {
			err := c.session.Query(insert, i).ExecContext(ctx)
			at := time.Now()
			w.mu.Lock()
			if err == nil {
				w.acked = append(w.acked, at)
			} else if ctx.Err() == nil {
				w.err = err
			}
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	c.Cleanup(func() { w.end() })
	return w
}

// end stops it and returns what ended it before.
func (w *writer) end() error {
	w.stop()
	<-w.ended
	return w.err
}

// by is how many rows were acknowledged by then.
func (w *writer) by(t time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, _ := slices.BinarySearchFunc(w.acked, t, time.Time.Compare)
	return n
}

// wantLoaded looks for the first n rows of a writer.
func (c *cutting) wantLoaded(ids map[int]bool, w *writer, n int) {
	c.Helper()
	for i := range n {
		if !ids[firstLoaded+i] {
			c.Fatalf("of %d rows of %s that were acknowledged, row %d is missing; %d are there", n, w.table, i, len(ids))
		}
	}
}

// dropped drops a table while it and another are written to, and restores it while the other still is.
func (c *cutting) dropped() {
	orders, kept := c.writer("orders"), c.writer("kept")
	for deadline := time.Now().Add(waiting); orders.by(time.Now()) < 500 || kept.by(time.Now()) < 500; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("no load: %v, %v", orders.end(), kept.end())
		}
	}
	issued := time.Now()
	if !c.auto { // nobody promises that what is in memory is flushed by the DROP
		nodetool(c.T, c.node, "flush", "shop", "orders")
	}
	execute(c.T, c.session, "DROP TABLE shop.orders")
	<-orders.ended
	if orders.by(time.Now()) == orders.by(issued) {
		c.Fatalf("nothing was written to the table during the DROP: %v", orders.err)
	}
	covered(c.T, c.node, c.svc)
	c.recorded("orders", 1)
	began := time.Now()
	plan := filepath.Join(c.TempDir(), "orders.plan") // as docs/restore.md says
	c.restore("plan", "--before-drop", "shop.orders", "-o", plan)
	c.restore("run", plan)
	c.restore("verify", plan)
	restored := time.Now()
	before, ids := orders.by(issued), c.ids("orders")
	c.wantLoaded(ids, orders, before)
	for i := range 100 {
		if !ids[i] {
			c.Fatalf("row %d, of the full, is missing", i)
		}
	}
	c.Logf("%d rows acknowledged before the DROP, %d are back; others acknowledged: %d before, %d until the restore, %d during it",
		before, len(ids)-100, kept.by(issued), kept.by(began)-kept.by(issued), kept.by(restored)-kept.by(began))
	covered(c.T, c.node, c.svc)
	c.restore("--tables", "shop.orders", "--as", "shop.orders_after")
	if again := c.ids("orders_after"); len(again) != len(ids) {
		c.Errorf("restored, backed up and restored again: %d rows of %d", len(again), len(ids))
	}
	if err := kept.end(); err != nil {
		c.Errorf("the rest of the node did not serve all the while: %v", err)
	}
	if kept.by(restored) == kept.by(began) {
		c.Error("nothing else was written during the restore")
	}
	c.wantLoaded(c.ids("kept"), kept, len(kept.acked))
}

// startOf is when a process started, in ticks since the machine did: proc(5), stat, field 22.
func startOf(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fields[22-3] // the third is the first behind the name
}
