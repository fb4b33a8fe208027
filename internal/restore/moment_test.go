package restore

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
)

// copiedLog is a commit log that was copied now and then, as `cp` copies the files of a running node.
type copiedLog struct {
	t            *testing.T
	node, dir    string
	since, until time.Time
}

func (l *live) copyLog() *copiedLog {
	c := &copiedLog{t: l.t, node: l.node.CommitLog, dir: l.t.TempDir(), since: time.Now()}
	c.look()
	return c
}

// look copies what is there. A segment that has gone since keeps its last copy, so nothing is flushed
// between a write that is wanted and the next look.
func (c *copiedLog) look() {
	c.t.Helper()
	until := time.Now()
	time.Sleep(200 * time.Millisecond) // by then, what was acknowledged has its sync marker
	if err := copyDir(c.node, c.dir); err != nil {
		c.t.Fatal(err)
	}
	c.until = until
}

func copyDir(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".log") {
			err = errors.Join(err, copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
		}
	}
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

var errHole = errors.New("the log has a hole")

func (c *copiedLog) Begins(context.Context, time.Time, time.Time) (time.Time, error) {
	return c.since, nil
}

func (c *copiedLog) Covers(from, to time.Time) error {
	if from.Before(c.since) || to.After(c.until) {
		return errHole
	}
	return nil
}

func (c *copiedLog) Until() time.Time { return c.until }

func (c *copiedLog) Reach(from, to time.Time) time.Time {
	if c.Covers(from, to) != nil {
		return time.Time{}
	}
	return c.until
}

func (c *copiedLog) Size(_ context.Context, from, to time.Time) (int64, error) {
	return 1, c.Covers(from, to)
}

func (c *copiedLog) Fetch(_ context.Context, from, to time.Time, dir string) error {
	if err := c.Covers(from, to); err != nil {
		return err
	}
	return copyDir(c.dir, dir)
}

// exact plans the restore of a moment with the log; the zero moment is the end of it.
func (l *live) exact(log *copiedLog, at time.Time, r Request) *Plan {
	l.t.Helper()
	s, err := Select(l.t.Context(), l.reader, Selector{At: at})
	if err != nil {
		l.t.Fatal(err)
	}
	r.At = at
	if r.Later, err = SchemaAt(l.t.Context(), l.reader, s, at); err != nil {
		l.t.Fatal(err)
	}
	p := l.plan(Selector{At: at}, r)
	if err := p.Refine(l.t.Context(), Exact{Log: log, At: at}); err != nil {
		l.t.Fatal(err)
	}
	until := at
	if until.IsZero() {
		until = log.until
	}
	if p.Replay == nil || !p.ProvenUntil.Equal(until) {
		l.t.Fatalf("the plan for %s is proven until %s: %v", until, p.ProvenUntil, p.Warnings)
	}
	b, err := p.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	if p, err = Decode(b); err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *live) stager(log *copiedLog) *Stager {
	return &Stager{Bucket: l.reader.Bucket, Replayer: &Replayer{Log: log, Command: l.node.Cassandra(), YAML: l.node.YAML}}
}

func (l *live) loadMoment(log *copiedLog, p *Plan) Report {
	l.t.Helper()
	loader := l.loader()
	loader.Stager = *l.stager(log)
	began := time.Now()
	report, err := loader.Load(l.t.Context(), p)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Logf("%d tables, %d mutations of the log, in %s", len(report.Tables), report.Mutations, time.Since(began).Round(time.Millisecond))
	if v, err := loader.Verify(l.t.Context(), p); err != nil || !v.OK() {
		l.t.Errorf("verify: %+v, %v", v, err)
	}
	return report
}

