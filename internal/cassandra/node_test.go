package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
)

// testNode is a real 5.0.8 node and the two ways to it.
type testNode struct {
	*cassandratest.Node
	tool Nodetool
	conn *Conn
}

func startNode(t *testing.T) testNode {
	t.Helper()
	n := cassandratest.New(t, cassandratest.Options{ClusterName: "Nasty Cluster"})
	conn, err := Dial(t.Context(), Options{Address: n.CQL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return testNode{n, Nodetool{Argv: n.Nodetool(), Timeout: time.Minute}, conn}
}

func (n testNode) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := n.conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdentity(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	settings, err := ReadYAML(n.YAML)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(settings.DataDirectories, n.DataDirs) || settings.CommitLog != n.CommitLog || !settings.IncrementalBackups {
		t.Errorf("settings: %+v", settings)
	}
	if address, err := settings.CQLAddress(); err != nil || address != n.CQL {
		t.Errorf("CQL address: %s, %v; the node has %s", address, err, n.CQL)
	}
	before, err := n.conn.Identity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		Cluster: settings.ClusterName, HostID: before.HostID, DC: "datacenter1", Rack: "rack1", Release: "5.0.8",
		Partitioner: settings.Partitioner, Tokens: []string{"0"}, SchemaVersion: before.SchemaVersion, GossipGeneration: before.GossipGeneration,
	}
	if !reflect.DeepEqual(before, want) || len(before.HostID) != 36 || len(before.SchemaVersion) != 36 || before.GossipGeneration == 0 {
		t.Errorf("got %+v", before)
	}
	if version, err := n.tool.Version(ctx); err != nil || version != before.Release {
		t.Errorf("nodetool says version %q, %v", version, err)
	}
	if peers, err := n.conn.Peers(ctx); err != nil || len(peers) != 0 {
		t.Errorf("peers of a lonely node: %+v, %v", peers, err)
	}
	if generation, err := n.tool.Generation(ctx); err != nil || generation != int64(before.GossipGeneration) {
		t.Errorf("nodetool says generation %d, %v", generation, err)
	}
	n.commitLog(t)
	n.switchBackups(t)
	n.exec(t, `CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE shop."Off" (id int PRIMARY KEY) WITH incremental_backups = false`, `CREATE TABLE shop.plain (id int PRIMARY KEY)`)
	if unlinked, err := n.conn.UnlinkedTables(ctx); err != nil || !slices.Equal(unlinked, []string{"shop.Off"}) {
		t.Errorf("tables that are not linked: %v, %v", unlinked, err)
	}
	n.exec(t, `DROP KEYSPACE shop`)
	if before, err = n.conn.Identity(ctx); err != nil { // as of this schema
		t.Fatal(err)
	}
	n.unreachable(t)
	n.Kill()
	after := n.recovers(t, before) // though nothing was asked in between
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	n.down(t)
	n.recovers(t, after)
}

func (n testNode) commitLog(t *testing.T) {
	t.Helper()
	l, err := n.conn.CommitLog(t.Context())
	if err != nil || l.Sync != "periodic" || l.DiskAccess != "legacy" && l.DiskAccess != "mmap" {
		t.Errorf("commit log %+v, %v", l, err)
	}
}

// switchBackups: CQL and nodetool agree on whether incremental backups are on.
func (n testNode) switchBackups(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, want := range []bool{false, true} {
		change := n.tool.DisableBackup
		if want {
			change = n.tool.EnableBackup
		}
		if err := change(ctx); err != nil {
			t.Fatal(err)
		}
		byCQL, err := n.conn.IncrementalBackups(ctx)
		if err != nil || byCQL != want {
			t.Errorf("CQL says %v, %v; want %v", byCQL, err, want)
		}
		byTool, err := n.tool.StatusBackup(ctx)
		if err != nil || byTool != want {
			t.Errorf("nodetool says %v, %v; want %v", byTool, err, want)
		}
	}
}

func (n testNode) unreachable(t *testing.T) {
	ctx := t.Context()
	wrongPort := strings.TrimSuffix(n.CQL, ":9042") + ":9043"
	if _, err := Dial(ctx, Options{Address: wrongPort}); err == nil || !strings.Contains(err.Error(), wrongPort) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("wrong port: %v", err)
	}
	if _, err := Dial(ctx, Options{Address: "no-such-host.invalid:9042"}); err == nil || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("wrong host: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Dial(canceled, Options{Address: n.CQL}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	wrong := Nodetool{Argv: append(slices.Clone(n.tool.Argv), "-p", "7198")}
	if _, err := wrong.Version(ctx); err == nil || !strings.Contains(err.Error(), "Connection refused") {
		t.Errorf("wrong JMX port: %v", err)
	}
}

// down checks that a stopped node is named.
func (n testNode) down(t *testing.T) {
	ctx := t.Context()
	if _, err := n.conn.Identity(ctx); err == nil || !strings.Contains(err.Error(), n.CQL) {
		t.Errorf("stopped node: %v", err)
	}
	if _, err := Dial(ctx, Options{Address: n.CQL}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("stopped node: %v", err)
	}
	if on, err := n.tool.StatusBackup(ctx); err == nil {
		t.Errorf("stopped node: nodetool says %v", on)
	}
}

// recovers starts the node again and waits until the connection has noticed.
func (n testNode) recovers(t *testing.T, before Identity) Identity {
	t.Helper()
	if err := n.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		after, err := n.conn.Identity(ctx)
		if err == nil {
			if after.HostID != before.HostID || after.GossipGeneration <= before.GossipGeneration {
				t.Errorf("before the restart %+v, after it %+v", before, after)
			}
			return after
		}
		if ctx.Err() != nil {
			t.Fatalf("after the restart: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestSnapshotFlushImport(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	n.exec(t,
		`CREATE KEYSPACE "Shop" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE "Shop"."Orders" ("Id" int PRIMARY KEY, v text)`)
	empty := func(want bool) {
		t.Helper()
		if got, err := n.conn.IsEmpty(ctx, "Shop", "Orders"); err != nil || got != want {
			t.Errorf("empty: %v, %v", got, err)
		}
	}
	empty(true)
	if _, err := n.conn.IsEmpty(ctx, "Shop", "orders"); err == nil {
		t.Error("no such table: no error")
	}
	for i := range 50 {
		n.exec(t, fmt.Sprintf(`INSERT INTO "Shop"."Orders" ("Id", v) VALUES (%d, 'v')`, i))
	}
	if err := n.tool.Flush(ctx, "Shop", "Orders"); err != nil {
		t.Fatal(err)
	}
	if err := n.tool.Flush(ctx, ""); err != nil {
		t.Errorf("flush everything: %v", err)
	}
	for i := range 10 {
		n.exec(t, fmt.Sprintf(`INSERT INTO "Shop"."Orders" ("Id", v) VALUES (%d, 'w')`, i))
	}
	empty(false)

	const tag = "sstash 1.a"
	if err := n.tool.Snapshot(ctx, tag, []string{"Shop.Orders"}); err != nil {
		t.Fatal(err)
	}
	if err := n.tool.Snapshot(ctx, tag, []string{"Shop"}); !errors.Is(err, ErrSnapshotExists) {
		t.Errorf("the tag again: %v", err)
	}
	stages := n.stage(t, tag)
	n.exec(t, `TRUNCATE "Shop"."Orders"`)
	empty(true)

	// One good directory, one with a torn file: the good one must be loaded and
	// the other one named.
	torn := filepath.Join(t.TempDir(), "Shop", "Orders")
	copyDir(t, stages[0], torn)
	for _, f := range glob(t, torn, "*-Data.db") {
		if err := os.Truncate(f, 10); err != nil {
			t.Fatal(err)
		}
	}
	err := n.tool.Import(ctx, "Shop", "Orders", []string{torn, stages[0], stages[len(stages)-1]}, ImportOptions{CopyData: true})
	var partial *ImportError
	if !errors.As(err, &partial) || !slices.Equal(partial.Failed, []string{torn}) {
		t.Errorf("import of a torn file: %v", err)
	}
	empty(false)
	if len(glob(t, stages[0], "*-Data.db")) == 0 {
		t.Error("the stage was emptied")
	}
	if err := n.tool.Import(ctx, "Shop", "nope", stages, ImportOptions{}); err == nil || errors.As(err, &partial) {
		t.Errorf("import into no table: %v", err)
	}

	if err := n.tool.ClearSnapshot(ctx, tag); err != nil {
		t.Fatal(err)
	}
	for _, data := range n.DataDirs {
		if left := glob(t, data, "Shop/*/snapshots/"+tag); len(left) > 0 {
			t.Errorf("not cleared: %q", left)
		}
	}
	if err := n.tool.ClearSnapshot(ctx, "none"); err != nil {
		t.Errorf("clearing no snapshot: %v", err)
	}
	n.backupSwitch(t)
}

func (n testNode) backupSwitch(t *testing.T) {
	ctx := t.Context()
	for _, step := range []struct {
		turn func(context.Context) error
		want bool
	}{{n.tool.DisableBackup, false}, {n.tool.EnableBackup, true}} {
		if err := step.turn(ctx); err != nil {
			t.Fatal(err)
		}
		if on, err := n.tool.StatusBackup(ctx); err != nil || on != step.want {
			t.Errorf("incremental backups: %v, %v; want %v", on, err, step.want)
		}
	}
}

// stage copies the snapshot of "Shop"."Orders" out of each data directory that
// has SSTables of it.
func (n testNode) stage(t *testing.T, tag string) []string {
	t.Helper()
	var stages []string
	for _, data := range n.DataDirs {
		for _, dir := range glob(t, data, "Shop/Orders-*/snapshots/"+tag) {
			if len(glob(t, dir, "*-Data.db")) == 0 {
				continue // schema.cql or manifest.json alone
			}
			to := filepath.Join(t.TempDir(), "Shop", "Orders")
			copyDir(t, dir, to)
			stages = append(stages, to)
		}
	}
	if len(stages) == 0 {
		t.Fatal("the snapshot holds no SSTable")
	}
	return stages
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(dir), pattern)
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = filepath.Join(dir, names[i])
	}
	return names
}
