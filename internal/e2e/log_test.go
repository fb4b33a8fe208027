package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/status"
)

// The service tails the log of a node under a trickle of writes, until the node and its disk are gone.
// What status said until when, the bucket alone says as well.
func TestLogOfALostDisk(t *testing.T) {
	node := cassandratest.New(t, cassandratest.Options{})
	session := connect(t, node)
	execute(t, session, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	execute(t, session, "CREATE TABLE ks.t (k int PRIMARY KEY)")
	dir := t.TempDir()
	url := "file://" + filepath.Join(dir, "bucket")
	svc := configure(t, node, Setup{Dir: dir, Bucket: url})
	svc.Env = []string{"SSTASH_COMMIT_LOG_EVERY=1s"}
	launch(t, svc)
	until(t, svc, func(s status.Status) bool { return !s.LogUntil.IsZero() })
	began := time.Now()

	var worst time.Duration
	const writes = 200
	for k := range writes {
		execute(t, session, fmt.Sprintf("INSERT INTO ks.t (k) VALUES (%d)", k))
		time.Sleep(20 * time.Millisecond) // a trickle
		if k%20 == 0 {
			st := until(t, svc, func(status.Status) bool { return true })
			worst = max(worst, time.Since(st.LogUntil))
		}
	}
	written := time.Now()
	st := until(t, svc, func(s status.Status) bool { return s.LogUntil.After(written) })
	t.Logf("with every: 1s, log_until was at most %s behind", worst.Round(10*time.Millisecond))
	node.Kill()
	for _, d := range append(node.DataDirs, node.CommitLog) {
		if err := os.RemoveAll(d); err != nil {
			t.Fatal(err)
		}
	}
	terminate(t, svc)

	b, err := bucketurl.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	log, err := commitlog.Read(t.Context(), b, archived(t, url).prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Covers(began, st.LogUntil); err != nil {
		t.Errorf("status said until %s: %v", st.LogUntil, err)
	}
	segments := t.TempDir()
	if err := log.Fetch(t.Context(), began, st.LogUntil, segments); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(segments); err != nil || len(entries) == 0 {
		t.Errorf("%d segments, %v", len(entries), err)
	}
}
