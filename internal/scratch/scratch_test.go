package scratch

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/cassandratest"
)

// live is a production node and what it knows of its schema.
type live struct {
	t       *testing.T
	node    *cassandratest.Node
	session *cassandratest.Session
	conn    *cassandra.Conn
}

func startLive(t *testing.T) *live {
	t.Helper()
	l := &live{t: t, node: cassandratest.New(t, cassandratest.Options{})}
	var err error
	if l.session, err = l.node.Session(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.session.Close)
	if l.conn, err = cassandra.Dial(t.Context(), cassandra.Options{Address: l.node.CQL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.conn.Close)
	return l
}

func (l *live) cql(format string, args ...any) {
	l.t.Helper()
	if err := l.session.Query(fmt.Sprintf(format, args...)).ExecContext(l.t.Context()); err != nil {
		l.t.Fatalf(format+": %v", append(args, err)...)
	}
}

func (l *live) schema() []cassandra.Object {
	l.t.Helper()
	s, err := l.conn.Schema(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return s.Objects
}

// rows reads tables, each row as one text.
func rows(ctx context.Context, address string, tables []cassandra.TableName) (map[string][]string, error) {
	host, port, _ := strings.Cut(address, ":")
	cluster := gocql.NewCluster(host)
	_, _ = fmt.Sscan(port, &cluster.Port)
	cluster.Dialer = &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}} // checkVisitors knows us by that
	session, err := cluster.CreateSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	got := map[string][]string{}
	for _, t := range tables {
		iter := session.Query("SELECT * FROM " + cassandra.Quote(t.Keyspace) + "." + cassandra.Quote(t.Name)).IterContext(ctx)
		for row := map[string]any{}; iter.MapScan(row); row = map[string]any{} {
			got[t.String()] = append(got[t.String()], fmt.Sprint(row))
		}
		if err := iter.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", t, err)
		}
		slices.Sort(got[t.String()])
	}
	return got, nil
}

func (l *live) rows(tables []cassandra.TableName) map[string][]string {
	l.t.Helper()
	got, err := rows(l.t.Context(), l.node.CQL, tables)
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}

