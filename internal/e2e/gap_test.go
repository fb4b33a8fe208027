package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// TestI10_GapsOfANode makes Cassandra lose links, in each way that is known, while a writer notes what
// was acknowledged when. Each hole is found, shown and healed; and every point, restored, holds what
// it claims.
func TestI10_GapsOfANode(t *testing.T) {
	checkStrace(t)
	node := cassandratest.New(t, cassandratest.Options{HeapMB: 1024})
	session := connect(t, node)
	for _, cql := range []string{
		`CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE shop.acks (id int PRIMARY KEY, note text) WITH compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}`,
	} {
		execute(t, session, cql)
	}
	g := &gaps{t: t, node: node, session: session, bucket: "file://" + filepath.Join(t.TempDir(), "bucket")}
	g.svc = configure(t, node, Setup{Bucket: g.bucket})
	rewrite(t, g.svc, "flush_every: 0", "flush_every: 4s")
	rewrite(t, g.svc, "spread: 0s", "spread: 0s, early: 15s")
	g.write()
	launch(t, g.svc)
	until(t, g.svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
	g.proven()

	// Cassandra is killed before the first link of a flush, while the service is down.
	g.down()
	before := g.newest()
	lost := g.hole(1)
	launch(t, g.svc)
	g.write()
	g.found(before, "the database was restarted", lost)
	g.proven()

	// Cassandra is killed before the fifth of eight links: what is missing is live.
	g.down()
	before = g.newest()
	g.hole(5)
	partial := g.partial()
	launch(t, g.svc)
	g.write()
	g.found(before, "the database was restarted", 0)
	g.proven()
	g.completed(partial)

	// Somebody switches incremental backups off for a while.
	before = g.newest()
	nodetool(t, node, "disablebackup")
	g.found(before, "incremental backups are off", 0)
	warned(t, g.svc, "gap at", "incremental backups are off")
	g.pause()
	lost = g.id
	nodetool(t, node, "flush", "shop", "acks")
	nodetool(t, node, "enablebackup")
	g.write()
	g.found(before, "incremental backups", lost)
	g.proven()
	until(t, g.svc, func(s status.Status) bool { return len(s.Warnings) == 0 })

	g.pause()
	terminate(t, g.svc)
	g.verify()
}

// warned waits until the status has such a warning.
func warned(t *testing.T, svc *Sstash, words ...string) {
	t.Helper()
	until(t, svc, func(s status.Status) bool {
		return !s.OK && slices.ContainsFunc(s.Warnings, func(w string) bool { return containsAll(w, words) })
	})
}

// gaps is a node, its service, and what a writer knows.
type gaps struct {
	t       *testing.T
	node    *cassandratest.Node
	session *cassandratest.Session
	svc     *Sstash
	bucket  string

	stop func() // the writer
	id   int    // of the newest row
	mu   sync.Mutex
	acks []ack
}

// ack is a row and when its writer knew it to be acknowledged.
type ack struct {
	id int
	at time.Time
}

// write begins to write a row every few milliseconds.
func (g *gaps) write() {
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan error, 1)
	g.stop = func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Fatal(err)
		}
	}
	go func() {
		for ctx.Err() == nil {
			id := g.id + 1
			if err := g.session.Query(`INSERT INTO shop.acks (id, note) VALUES (?, ?)`, id, fmt.Sprint("note ", id)).Exec(); err != nil {
				done <- err
				return
			}
			g.mu.Lock()
			g.id, g.acks = id, append(g.acks, ack{id, time.Now()})
			g.mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
		done <- nil
	}()
}

// pause stops the writer, and waits until the commit log has it all: what Cassandra itself forgets
// when it is killed, nobody can back up.
func (g *gaps) pause() {
	g.stop()
	time.Sleep(time.Second)
}

// down stops the service and then, some rows later, the writer.
func (g *gaps) down() {
	g.t.Helper()
	terminate(g.t, g.svc)
	for id := g.rowsWritten(); g.rowsWritten() < id+20; {
		time.Sleep(5 * time.Millisecond)
	}
	g.pause()
}

func (g *gaps) rowsWritten() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.id
}

