package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sstash/sstash/internal/cassandratest"
)

// TestClusterIsGone follows docs/restore.md, "The cluster is gone": every node is lost, and a new
// cluster gets what each of them had, at one moment.
func TestClusterIsGone(t *testing.T) {
	const size = 2
	ring := cassandratest.NewRing(t, size, cassandratest.Options{HeapMB: 512})
	bucket := "file://" + filepath.Join(t.TempDir(), "bucket")
	session := connect(t, ring[0])
	execute(t, session, `CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
	execute(t, session, `CREATE TABLE shop.kv (k int PRIMARY KEY, v text)`)
	fill := func(from, to int) {
		for k := from; k < to; k++ {
			if err := session.Query(`INSERT INTO shop.kv (k, v) VALUES (?, 'v')`, k).ExecContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(0, 200)
	var plans []string
	for _, n := range ring {
		svc := configure(t, n, Setup{Bucket: bucket})
		if _, err := svc.Command(t.Context(), "backup", "--snapshot"); err != nil {
			t.Fatal(err)
		}
		plan := filepath.Join(t.TempDir(), "node.plan")
		if _, err := svc.Command(t.Context(), "restore", "plan", "--at", "latest", "-o", plan); err != nil {
			t.Fatal(err)
		}
		plans = append(plans, plan)
	}
	want := dump(t, session, []string{"shop.kv"})
	if len(want["shop.kv"]) != 200 {
		t.Fatalf("%d rows before", len(want["shop.kv"]))
	}
	for _, n := range ring {
		n.Kill()
	}

	fresh := cassandratest.NewRing(t, size, cassandratest.Options{HeapMB: 512})
	for i, n := range fresh {
		tool := configure(t, n, Setup{Bucket: bucket})
		host, tokens := source(t, plans[i])
		if got := ownTokens(t, n); !slices.Equal(got, tokens) {
			t.Fatalf("the new node has tokens %v, the old one had %v", got, tokens)
		}
		if _, err := tool.Command(t.Context(), "restore", "--at", "latest", "--node", host); err != nil {
			t.Fatal(err)
		}
	}
	if diff := want.Diff(dump(t, connect(t, fresh[0]), []string{"shop.kv"})); diff != "" {
		t.Errorf("the restored rows differ:\n%s", diff)
	}
}

// source is what a plan says of the node that it restores.
func source(t *testing.T, plan string) (host string, tokens []string) {
	t.Helper()
	b, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Prefix string
		Source struct{ Tokens []string }
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(p.Prefix), p.Source.Tokens
}

func ownTokens(t *testing.T, n *cassandratest.Node) (tokens []string) {
	t.Helper()
	if err := connect(t, n).Query(`SELECT tokens FROM system.local`).Scan(&tokens); err != nil {
		t.Fatal(err)
	}
	return tokens
}
