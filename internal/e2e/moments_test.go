package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
)

// pitSchema has an index, collections, a static column, counters and TTL.
var pitSchema = []string{
	`CREATE KEYSPACE pit WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
	`CREATE TABLE pit.kv (k int PRIMARY KEY, v text, tags set<text>, attributes map<text, int>)`,
	`CREATE INDEX kv_v ON pit.kv (v)`,
	`CREATE TABLE pit.wide (p int, c int, s text static, v text, PRIMARY KEY (p, c))`,
	`CREATE TABLE pit.hits (page int PRIMARY KEY, n counter)`,
	`CREATE TABLE pit.sessions (id int PRIMARY KEY, secret text) WITH default_time_to_live = 864000`,
}

var pitTables = []string{"pit.kv", "pit.wide", "pit.hits", "pit.sessions"}

// moment is the database as it was read at a time when nothing was being written.
type moment struct {
	at   time.Time
	rows Rows
}

// pit is one writer that knows what the database held at some moments.
type pit struct {
	t       *testing.T
	random  *rand.Rand
	session *cassandratest.Session
	writes  int
	moments []moment
	acked   []time.Time // of sessions, by id: each is written once; zero for one that the node forgot
}

// write does one write at random and returns when it is acknowledged.
func (p *pit) write(ctx context.Context) error {
	p.writes++
	r, i := p.random.IntN, p.writes
	k, part := r(400), r(20)
	cql, args := "", []any(nil)
	switch n := r(100); {
	case n < 25:
		cql, args = `INSERT INTO pit.kv (k, v, tags, attributes) VALUES (?, ?, ?, ?)`, []any{k, fmt.Sprint("v", r(50)), []string{fmt.Sprint("t", r(9))}, map[string]int{"n": i}}
	case n < 35:
		cql, args = `UPDATE pit.kv SET tags = tags + ?, attributes['x'] = ? WHERE k = ?`, []any{[]string{fmt.Sprint("u", r(9))}, i, k}
	case n < 40:
		cql, args = `DELETE FROM pit.kv WHERE k = ?`, []any{k}
	case n < 43:
		cql, args = `DELETE v, tags FROM pit.kv WHERE k = ?`, []any{k}
	case n < 68:
		cql, args = `INSERT INTO pit.wide (p, c, v) VALUES (?, ?, ?)`, []any{part, r(200), fmt.Sprint("w", i)}
	case n < 72:
		cql, args = `UPDATE pit.wide SET s = ? WHERE p = ?`, []any{fmt.Sprint("s", i), part}
	case n < 75:
		from := r(200)
		cql, args = `DELETE FROM pit.wide WHERE p = ? AND c >= ? AND c < ?`, []any{part, from, from + r(40)}
	case n < 76:
		cql, args = `DELETE FROM pit.wide WHERE p = ?`, []any{part}
	case n < 90:
		cql, args = `UPDATE pit.hits SET n = n + ? WHERE page = ?`, []any{int64(1 + r(5)), r(50)}
	default:
		return p.open(ctx)
	}
	return p.execute(ctx, cql, args...)
}

// open writes the next session.
func (p *pit) open(ctx context.Context) error {
	id := len(p.acked)
	if err := p.execute(ctx, `INSERT INTO pit.sessions (id, secret) VALUES (?, ?)`, id, fmt.Sprint("s", id)); err != nil {
		return err
	}
	p.acked = append(p.acked, time.Now())
	return nil
}

func (p *pit) execute(ctx context.Context, cql string, args ...any) error {
	if err := p.session.Query(cql, args...).ExecContext(ctx); err != nil {
		return fmt.Errorf("%s: %w", cql, err)
	}
	return nil
}

// work writes for a while and reads everything at some moments on the way.
func (p *pit) work(d time.Duration, moments int) {
	p.t.Helper()
	end := time.Now().Add(d)
	for left := moments; time.Now().Before(end) || left > 0; {
		if err := p.write(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
		remaining := max(time.Until(end), time.Millisecond)
		if left > 0 && p.random.Float64() < float64(left)*float64(2*time.Millisecond)/float64(remaining) {
			p.remember()
			left--
		}
	}
}

// remember reads the database at a moment between two writes.
func (p *pit) remember() {
	p.t.Helper()
	time.Sleep(time.Millisecond) // from the last timestamp
	m := moment{at: time.Now().Truncate(time.Microsecond)}
	time.Sleep(time.Millisecond) // to the next one
	m.rows = dump(p.t, p.session, pitTables)
	p.moments = append(p.moments, m)
}

// TestMoments restores a database to 30 moments of its life at which it was read, by SSTables and
// commit log: what comes back is what was read, no row more or less. Then its disk is lost.
func TestMoments(t *testing.T) {
	p := &pit{t: t, random: rand.New(rand.NewPCG(seed(t), 0))}
	node := cassandratest.New(t, cassandratest.Options{HeapMB: 1024})
	p.session = connect(t, node)
	for _, cql := range pitSchema {
		execute(t, p.session, cql)
	}
	bucket := "file://" + filepath.Join(t.TempDir(), "bucket")
	svc := configure(t, node, Setup{Bucket: bucket})
	rewrite(t, svc, "commit_log: {every: 0s}", "commit_log: {every: 1s}")
	rewrite(t, svc, "flush_every: 0", "flush_every: 7s")
	rewrite(t, svc, "spread: 0s", "spread: 0s, early: 5s")
	began := time.Now()
	p.work(time.Second, 0)
	launch(t, svc)
	p.proven(svc, began)

	p.work(8*time.Second, 8) // flushes go on meanwhile
	nodetool(t, node, "compact", "pit")
	p.work(3*time.Second, 4)

	svc.Kill()
	p.work(3*time.Second, 4)
	launch(t, svc)
	p.work(3*time.Second, 3)

	p.work(time.Second, 0)
	killed := time.Now()
	node.Kill()
	if err := node.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.session = connect(t, node) // the old one finds the node in its own time
	p.forget()
	p.proven(svc, killed)
	p.work(5*time.Second, 7)
	nodetool(t, node, "flush", "pit", "kv")
	p.work(3*time.Second, 4)

	last := p.lose(node, svc)
	target := p.target(bucket, last.HostID)
	for i, m := range p.moments {
		p.restore(target, i, m)
	}
	p.rescue(target, last.LogUntil)
}

// forget takes note of what the node has forgotten: killed, it loses what it acknowledged and had not
// synced yet.
func (p *pit) forget() {
	p.t.Helper()
	rows := dump(p.t, p.session, []string{"pit.sessions"})
	for id := range p.acked {
		if !slices.Contains(rows["pit.sessions"], sessionRow(id)) {
			p.acked[id] = time.Time{}
		}
	}
}

// sessionRow is a session as dump has it.
func sessionRow(id int) string { return fmt.Sprintf("id=%d secret=s%d ", id, id) }

// proven waits until a full that began after that time, and the log behind it, are durable.
func (p *pit) proven(svc *Sstash, after time.Time) {
	p.t.Helper()
	until(p.t, svc, func(s status.Status) bool { return s.LastFull.After(after) })
	now := time.Now()
	until(p.t, svc, func(s status.Status) bool {
		if err := p.write(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
		return s.LogUntil.After(now)
	})
}

// lose ends the node while it is being written to, and its disk with it. It returns the last that the
// service said.
func (p *pit) lose(node *cassandratest.Node, svc *Sstash) status.Status {
	p.t.Helper()
	final := p.moments[len(p.moments)-1].at
	until(p.t, svc, func(s status.Status) bool { return s.LogUntil.After(final) })
	for range 2000 {
		if err := p.open(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
	}
	node.Kill()
	for _, dir := range append(node.DataDirs, node.CommitLog) {
		if err := os.RemoveAll(dir); err != nil {
			p.t.Fatal(err)
		}
	}
	acked := p.acked[len(p.acked)-1]
	time.Sleep(2 * time.Second) // the service may go on; what is gone is gone
	last, err := svc.Status(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	svc.Kill()
	p.t.Logf("the disk is lost: the log proves what was acknowledged until %s before the last", acked.Sub(last.LogUntil).Round(time.Millisecond))
	return last
}

// target is where moments are restored to: another node, and sstash beside it.
type target struct {
	node    *cassandratest.Node
	session *cassandratest.Session
	tool    *Sstash
	host    string // whose moments
	stage   string
}

func (p *pit) target(bucket, host string) target {
	p.t.Helper()
	node := cassandratest.New(p.t, cassandratest.Options{Config: map[string]any{"auto_snapshot": false}})
	dir := p.t.TempDir()
	tool := configure(p.t, node, Setup{Dir: dir, Bucket: bucket})
	return target{node, connect(p.t, node), tool, host, filepath.Join(dir, "stage")}
}

// to restores everything at that time, and reads it.
func (p *pit) to(g target, at string) (Rows, restoredMoment) {
	p.t.Helper()
	execute(p.t, g.session, `DROP KEYSPACE IF EXISTS pit`)
	var report restoredMoment
	err := g.tool.JSON(p.t.Context(), &report, "restore", "--at", at, "--node", g.host, "--tables", "pit", "--stage", g.stage)
	if err != nil {
		p.t.Fatal(err)
	}
	return dump(p.t, g.session, pitTables), report
}

// restoredMoment is what restore --json says of it.
type restoredMoment struct {
	ProvenUntil time.Time `json:"proven_until"`
	Mutations   int       `json:"mutations"`
	Seconds     float64   `json:"seconds"`
}

// restore compares moment i with what comes back.
func (p *pit) restore(g target, i int, m moment) {
	p.t.Helper()
	got, report := p.to(g, m.at.UTC().Format("2006-01-02T15:04:05.000000Z"))
	p.t.Logf("moment %d, %s: %d rows, %d writes replayed, in %.1f s", i, m.at.UTC().Format(time.TimeOnly), got.Count(), report.Mutations, report.Seconds)
	if !report.ProvenUntil.Equal(m.at) {
		p.t.Errorf("moment %d, %s, is proven only until %s", i, m.at, report.ProvenUntil)
	}
	if diff := m.rows.Diff(got); diff != "" {
		p.t.Errorf("moment %d differs:\n%s", i, diff)
	}
}

// rescue restores the newest moment: all that was acknowledged before the log's end is there.
func (p *pit) rescue(g target, end time.Time) {
	p.t.Helper()
	got, report := p.to(g, "latest")
	if report.ProvenUntil.Before(end) {
		p.t.Errorf("proven until %s, and the service had said %s", report.ProvenUntil, end)
	}
	want := 0
	for id, at := range p.acked {
		if at.IsZero() || !at.Before(end) {
			continue
		}
		want++
		if !slices.Contains(got["pit.sessions"], sessionRow(id)) {
			p.t.Errorf("session %d, acknowledged at %s, is lost", id, at)
		}
	}
	p.t.Logf("%d of %d sessions had to come back, and %d did", want, len(p.acked), len(got["pit.sessions"]))
}