// hole kills Cassandra before the n-th link of a flush, starts it again, and returns a row of that
// flush.
func (g *gaps) hole(n int) int {
	g.t.Helper()
	trace := exec.Command("strace", "-f", "-o", os.DevNull, "-e", "signal=none", "-e", "trace=link,linkat",
		"-e", fmt.Sprintf("inject=link,linkat:signal=SIGKILL:when=%d", n), "-p", fmt.Sprint(g.node.PID()))
	attached, err := trace.StderrPipe()
	if err == nil {
		err = trace.Start()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := io.ReadFull(attached, make([]byte, 1)); err != nil { // "Process … attached"
		g.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, attached) }()
	if _, err := g.node.RunNodetool(g.t.Context(), "flush", "shop", "acks"); err == nil {
		g.t.Fatal("the flush succeeded: nothing killed the node")
	}
	g.node.Kill()
	_ = trace.Wait() // it ends as the node does
	if err := g.node.StartAgain(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	g.session.Close()
	g.session = connect(g.t, g.node)
	return g.id
}

// seenTable is what points --json says of the table.
type seenTable struct {
	Keyspace, Table, Reason string
	ProvenUntil             *time.Time `json:"proven_until"`
}

// seenPoint is what it says of a point.
type seenPoint struct {
	Seq    uint64
	Kind   string
	Time   time.Time
	Tables []seenTable
}

func (p seenPoint) table() (seenTable, bool) {
	i := slices.IndexFunc(p.Tables, func(t seenTable) bool { return t.Table == "acks" })
	if i < 0 {
		return seenTable{}, false
	}
	return p.Tables[i], true
}

func (g *gaps) points() []seenPoint {
	g.t.Helper()
	var doc struct{ Points []seenPoint }
	if err := g.svc.JSON(g.t.Context(), &doc, "points", "shop.acks", "--limit", "10000"); err != nil {
		g.t.Fatal(err)
	}
	return doc.Points
}

// newest is the number of the newest point.
func (g *gaps) newest() uint64 {
	g.t.Helper()
	points := g.points()
	return points[len(points)-1].Seq
}

// await waits for a point behind entry seq that is as wanted.
func (g *gaps) await(what string, seq uint64, want func(seenTable) bool) seenPoint {
	g.t.Helper()
	deadline := time.Now().Add(waiting)
	for {
		points := g.points()
		for _, p := range points {
			if t, ok := p.table(); ok && p.Seq > seq && want(t) {
				return p
			}
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: no such point, the newest is %+v", what, points[len(points)-1])
		}
		time.Sleep(time.Second)
	}
}

// proven waits for a point that proves what is acknowledged by now.
func (g *gaps) proven() {
	g.t.Helper()
	now := time.Now()
	g.await("proven", 0, func(t seenTable) bool { return t.Reason == "" && t.ProvenUntil != nil && t.ProvenUntil.After(now) })
}

// found waits for a point behind entry seq that shows the gap. It lacks the row that was lost; 0: none
// was.
func (g *gaps) found(seq uint64, why string, lost int) {
	g.t.Helper()
	p := g.await(why, seq, func(t seenTable) bool { return strings.Contains(t.Reason, "gap at") && strings.Contains(t.Reason, why) })
	if lost > 0 && g.rows(p.Seq)[lost] {
		g.t.Errorf("point %d has row %d: there was no hole", p.Seq, lost)
	}
}

// partial is the stem of the SSTable of which half is in backups/.
func (g *gaps) partial() string {
	g.t.Helper()
	links := map[string]int{}
	for path := range list(g.t, g.node.DataDirs, backups, "shop") {
		if _, _, name := parsePath(path); strings.Contains(path, "/acks-") {
			links[name.Stem]++
		}
	}
	for stem, n := range links {
		if n == 4 {
			return stem
		}
	}
	g.t.Fatalf("no SSTable has 4 of its 8 links: %v", links)
	return ""
}

// completed: what was linked of an SSTable is stored, with what was not.
func (g *gaps) completed(stem string) {
	g.t.Helper()
	for _, m := range archived(g.t, g.bucket).manifests {
		for _, t := range m.Body.Tables {
			for _, s := range t.SSTables {
				if m.Kind == manifest.Increment && t.Name == "acks" && s.Stem == stem && len(s.Components) == 8 {
					return
				}
			}
		}
	}
	g.t.Errorf("no increment holds %s whole", stem)
}

// rows are the rows of a point.
func (g *gaps) rows(seq uint64) map[int]bool {
	g.t.Helper()
	as := fmt.Sprintf("shop.at_%d", seq)
	if _, err := g.svc.Command(g.t.Context(), "restore", "--point", fmt.Sprint(seq), "--tables", "shop.acks", "--as", as); err != nil {
		g.t.Fatal(err)
	}
	found := map[int]bool{}
	iter := g.session.Query(`SELECT id FROM ` + as).IterContext(g.t.Context())
	for id := 0; iter.Scan(&id); {
		found[id] = true
	}
	if err := iter.Close(); err != nil {
		g.t.Fatal(err)
	}
	execute(g.t, g.session, `DROP TABLE `+as)
	return found
}

// verify restores points and compares them with the model: nothing that one claims is missing.
func (g *gaps) verify() {
	g.t.Helper()
	for _, p := range g.telling() {
		t, _ := p.table()
		rows := g.rows(p.Seq)
		claimed, missing := 0, 0
		for _, a := range g.acks {
			if !a.at.Before(*t.ProvenUntil) {
				continue
			}
			if claimed++; !rows[a.id] {
				missing++
			}
		}
		if missing > 0 {
			g.t.Errorf("point %d is proven through %s and lacks %d of %d rows (%q)", p.Seq, t.ProvenUntil, missing, claimed, t.Reason)
		}
		g.t.Logf("point %d (%s), proven through %s: %d rows, %d missing; %s", p.Seq, p.Kind, t.ProvenUntil, claimed, missing, t.Reason)
	}
}

// telling are the points to look at, for a restore takes seconds: of those that prove the same for the
// same reason the last, and of those that have no reason every third.
func (g *gaps) telling() (points []seenPoint) {
	g.t.Helper()
	type proof struct {
		until  time.Time
		reason string
	}
	last, plain := map[proof]uint64{}, 0
	all := slices.DeleteFunc(g.points(), func(p seenPoint) bool {
		t, ok := p.table()
		if ok && t.ProvenUntil != nil {
			last[proof{*t.ProvenUntil, t.Reason}] = p.Seq
		}
		return !ok || t.ProvenUntil == nil
	})
	for _, p := range all {
		t, _ := p.table()
		if last[proof{*t.ProvenUntil, t.Reason}] != p.Seq {
			continue
		}
		if t.Reason == "" {
			plain++
		}
		if t.Reason != "" || plain%3 == 1 {
			points = append(points, p)
		}
	}
	return points
}