// A node's life, and moments in it that no flush knows: each comes back to the row, while the node
// runs on.
func TestLoadAMoment(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	const replication = "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
	l.cql("CREATE KEYSPACE shop " + replication)
	l.cql(`CREATE KEYSPACE "Shop" ` + replication)
	l.cql("CREATE TYPE shop.address (street text, zip int)")
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY, name text, city text, home frozen<address>)")
	l.cql("CREATE INDEX ON shop.users (name)")
	l.cql("CREATE MATERIALIZED VIEW shop.by_city AS SELECT * FROM shop.users WHERE city IS NOT NULL AND id IS NOT NULL PRIMARY KEY (city, id)")
	l.cql("CREATE TABLE shop.hits (page int PRIMARY KEY, n counter)")
	l.cql(`CREATE TABLE "Shop"."Orders" ("Id" int PRIMARY KEY, "Select" text)`)
	log := l.copyLog()
	l.fill(0, 60)
	l.snapshot("sstash-1")
	l.fill(60, 90)
	log.look()
	l.flush()
	l.fill(30, 70)
	l.cql("CREATE TABLE shop.fresh (id int PRIMARY KEY)") // nothing of it is flushed before the moment
	l.cql("INSERT INTO shop.fresh (id) VALUES (1)")
	before := l.rows(append(slices.Clone(queries), "SELECT * FROM shop.fresh")...)
	moment := time.Now().UTC().Truncate(time.Microsecond)
	l.cql("INSERT INTO shop.users (id, name) VALUES (7000, 'a microsecond later') USING TIMESTAMP %d", moment.UnixMicro()+1)
	l.cql("UPDATE shop.users SET name = 'user 17', city = 'spoiled' WHERE id IN (%s)", "1, 2, 3, 35, 45")
	l.cql("UPDATE shop.hits SET n = n + 100000 WHERE page = 3")
	l.cql(`DELETE FROM "Shop"."Orders" WHERE "Id" = 40`)
	l.cql("ALTER TABLE shop.hits WITH comment = 'changed since'")
	log.look()
	l.flush()
	l.fill(200, 210)
	l.cql("INSERT INTO shop.fresh (id) VALUES (2)")
	last := l.rows(append(slices.Clone(queries), "SELECT * FROM shop.fresh")...)
	log.look()
	pid := l.node.PID()

	l.loadMoment(log, l.exact(log, moment, Request{Tables: []string{"shop.users"}, As: "shop.users_then"}))
	copied := l.rows("SELECT * FROM shop.users_then")["SELECT * FROM shop.users_then"]
	if !slices.Equal(copied, before["SELECT * FROM shop.users"]) {
		t.Errorf("beside the table that was spoiled: %d rows, want %d", len(copied), len(before["SELECT * FROM shop.users"]))
	}
	l.equal("the node in the meantime", last)

	l.cql("DROP TABLE shop.users_then")
	l.cql("DROP MATERIALIZED VIEW shop.by_city")
	l.cql("DROP TABLE shop.users")
	l.cql("TRUNCATE shop.hits")
	l.cql("DROP TABLE shop.fresh")
	l.cql(`TRUNCATE "Shop"."Orders"`)
	l.sameIDs(l.loadMoment(log, l.exact(log, moment, Request{})))
	l.equal("in place", before)

	for _, name := range []string{"shop", "Shop"} {
		l.cql("DROP KEYSPACE %q", name)
	}
	l.loadMoment(log, l.exact(log, time.Time{}, Request{}))
	l.equal("the end of the log", last)
	if l.node.PID() != pid {
		t.Error("the node was restarted")
	}

	l.drills(log)
	l.stages(log, moment)
}

// drills checks that a drill reads what the node has.
func (l *live) drills(log *copiedLog) {
	l.t.Helper()
	drilled, err := l.stager(log).Drill(l.t.Context(), l.exact(log, time.Time{}, Request{Tables: []string{"shop.users", "shop.hits"}}), filepath.Join(l.t.TempDir(), "drill"))
	if err != nil || len(drilled.Tables) != 3 || drilled.Mutations == 0 {
		l.t.Fatalf("drill: %+v, %v", drilled, err)
	}
	for _, d := range drilled.Tables {
		rows, digest, err := l.conn.Digest(l.t.Context(), d.Keyspace, d.Table)
		if err != nil || d.Rows != rows || d.Digest != digest || d.Rows == 0 {
			l.t.Errorf("the drill read %+v, the node has %d rows, digest %x, %v", d, rows, digest, err)
		}
	}
}

