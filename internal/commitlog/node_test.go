package commitlog

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/cassandratest"
)

// The disk of a node is lost without warning: what its tail had proven by then comes back, replayed by
// another node, and is exactly what was written.
func TestNodeIsLost(t *testing.T) {
	f := func(name string, rows int, mode Mode, config map[string]any) {
		t.Run(name, func(t *testing.T) {
			n := cassandratest.New(t, cassandratest.Options{Config: config})
			execute(t, n, createKeyspace, createTable)
			b := new(buckettest.Memory)
			reports, stop := runTail(t, n, b, mode)
			acknowledged := load(t, n, int64(rows*3/2))
			await(t, reports, func(r Report) bool { return r.Until.After(acknowledged.at(rows)) })
			stop()
			n.Kill()
			for _, dir := range append(n.DataDirs, n.CommitLog) {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}

			l := mustRead(t, b)
			if len(l.Stretches) != 1 {
				t.Fatalf("%d stretches: %+v", len(l.Stretches), l.Stretches)
			}
			dir := t.TempDir()
			if err := l.Fetch(t.Context(), l.Stretches[0].Since, l.Until(), dir); err != nil {
				t.Fatal(err)
			}
			replayed := replay(t, dir)
			lost, proven := 0, 0
			for k, at := range acknowledged.times() {
				if at.Before(l.Until()) {
					proven++
					if !replayed[k] {
						lost++
					}
				}
			}
			if lost > 0 || proven < rows {
				t.Errorf("of %d rows that were acknowledged before %s, %d are lost", proven, l.Until(), lost)
			}
			if len(replayed) > len(acknowledged.times())+1 {
				t.Errorf("%d rows, and %d were written", len(replayed), len(acknowledged.times()))
			}
			t.Logf("%d rows written, %d proven, %d replayed", len(acknowledged.times()), proven, len(replayed))
		})
	}
	f("mapped", 1000, Mode{Mapped: true}, nil)
	f("compressed", 1000, Mode{Mapped: true}, map[string]any{
		"commitlog_compression": []any{map[string]any{"class_name": "LZ4Compressor"}}, "commitlog_sync_period": "200ms",
	})
	f("direct, group", 200, Mode{Waits: true}, map[string]any{
		"commitlog_disk_access_mode": "direct", "commitlog_sync": "group", "commitlog_sync_group_window": "10ms", "commitlog_sync_period": nil,
	})
}

const (
	createKeyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
	createTable    = "CREATE TABLE ks.t (k int PRIMARY KEY, v blob) WITH id = 5a1c395e-b41f-11e5-9f22-ba0be0483c18"
)

func execute(t *testing.T, n *cassandratest.Node, statements ...string) {
	t.Helper()
	session := connect(t, n)
	for _, cql := range statements {
		if err := session.Query(cql).ExecContext(t.Context()); err != nil {
			t.Fatalf("%s: %v", cql, err)
		}
	}
}

func connect(t *testing.T, n *cassandratest.Node) *cassandratest.Session {
	t.Helper()
	session, err := n.Session()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

// runTail follows the node's log.
func runTail(t *testing.T, n *cassandratest.Node, b *buckettest.Memory, mode Mode) (<-chan Report, func()) {
	t.Helper()
	reports := make(chan Report, 10000)
	tail := &Tail{
		Dir: n.CommitLog, Every: 200 * time.Millisecond, Bucket: b, Prefix: prefix, Identity: Identity{"prod", "1c380315", 1, "nonce"},
		Ask:    func(context.Context) (Mode, error) { return mode, nil },
		Report: func(r Report) { reports <- r },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tail.Run(ctx) }()
	ended := false
	end := func() {
		if stop(); !ended {
			ended = true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end)
	await(t, reports, func(r Report) bool { return r.Pieces > 0 }) // from here on, it is in the log
	return reports, end
}

func await(t *testing.T, reports <-chan Report, is func(Report) bool) {
	t.Helper()
	timeout := time.After(5 * time.Minute)
	for {
		select {
		case r := <-reports:
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if is(r) {
				return
			}
		case <-timeout:
			t.Fatal("nothing more is proven")
		}
	}
}

// acks are when writes were acknowledged, by key, which count from 0.
type acks struct {
	times func() []time.Time
}

func (a acks) at(k int) time.Time { return a.times()[k] }

// load writes until the test ends, and returns when there is enough; 500 rows make a segment.
func load(t *testing.T, n *cassandratest.Node, enough int64) acks {
	t.Helper()
	session := connect(t, n)
	const most = 1 << 20
	times := make([]time.Time, most)
	var count atomic.Int64
	done := make(chan struct{})
	value := make([]byte, 8<<10)
	go func() {
		defer close(done)
		for k := range most {
			if err := session.Query("INSERT INTO ks.t (k, v) VALUES (?, ?)", k, value).ExecContext(t.Context()); err != nil {
				return // the node was killed
			}
			times[k] = time.Now()
			count.Store(int64(k) + 1)
		}
	}()
	t.Cleanup(func() { session.Close(); <-done })
	for began := time.Now(); count.Load() < enough; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("only %d writes in five minutes", count.Load())
		}
	}
	return acks{times: func() []time.Time { return times[:count.Load()] }}
}

// replay lets a new node replay the segments, and returns the keys of the rows that it then has.
func replay(t *testing.T, segments string) map[int]bool {
	t.Helper()
	n := cassandratest.New(t, cassandratest.Options{JVMArgs: []string{"-Dcassandra.replayList=ks.t"}})
	execute(t, n, createKeyspace, createTable)
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, b := range files(t, segments) {
		if err := os.WriteFile(filepath.Join(n.CommitLog, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := map[int]bool{}
	scanner := connect(t, n).Query("SELECT k FROM ks.t").IterContext(t.Context()).Scanner()
	for scanner.Next() {
		var k int
		if err := scanner.Scan(&k); err != nil {
			t.Fatal(err)
		}
		rows[k] = true
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}
