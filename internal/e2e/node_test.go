package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
)

// waiting is how long to wait for something that takes seconds.
const waiting = 2 * time.Minute

// start starts a node with the schema, and connects to it.
func start(t *testing.T) (*cassandratest.Node, *cassandratest.Session) {
	t.Helper()
	node := cassandratest.New(t, cassandratest.Options{HeapMB: 1024})
	session := connect(t, node)
	if err := CreateSchema(session); err != nil {
		t.Fatal(err)
	}
	return node, session
}

func connect(t *testing.T, node *cassandratest.Node) *cassandratest.Session {
	t.Helper()
	session, err := node.Session()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

func execute(t *testing.T, session *cassandratest.Session, cql string) {
	t.Helper()
	if err := session.Query(cql).ExecContext(t.Context()); err != nil {
		t.Fatalf("%s: %v", cql, err)
	}
}

func load(t *testing.T, session *cassandratest.Session, round, rows int) {
	t.Helper()
	if err := Load(t.Context(), session, round, rows); err != nil {
		t.Fatal(err)
	}
}

func nodetool(t *testing.T, node *cassandratest.Node, args ...string) {
	t.Helper()
	if _, err := node.RunNodetool(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, session *cassandratest.Session, tables []string) Rows {
	t.Helper()
	rows, err := Dump(t.Context(), session, tables)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(tables) {
		t.Fatalf("only %d of %d tables have rows", len(rows), len(tables))
	}
	return rows
}

// until waits for what the service's status says.
func until(t *testing.T, svc *Sstash, want func(status.Status) bool) status.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waiting)
	defer cancel()
	st, err := svc.Until(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// covered flushes and waits until everything that is linked by then is durable.
func covered(t *testing.T, node *cassandratest.Node, svc *Sstash) status.Status {
	t.Helper()
	nodetool(t, node, "flush")
	now := time.Now()
	return until(t, svc, func(s status.Status) bool { return s.CoveredUntil.After(now) && s.QueueFiles == 0 })
}

// restored restores the newest point of the only node in a bucket into a fresh one, and reads its
// tables.
func restored(t *testing.T, bucket string, tables []string) Rows {
	t.Helper()
	node := cassandratest.New(t, cassandratest.Options{})
	dir := t.TempDir()
	svc := configure(t, node, Setup{Dir: dir, Bucket: bucket})
	id := archived(t, bucket).hostID()
	_, err := svc.Command(t.Context(), "restore", "--at", "latest", "--node", id, "--stage", filepath.Join(dir, "stage"))
	if err != nil {
		t.Fatal(err)
	}
	return dump(t, connect(t, node), tables)
}