// stages checks that what was replayed to the moment lies in the directory as well, and nothing else.
func (l *live) stages(log *copiedLog, moment time.Time) {
	l.t.Helper()
	dir := filepath.Join(l.t.TempDir(), "to")
	report, err := l.stager(log).Stage(l.t.Context(), l.exact(log, moment, Request{To: dir, Tables: []string{"shop.hits"}}))
	if err != nil {
		l.t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "shop", "hits-*", "*-Data.db"))
	if err != nil || len(found) != report.Tables[0].SSTables || len(found) < 3 {
		l.t.Errorf("%d SSTables reported, there are %q, %v", report.Tables[0].SSTables, found, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 || err != nil {
		l.t.Errorf("left: %q, %v", left, err)
	}
}

// A whole node by files, log and restart, as docs/restore.md has it.
func TestNodeStartsOnFilesAndLog(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	const replication = "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
	l.cql("CREATE KEYSPACE shop " + replication)
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY, name text)")
	l.cql("CREATE INDEX ON shop.users (name)")
	log := l.copyLog()
	write := func(from, to int) {
		t.Helper()
		for id := from; id < to; id++ {
			l.cql("INSERT INTO shop.users (id, name) VALUES (%d, 'user %d')", id, id%3)
		}
	}
	write(0, 20)
	l.snapshot("sstash-1")
	write(10, 30)
	queries := []string{"SELECT * FROM shop.users", "SELECT * FROM shop.users WHERE name = 'user 1'"}
	want := l.rows(queries...)
	moment := time.Now().UTC().Truncate(time.Microsecond)
	write(30, 40)
	log.look()
	dir := filepath.Join(t.TempDir(), "to")
	p := l.plan(Selector{At: moment}, Request{To: dir, Tables: []string{"shop"}})
	if err := p.Refine(t.Context(), Exact{Log: log, At: moment, Segments: true}); err != nil || p.Replay == nil {
		t.Fatalf("%v, %v", err, p.Warnings)
	}
	if _, err := l.stager(log).Stage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	l.node.Kill()

	l.node = cassandratest.New(t, cassandratest.Options{})
	var err error
	if l.session, err = l.node.Session(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.session.Close)
	for _, s := range p.Schema {
		l.cql("%s", s)
	}
	if err := l.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "shop", "users-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	if err := os.CopyFS(filepath.Join(l.node.DataDirs[0], "shop", filepath.Base(found[0])), os.DirFS(found[0])); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(dir, "commitlog_archiving.properties"), filepath.Join(filepath.Dir(l.node.YAML), "commitlog_archiving.properties")); err != nil {
		t.Fatal(err)
	}
	if err := l.node.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.session, err = l.node.Session(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.session.Close)
	l.equal("files, log and restart", want)
}

// Without a Cassandra at hand, the log goes beside the files, with what makes a node replay it.
func TestStageSegments(t *testing.T) {
	w, want := small(t)
	log := &copiedLog{t: t, dir: t.TempDir(), since: at(-1), until: at(9)}
	const segment = "CommitLog-7-1.log"
	if err := os.WriteFile(filepath.Join(log.dir, segment), []byte("a segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "to")
	p := w.plan(Request{To: to})
	moment := at(5).Add(123456 * time.Microsecond)
	if err := p.Refine(t.Context(), Exact{Log: log, At: moment, Segments: true, Cannot: errors.New("no Cassandra")}); err != nil || p.Replay == nil {
		t.Fatalf("%v: %v", err, p.Warnings)
	}
	want["commitlog.d/"+segment] = []byte("a segment")
	want["commitlog_archiving.properties"] = []byte("archive_command=\nrestore_command=/bin/cp -f %from %to\nrestore_directories=" + to + "/commitlog.d\n" +
		"restore_point_in_time=2026:11:20 12:05:00.123456\nprecision=MICROSECONDS\n")
	for range 2 { // given again, it is the same
		if _, err := (&Stager{Bucket: w.bucket, Replayer: &Replayer{Log: log}}).Stage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		equal(t, to, want)
	}
	p.To = ""
	if err := p.validate(); !errors.Is(err, ErrBadPlan) {
		t.Errorf("segments of a plan for a node: %v", err)
	}
}
