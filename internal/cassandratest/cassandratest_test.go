package cassandratest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

func TestNode(t *testing.T) {
	// Batch: a periodic commit log forgets the last 100 ms before a kill.
	n := New(t, Options{
		Tokens: []int64{-5, 5},
		Config: map[string]any{"commitlog_sync": "batch", "commitlog_sync_period": nil},
	})
	session := connect(t, n)
	execute(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	execute(t, session, "CREATE TABLE ks.t (k int PRIMARY KEY, v text)")
	for k := range 100 {
		execute(t, session, "INSERT INTO ks.t (k, v) VALUES (?, ?)", k, fmt.Sprint("value ", k))
	}

	nodetool(t, n, "flush", "ks")
	if links := glob(t, n, "ks/t-*/backups/*-Data.db"); len(links) == 0 {
		t.Error("a flush left nothing in backups/")
	}
	nodetool(t, n, "snapshot", "-t", "x", "ks")
	if links := glob(t, n, "ks/t-*/snapshots/x/*-Data.db"); len(links) == 0 {
		t.Error("a snapshot left nothing in snapshots/")
	}
	if out, err := n.RunNodetool(t.Context(), "snapshot", "-t", "x", "ks"); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("second snapshot of that name: %q, %v", out, err)
	}

	execute(t, session, "TRUNCATE ks.t")
	load(t, n, "ks/t-*/snapshots/x")
	if rows := count(t, session, "ks.t"); rows != 100 {
		t.Errorf("%d rows loaded, want 100", rows)
	}

	execute(t, session, "INSERT INTO ks.t (k, v) VALUES (100, 'in the commit log only')")
	n.Kill()
	n.Kill()
	if pid := n.PID(); pid != 0 {
		t.Errorf("PID after a kill = %d", pid)
	}
	if err := n.Stop(t.Context()); err == nil {
		t.Error("stopped a node that isn't running")
	}
	if err := n.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.StartAgain(t.Context()); err == nil {
		t.Error("started a running node")
	}
	if rows := count(t, connect(t, n), "ks.t"); rows != 101 {
		t.Errorf("%d rows after a kill, want 101", rows)
	}

	before := n.PID()
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := n.PID(); after == before || after == 0 {
		t.Errorf("PID after a restart = %d, before %d", after, before)
	}
	if rows := count(t, connect(t, n), "ks.t"); rows != 101 {
		t.Errorf("%d rows after a restart, want 101", rows)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStartReportsWhatTheNodeSaid(t *testing.T) {
	n, err := Start(t.Context(), Options{Dir: t.TempDir(), Config: map[string]any{"no_such_key": 1}})
	if err == nil {
		n.Kill()
		t.Fatal("started with an unknown key")
	}
	if !strings.Contains(err.Error(), "no_such_key") {
		t.Errorf("the error doesn't name the key: %v", err)
	}
}

// A directory and a configuration of its own make the node's command start
// another one, next to it.
func TestScratchNode(t *testing.T) {
	n := New(t, Options{})
	m, err := newNode(Options{Dir: t.TempDir(), ClusterName: "scratch"}, machine{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(m.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	t.Setenv("CASSANDRA_CONF", filepath.Dir(m.YAML))
	t.Setenv("CASSANDRA_LOG_DIR", filepath.Dir(m.Log))
	t.Setenv("JVM_EXTRA_OPTS", "-Dcassandra.jmx.local.port="+freePort(t))
	m.process, err = startProcess(n.Cassandra(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, m) })
	if err := m.awaitCQL(t.Context()); err != nil {
		t.Fatal(err)
	}
	for node, want := range map[*Node]string{n: "cassandratest", m: "scratch"} {
		var got string
		if err := connect(t, node).Query("SELECT cluster_name FROM system.local").Scan(&got); err != nil || got != want {
			t.Errorf("cluster name %q, %v; want %q", got, err, want)
		}
	}
}

func TestRing(t *testing.T) {
	ring := NewRing(t, 2, Options{})
	session := connect(t, ring[0])
	execute(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}")
	execute(t, session, "CREATE TABLE ks.t (k int PRIMARY KEY, v text)")
	for k := range 10 {
		if err := session.Query("INSERT INTO ks.t (k, v) VALUES (?, 'v')", k).Consistency(gocql.All).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range ring {
		nodetool(t, n, "flush", "ks")
		if links := glob(t, n, "ks/t-*/backups/*-Data.db"); len(links) == 0 {
			t.Errorf("%s: a flush left nothing in backups/", n.Address)
		}
	}
}

// The child survives the thread that asked for it, but not the process.
func TestProcessEndsWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CASSANDRATEST_PARENT=yes")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	read := make([]byte, len("started"))
	if _, err := out.Read(read); err != nil || string(read) != "started" {
		t.Errorf("read %q, %v", read, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when its last holder does: that is the child.
	if n, err := out.Read(read); err == nil {
		t.Errorf("read %q after the end", read[:n])
	}
	_ = parent.Wait() // "signal: killed"
}

func TestMain(m *testing.M) {
	if os.Getenv("CASSANDRATEST_PARENT") != "" {
		beParent()
		return
	}
	os.Exit(m.Run())
}

// beParent starts a child that holds standard output open and lives too long,
// from a thread that ends at once; then it waits to be killed.
func beParent() {
	child := make(chan *process)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		p, err := startProcess([]string{"sleep", "600"}, os.Stdout)
		if err != nil {
			panic(err)
		}
		child <- p
	}()
	p := <-child
	os.Stdout.WriteString("started")
	<-p.done
	os.Stdout.WriteString("ended before its parent")
}

func connect(t *testing.T, n *Node) *Session {
	t.Helper()
	session, err := n.Session()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

func execute(t *testing.T, session *Session, cql string, args ...any) {
	t.Helper()
	if err := session.Query(cql, args...).ExecContext(t.Context()); err != nil {
		t.Fatalf("%s: %v", cql, err)
	}
}

func count(t *testing.T, session *Session, table string) (rows int) {
	t.Helper()
	if err := session.Query("SELECT count(*) FROM " + table).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func nodetool(t *testing.T, n *Node, args ...string) {
	t.Helper()
	if _, err := n.RunNodetool(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// load streams the SSTables of the directories that match into their table ks.t.
func load(t *testing.T, n *Node, pattern string) {
	t.Helper()
	for _, dir := range glob(t, n, pattern) {
		stage := filepath.Join(t.TempDir(), "ks", "t")
		if err := os.CopyFS(stage, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		argv := append(n.SSTableLoader(), "-d", n.Address, "--no-progress", stage)
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
}

// glob finds files in any of the data directories.
func glob(t *testing.T, n *Node, pattern string) (found []string) {
	t.Helper()
	for _, dir := range n.DataDirs {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	return found
}
