package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/doctor"
)

// From an empty machine to a table that was dropped and is back, on a real Cassandra.
func TestOnARealNode(t *testing.T) {
	node := cassandratest.New(t, cassandratest.Options{})
	session, err := node.Session()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, cql := range []string{
		`CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
		`CREATE TABLE shop.users (id int PRIMARY KEY, name text)`,
		`INSERT INTO shop.users (id, name) VALUES (1, 'Ada')`,
		`INSERT INTO shop.users (id, name) VALUES (2, 'Grace')`,
	} {
		if err := session.Query(cql).Exec(); err != nil {
			t.Fatalf("%s: %v", cql, err)
		}
	}

	c := newCLI(t)
	c.environ = []string{"SSTASH_CONFIG=" + c.path("sstash.yaml"), "SSTASH_STATE=" + c.path("state"), "SSTASH_LISTEN=",
		"SSTASH_CASSANDRA_SCRATCH=" + strings.Join(node.Cassandra(), " ")}
	var made initDoc
	c.json(&made, 0, "init", "--yaml", node.YAML, "--nodetool", strings.Join(node.Nodetool(), ","), "--bucket", "file://"+c.path("bucket"))
	if made.Cluster != "cassandratest" || made.HostID == "" || made.CQL != node.CQL {
		t.Errorf("init: %+v", made)
	}
	health := func(code int) doctor.Findings {
		t.Helper()
		var doc doctorDoc
		c.json(&doc, code, "doctor")
		return slices.DeleteFunc(doc.Checks, func(f doctor.Finding) bool { return f.Verdict == doctor.OK })
	}
	if found := health(3); len(found) != 1 || found[0].Name != "history" {
		t.Errorf("doctor before the first backup: %+v", found)
	}

	began := time.Now().Truncate(time.Microsecond)
	var stored backupDoc
	c.json(&stored, 0, "backup", "--snapshot")
	if stored.Kind != "full" || stored.NewBytes == 0 {
		t.Errorf("backup: %+v", stored)
	}
	if found := health(0); len(found) != 0 {
		t.Errorf("doctor after it: %+v", found)
	}
	var listed struct {
		Points []struct {
			Seq    uint64
			Tables []struct {
				ProvenUntil time.Time `json:"proven_until"`
			}
		}
	}
	c.json(&listed, 0, "points", "shop.users")
	if last := listed.Points[len(listed.Points)-1]; last.Seq != stored.Seq || last.Tables[0].ProvenUntil.Before(began) {
		t.Errorf("the newest point is %+v, want %d, proven through when the snapshot began", last, stored.Seq)
	}
	if r := c.want(0, "schema"); !strings.Contains(r.stdout, "CREATE TABLE shop.users") || !strings.Contains(r.stdout, "CREATE KEYSPACE shop") {
		t.Errorf("schema:\n%s", r.stdout)
	}

	if r := c.want(4, "restore", "--tables", "shop.users"); !strings.Contains(r.stderr, "not empty") {
		t.Errorf("restore into a table with rows: %s", r.stderr)
	}
	var doc any
	c.json(&doc, 0, "restore", "--tables", "shop.users", "--as", "shop.users_before")
	wantUniform(t, "restore", doc)
	countRows(t, session, "shop.users_before", 2)
	if err := session.Query("DROP TABLE shop.users").Exec(); err != nil {
		t.Fatal(err)
	}
	c.want(0, "restore", "plan", "--tables", "shop.users", "-o", c.path("users.plan"))
	c.want(0, "restore", "run", c.path("users.plan"))
	c.want(0, "restore", "verify", c.path("users.plan"))
	countRows(t, session, "shop.users", 2)
	if left, err := os.ReadDir(node.Dir); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".plan") }) {
		t.Errorf("%v, %v: a plan that was carried out is left", left, err)
	}
}

func countRows(t *testing.T, s *cassandratest.Session, table string, want int) {
	t.Helper()
	var got int
	if err := s.Query("SELECT count(*) FROM " + table).Scan(&got); err != nil || got != want {
		t.Errorf("%s has %d rows, %v; want %d", table, got, err, want)
	}
}