// copySegments copies the commit log of a running node, as `cp` would.
func copySegments(from string) func(context.Context, string, string) error {
	return func(_ context.Context, _, to string) error {
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "CommitLog-") {
				continue
			}
			if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
		return nil
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
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

func (l *live) runner(dir string) Runner {
	return Runner{Command: l.node.Cassandra(), YAML: l.node.YAML, Dir: dir}
}

// nobodyLeft checks that no process of the group of a scratch node runs, by what they all name.
func nobodyLeft(t *testing.T, dir string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lines {
		if line, err := os.ReadFile(name); err == nil && strings.Contains(string(line), dir) {
			t.Errorf("%s runs still: %q", name, line)
		}
	}
}

var tables = []cassandra.TableName{
	{Keyspace: "shop", Name: "users"}, {Keyspace: "shop", Name: "by_city"}, {Keyspace: "shop", Name: "events"},
	{Keyspace: "shop", Name: "hits"}, {Keyspace: "Shop", Name: "Orders"},
}

func (l *live) makeTables() {
	l.t.Helper()
	l.cql("CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}")
	l.cql(`CREATE KEYSPACE "Shop" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
	l.cql("CREATE TYPE shop.address (street text, zip int)")
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY, name text, city text, home frozen<address>, tags set<text>)")
	l.cql("CREATE INDEX ON shop.users (name)")
	l.cql("CREATE MATERIALIZED VIEW shop.by_city AS SELECT id, city, name FROM shop.users WHERE city IS NOT NULL AND id IS NOT NULL PRIMARY KEY (city, id)")
	l.cql("CREATE TABLE shop.events (day int, at int, owner text static, what map<text, int>, old text, PRIMARY KEY (day, at)) WITH gc_grace_seconds = 0")
	l.cql("CREATE TABLE shop.hits (page int PRIMARY KEY, n counter)")
	l.cql(`CREATE TABLE "Shop"."Orders" ("Id" int PRIMARY KEY, "Select" text)`)
	l.cql("CREATE TABLE shop.others (id int PRIMARY KEY)")
}

// fill writes one round of everything that a mutation can be.
func (l *live) fill(round int) {
	l.t.Helper()
	for i := range 40 {
		id := i + 20*round // overlaps with the round before
		l.cql("INSERT INTO shop.users (id, name, city, home, tags) VALUES (%d, 'user %d', 'city %d', {street: 'Main', zip: %d}, {'a%d'})", id, round, (id+round)%7, id, round)
		l.cql("INSERT INTO shop.events (day, at, what) VALUES (%d, %d, {'x': %d}) USING TTL 86400", id%5, id, round)
		l.cql("UPDATE shop.events SET owner = 'owner %d', what['y'] = %d WHERE day = %d AND at = %d", round, id, id%5, id)
		l.cql("UPDATE shop.hits SET n = n + %d WHERE page = %d", id+1, id%10)
		l.cql(`INSERT INTO "Shop"."Orders" ("Id", "Select") VALUES (%d, 'round %d')`, id, round)
		l.cql("INSERT INTO shop.others (id) VALUES (%d)", id)
	}
	l.cql("DELETE FROM shop.users WHERE id = %d", 20*round+3)
	l.cql("UPDATE shop.users SET tags = tags - {'a%d'}, city = 'moved' WHERE id = %d", round, 20*round+5)
	l.cql("DELETE FROM shop.events WHERE day = %d AND at > %d AND at < %d", round%5, 20*round+4, 20*round+20)
}

// A replay to a moment in a node's life gives the very rows of that moment, of tables of every kind,
// while the node goes on, and nothing but them.
func TestRunReplaysToAMoment(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.makeTables()
	l.fill(0)
	l.cql("INSERT INTO shop.events (day, at, old) VALUES (100, 1, 'dropped later')")
	l.fill(1)
	moment := time.Now().UTC().Truncate(time.Microsecond)
	want := l.rows(tables)
	for i, ago := range []time.Duration{0, time.Microsecond} { // after this write, before that
		l.cql("INSERT INTO shop.users (id, name) VALUES (%d, 'edge') USING TIMESTAMP %d", 2000+i, moment.Add(ago).UnixMicro())
	}
	l.fill(2)
	l.cql("ALTER TABLE shop.events DROP old")
	l.cql("ALTER TABLE shop.events ADD later int")
	l.cql("INSERT INTO shop.events (day, at, later) VALUES (5000, 1, 1)")
	pid := l.node.PID()

	dir := filepath.Join(t.TempDir(), "scratch")
	var got map[string][]string
	began := time.Now()
	result, err := l.runner(dir).Run(t.Context(), Job{
		Objects: l.schema(),
		Tables:  slices.DeleteFunc(slices.Clone(tables), func(n cassandra.TableName) bool { return n.Name == "by_city" }),
		Until:   moment,
		Fill:    copySegments(l.node.CommitLog),
		Look: func(ctx context.Context, conn *cassandra.Conn) error {
			var err error
			got, err = rows(ctx, conn.Address(), tables)
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tables in %s", len(result.Tables), time.Since(began))
	nobodyLeft(t, dir)

	clean := func(all []string) []string { // of a column that came later
		for i := range all {
			all[i] = strings.ReplaceAll(all[i], "later:0 ", "")
		}
		return all
	}
	edge := 0
	for _, n := range tables {
		has := slices.DeleteFunc(got[n.String()], func(row string) bool {
			is := strings.Contains(row, "name:edge")
			if is {
				edge++
			}
			return is
		})
		if !slices.Equal(clean(has), clean(want[n.String()])) || len(has) == 0 {
			t.Errorf("%s: %d rows, want %d:\n%s\nwant\n%s", n, len(has), len(want[n.String()]), strings.Join(has, "\n"), strings.Join(want[n.String()], "\n"))
		}
	}
	if edge != 1 {
		t.Errorf("%d of two writes at the moment and a microsecond later came back, want the first", edge)
	}
	for _, table := range result.Tables {
		if found, err := table.SSTables(); err != nil || len(found) == 0 {
			t.Errorf("%s has the SSTables %q, %v", table, found, err)
		}
	}
	if l.node.PID() != pid {
		t.Error("the node was restarted")
	}
	if err := result.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// Whoever starts a scratch node that could see the cluster gets an error, and no node.
func TestRunRefusesWhatIsNotIsolated(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.cql("CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY)")
	start := l.node.Cassandra()[0]
	f := func(name, script string) {
		t.Helper()
		home := t.TempDir()
		command := filepath.Join(home, "start")
		if err := os.WriteFile(command, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		r := l.runner(filepath.Join(home, "scratch"))
		r.Command = []string{command}
		_, err := r.Run(t.Context(), Job{
			Objects: l.schema(), Tables: []cassandra.TableName{{Keyspace: "shop", Name: "users"}}, Until: time.Now(),
			Fill: copySegments(l.node.CommitLog),
		})
		if !errors.Is(err, ErrNotIsolated) {
			t.Errorf("%s: %v, want %v", name, err, ErrNotIsolated)
		}
		nobodyLeft(t, r.Dir)
	}
	conf := filepath.Dir(l.node.YAML)
	f("an include that sets CASSANDRA_CONF", "CASSANDRA_CONF="+conf+" exec "+start+" -f")
	f("a command that ignores JVM_EXTRA_OPTS", "JVM_EXTRA_OPTS=-Dcassandra.jmx.local.port=47199 exec "+start+" -f")
	f("a configuration given by the command", "exec "+start+" -f -Dcassandra.config=file://"+l.node.YAML)
	f("a seed of the cluster, slipped in", `sed -i "s/seeds: .*/seeds: `+l.node.Address+`/; s/^cluster_name:.*/cluster_name: cassandratest/; s/^storage_port:.*/storage_port: 7000/" `+
		`"$CASSANDRA_CONF/cassandra.yaml"; exec `+start+" -f")
	peers, err := l.conn.Peers(t.Context())
	if err != nil || len(peers) > 0 {
		t.Errorf("the node has met %v, %v", peers, err)
	}
}

// spoil changes a byte in each mutation of a table.
func spoil(dir string, schema []cassandra.Object) error {
	id, err := hex.DecodeString(schema[slices.IndexFunc(schema, func(o cassandra.Object) bool { return o.Kind == cassandra.KindTable })].ID)
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(dir, "CommitLog-*.log"))
	if err != nil {
		return err
	}
	for _, name := range found {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		b = bytes.ReplaceAll(b, id, append(slices.Clone(id[:15]), id[15]^1))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// However a run ends, nothing of it runs on, and the next one begins anew.
func TestRunLeavesNothing(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.cql("CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	l.cql("CREATE TABLE shop.users (id int PRIMARY KEY)")
	l.cql("INSERT INTO shop.users (id) VALUES (1)")
	dir := filepath.Join(t.TempDir(), "scratch")
	errStop := errors.New("stop here")
	job := Job{Objects: l.schema(), Tables: []cassandra.TableName{{Keyspace: "shop", Name: "users"}}, Until: time.Now()}
	f := func(want error, run func(*Job) context.Context) {
		t.Helper()
		j := job
		_, err := l.runner(dir).Run(run(&j), j)
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		nobodyLeft(t, dir)
		if entries, err := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%v is left, %v", entries, err)
		}
	}
	f(errStop, func(j *Job) context.Context {
		j.Fill = func(context.Context, string, string) error { return errStop }
		return t.Context()
	})
	f(context.Canceled, func(j *Job) context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		j.Fill = copySegments(l.node.CommitLog)
		j.Look = func(context.Context, *cassandra.Conn) error { cancel(); return ctx.Err() }
		return ctx
	})
	r := l.runner(dir)
	held, err := r.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), job); !errors.Is(err, ErrInUse) {
		t.Errorf("beside another run: %v, want %v", err, ErrInUse)
	}
	held.Close()
	job.Fill = func(ctx context.Context, data, log string) error {
		return errors.Join(copySegments(l.node.CommitLog)(ctx, data, log), spoil(log, job.Objects))
	}
	if _, err := r.Run(t.Context(), job); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged mutation in the last segment: %v, want %v", err, ErrDamaged)
	}
	job.Fill = copySegments(l.node.CommitLog)
	result, err := r.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := result.Tables[0].SSTables(); len(found) != 1 || result.Mutations != 1 {
		t.Errorf("%d mutations, SSTables %q, %v", result.Mutations, found, err)
	}
	if err := result.Close(); err != nil {
		t.Error(err)
	}
}
