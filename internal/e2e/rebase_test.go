package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/watcher"
)

// A table that is rewritten again and again, between two fulls, takes about twice its size to restore,
// and not as often as it was rewritten.
func TestChainsDoNotGrowForEver(t *testing.T) {
	node := cassandratest.New(t, cassandratest.Options{})
	session := connect(t, node)
	bucket := "file://" + filepath.Join(t.TempDir(), "bucket")
	svc := configure(t, node, Setup{Bucket: bucket, Extra: "rebase: {every: 1s, floor: 64KiB}"})
	execute(t, session, `CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
	execute(t, session, `CREATE TABLE shop.documents (id int PRIMARY KEY, body blob)`)
	const documents, rounds = 100, 5
	rewrite := func(round int) {
		t.Helper()
		for i := range documents {
			if err := session.Query(`INSERT INTO shop.documents (id, body) VALUES (?, ?)`, i, blob(round*documents+i)).ExecContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		nodetool(t, node, "flush", "shop", "documents")
		nodetool(t, node, "compact", "shop", "documents")
	}
	rewrite(0)
	launch(t, svc)
	until(t, svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
	for round := range rounds {
		rewrite(1 + round)
		covered(t, node, svc)
	}

	table := func() (restores int64, id string) {
		t.Helper()
		var doc struct {
			Points []struct {
				Tables []struct {
					TableID      string `json:"table_id"`
					RestoreBytes int64  `json:"restore_bytes"`
				}
			}
		}
		if err := svc.JSON(t.Context(), &doc, "points", "shop.documents"); err != nil {
			t.Fatal(err)
		}
		newest := doc.Points[len(doc.Points)-1].Tables[0]
		return newest.RestoreBytes, newest.TableID
	}
	_, id := table()
	live, err := watcher.LiveBytes(node.DataDirs, sstable.Table{Keyspace: "shop", Name: "documents", ID: id})
	if err != nil || live < documents*1000 {
		t.Fatalf("%d bytes are live, %v", live, err)
	}
	for deadline := time.Now().Add(waiting); ; time.Sleep(200 * time.Millisecond) {
		restores, _ := table()
		if restores <= 2*live+64<<10 {
			t.Logf("%d bytes are live, after %d times as much was flushed; a restore takes %d", live, rounds+1, restores)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a restore takes %d bytes of a table that has %d", restores, live)
		}
	}
	if _, err := svc.Command(t.Context(), "restore", "--tables", "shop.documents", "--as", "shop.again"); err != nil {
		t.Fatal(err)
	}
	terminate(t, svc)
	was, again := rowsIn(t, session.Query("SELECT * FROM shop.documents").Iter().MapScan), rowsIn(t, session.Query("SELECT * FROM shop.again").Iter().MapScan)
	if was != again || strings.Count(was, "\n") != documents {
		t.Errorf("%d rows came back of %d, or not as they were", strings.Count(again, "\n"), documents)
	}
}

// rowsIn prints rows.
func rowsIn(t *testing.T, scan func(map[string]any) bool) string {
	t.Helper()
	var b strings.Builder
	for row := map[string]any{}; scan(row); row = map[string]any{} {
		fmt.Fprintln(&b, row)
	}
	return b.String()
}
