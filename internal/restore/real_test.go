package restore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// live is a real node with a backup of it.
type live struct {
	t       *testing.T
	node    *cassandratest.Node
	session *cassandratest.Session
	conn    *cassandra.Conn
	tool    cassandra.Nodetool
	backup  *backup.Node
	reader  *history.Reader
	stage   string
}

func startLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t, node: cassandratest.New(t, cassandratest.Options{}), stage: filepath.Join(t.TempDir(), "stage")}
	l.tool = cassandra.Nodetool{Argv: l.node.Nodetool()}
	var err error
	if l.session, err = l.node.Session(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.session.Close)
	if l.conn, err = cassandra.Dial(t.Context(), cassandra.Options{Address: l.node.CQL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.conn.Close)
	l.reader = &history.Reader{Bucket: &buckettest.Memory{}, Prefix: "c/h/"}
	w, err := history.OpenWriter(t.Context(), *l.reader, history.Identity{Cluster: "c", HostID: "h"},
		manifest.Body{Writer: &manifest.Writer{}}, history.WriterOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l.backup = &backup.Node{
		DataDirs:  l.node.DataDirs,
		Judge:     &watcher.Judge{Patience: time.Minute},
		Uploader:  &uploader.Uploader{Bucket: l.reader.Bucket, Prefix: l.reader.Prefix, History: w, Level: chunker.Fast, Now: time.Now},
		Snapshots: &backup.Snapshots{Nodetool: l.tool, Dir: t.TempDir(), Now: time.Now},
		Describe:  l.describe,
		Prune:     true,
		Now:       time.Now,
	}
	return l
}

func (l *live) describe(ctx context.Context) (*manifest.Node, *manifest.Schema, error) {
	id, err := l.conn.Identity(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := l.conn.Schema(ctx)
	if err != nil {
		return nil, nil, err
	}
	schema := &manifest.Schema{Hash: fmt.Sprintf("%x", s.Hash())}
	for _, o := range s.Objects {
		schema.Statements = append(schema.Statements, o.Statements...)
	}
	return &manifest.Node{Release: id.Release, Partitioner: id.Partitioner}, schema, nil
}

func (l *live) cql(format string, args ...any) {
	l.t.Helper()
	if err := l.session.Query(fmt.Sprintf(format, args...)).ExecContext(l.t.Context()); err != nil {
		l.t.Fatalf(format+": %v", append(args, err)...)
	}
}

// pass stores what is there.
func (l *live) pass() {
	l.t.Helper()
	r, err := l.backup.Pass(l.t.Context())
	if err == nil {
		err = errors.Join(append(r.Problems, r.Err())...)
	}
	if err != nil || !r.Complete() {
		l.t.Fatalf("back up: %v, open %q", err, r.Open())
	}
}

func (l *live) snapshot(tag string) {
	l.t.Helper()
	if err := l.backup.Snapshots.Take(l.t.Context(), tag, nil); err != nil {
		l.t.Fatal(err)
	}
	l.pass()
}

func (l *live) flush() {
	l.t.Helper()
	for _, keyspace := range []string{"shop", `Shop`} {
		if err := l.tool.Flush(l.t.Context(), keyspace); err != nil {
			l.t.Fatal(err)
		}
	}
	l.pass()
}

// fill writes rows from..to-1 of every table.
func (l *live) fill(from, to int) {
	l.t.Helper()
	for i := from; i < to; i++ {
		l.cql("INSERT INTO shop.users (id, name, city, home) VALUES (%d, 'user %d', 'city %d', {street: 'Main', zip: %d})", i, i, i%7, i)
		l.cql("UPDATE shop.hits SET n = n + %d WHERE page = %d", i, i%10)
		l.cql(`INSERT INTO "Shop"."Orders" ("Id", "Select") VALUES (%d, 'quoted %d')`, i, i)
	}
	l.cql("DELETE FROM shop.users WHERE id = %d", from)
}

// rows are all rows of some queries, in order.
type rows map[string][]string

func (l *live) rows(queries ...string) rows {
	l.t.Helper()
	got := rows{}
	for _, q := range queries {
		iter := l.session.Query(q).IterContext(l.t.Context())
		for row := map[string]any{}; iter.MapScan(row); row = map[string]any{} {
			got[q] = append(got[q], fmt.Sprint(row))
		}
		if err := iter.Close(); err != nil {
			l.t.Fatalf("%s: %v", q, err)
		}
		slices.Sort(got[q])
	}
	return got
}

var queries = []string{
	"SELECT * FROM shop.users", "SELECT * FROM shop.hits", `SELECT * FROM "Shop"."Orders"`,
	"SELECT * FROM shop.by_city", "SELECT * FROM shop.users WHERE name = 'user 17'",
}

func (l *live) equal(what string, want rows) {
	l.t.Helper()
	for q, all := range want {
		if len(all) == 0 {
			l.t.Fatalf("%s: %s: there is nothing to compare", what, q)
		}
		if got := l.rows(q)[q]; !slices.Equal(got, all) {
			l.t.Errorf("%s: %s: %d rows, want %d", what, q, len(got), len(all))
		}
	}
}

func (l *live) loader() *Loader {
	return &Loader{Stager: Stager{Bucket: l.reader.Bucket}, Session: l.conn, Tool: l.tool, DataDirs: l.node.DataDirs, Dir: l.stage}
}

// load restores a point and compares what was loaded with the plan.
func (l *live) load(sel Selector, r Request) Report {
	l.t.Helper()
	p := l.plan(sel, r)
	report, err := l.loader().Load(l.t.Context(), p)
	if err != nil {
		l.t.Fatalf("load %+v: %v", r, err)
	}
	v, err := l.loader().Verify(l.t.Context(), p)
	if err != nil || !v.OK() {
		l.t.Errorf("verify %+v: %+v, %v", r, v, err)
	}
	return report
}

func (l *live) plan(sel Selector, r Request) *Plan {
	l.t.Helper()
	s, err := Select(l.t.Context(), l.reader, sel)
	if err != nil {
		l.t.Fatal(err)
	}
	id, err := l.conn.Identity(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	has, err := l.conn.Live(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	r.Now, r.Live = time.Now(), &Live{id, has}
	p, err := Build(s, l.reader.Prefix, r)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// sameIDs checks that tables were made with the ids that they had.
func (l *live) sameIDs(r Report) {
	l.t.Helper()
	live, err := l.conn.Live(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, t := range r.Tables {
		if id, _ := liveID(live, Name{t.Keyspace, t.Table}); id != t.ID {
			l.t.Errorf("%s.%s was made with id %s, want its own, %s", t.Keyspace, t.Table, id, t.ID)
		}
	}
}

// killed is a nodetool whose caller doesn't live to see the end of the first import.
type killed struct {
	cassandra.Nodetool
	imports int
}

func (k *killed) Import(ctx context.Context, keyspace, table string, dirs []string, o cassandra.ImportOptions) error {
	err := k.Nodetool.Import(ctx, keyspace, table, dirs, o)
	if k.imports++; k.imports == 1 && err == nil {
		return errKilled
	}
	return err
}

// loadTwice is killed after the first import; the second run finds that out and goes on behind it.
func (l *live) loadTwice(r Request) {
	l.t.Helper()
	tool := &killed{Nodetool: l.tool}
	loader := l.loader()
	loader.Tool = tool
	p := l.plan(Selector{}, r)
	if _, err := loader.Load(l.t.Context(), p); !errors.Is(err, errKilled) {
		l.t.Fatal(err)
	}
	if _, err := loader.Load(l.t.Context(), p); err != nil {
		l.t.Fatal(err)
	}
	if tool.imports != len(p.Tables) {
		l.t.Errorf("%d imports for %d tables", tool.imports, len(p.Tables))
	}
}

// One node, one life: everything that a restore into it must do.
func TestLoadIntoRealNode(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	const replication = "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
	l.cql("CREATE KEYSPACE shop " + replication)
	l.cql(`CREATE KEYSPACE "Shop" ` + replication)
	l.cql("CREATE TYPE shop.address (street text, zip int)")
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY, name text, city text, home frozen<address>, old text)")
	l.cql("CREATE INDEX ON shop.users (name)")
	l.cql("CREATE MATERIALIZED VIEW shop.by_city AS SELECT * FROM shop.users WHERE city IS NOT NULL AND id IS NOT NULL PRIMARY KEY (city, id)")
	l.cql("CREATE TABLE shop.hits (page int PRIMARY KEY, n counter)")
	l.cql(`CREATE TABLE "Shop"."Orders" ("Id" int PRIMARY KEY, "Select" text)`)
	l.cql("INSERT INTO shop.users (id, old) VALUES (1000, 'dropped later')")
	l.fill(0, 100)
	l.snapshot("sstash-1")
	first := l.rows(queries...)
	moment := time.Now()
	l.fill(100, 200)
	l.flush()
	l.fill(50, 150)
	l.flush()
	last := l.rows(queries...)

	if _, err := l.loader().Load(t.Context(), l.plan(Selector{}, Request{})); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("into tables with rows: %v, want %v", err, ErrNotEmpty)
	}
	l.equal("after it was refused", last)

	l.cql("DROP KEYSPACE shop")
	l.cql(`DROP KEYSPACE "Shop"`)
	report := l.load(Selector{}, Request{})
	l.equal("dropped keyspaces", last)
	if len(report.Warnings) > 0 {
		t.Errorf("warnings: %v", report.Warnings)
	}
	l.sameIDs(report)

	l.cql("TRUNCATE shop.users")
	l.load(Selector{}, Request{Tables: []string{"shop.users"}})
	l.equal("a truncated table, its index and view", last)

	l.cql("TRUNCATE shop.users")
	l.loadTwice(Request{Tables: []string{"shop.users"}})
	l.equal("a load that was killed after the first import", last)

	l.load(Selector{}, Request{Tables: []string{"shop.users"}, As: "rescue.users2"})
	copied := l.rows("SELECT * FROM rescue.users2")["SELECT * FROM rescue.users2"]
	if !slices.Equal(copied, last["SELECT * FROM shop.users"]) {
		t.Errorf("under another name: %d rows, want %d", len(copied), len(last["SELECT * FROM shop.users"]))
	}

	l.cql("DROP KEYSPACE shop")
	l.cql(`DROP KEYSPACE "Shop"`)
	l.load(Selector{At: moment}, Request{})
	l.equal("an earlier point", first)
}
