package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/gcstest"
	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/manifest"
)

// TestService runs the service beside one node, with a bucket for each test.
func TestService(t *testing.T) {
	node, session := start(t)
	load(t, session, 0, 400)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cassandratest.Node, *cassandratest.Session)
	}{
		{"SIGTERMWhileBucketStalls", testStalled},
		{"SIGTERMWhileUploadIsSlow", testSlow},
		{"Reload", testReload},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, node, session) })
		clearByHand(t, node) // or the same snapshot can't be taken for the next bucket
	}
}

func testStalled(t *testing.T, node *cassandratest.Node, _ *cassandratest.Session) {
	gcs, err := gcstest.Handler("acme")
	if err != nil {
		t.Fatal(err)
	}
	stalled := make(chan struct{}, 100)
	var stall atomic.Bool
	stall.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if stall.Load() && r.Method == http.MethodPost && bytes.Contains(body, []byte("packs/")) {
			stalled <- struct{}{}
			<-r.Context().Done()
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		gcs.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", server.URL)
	bucket := "gs://acme/x"
	svc := configure(t, node, Setup{Bucket: bucket})
	launch(t, svc)
	<-stalled
	before := list(t, node.DataDirs, backups)
	terminate(t, svc)
	if n := archived(t, bucket).counts(); n[manifest.Full] > 0 {
		t.Errorf("committed without its pack: %v", n)
	}
	if paths := before.lost(list(t, node.DataDirs, backups)); len(paths) > 0 {
		t.Errorf("%d links are gone: %v", len(paths), paths)
	}
	stall.Store(false)
	launch(t, svc)
	until(t, svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
	terminate(t, svc)
	archived(t, bucket)
}

func testSlow(t *testing.T, node *cassandratest.Node, session *cassandratest.Session) {
	dir := t.TempDir()
	bucket := "file://" + filepath.Join(dir, "bucket")
	svc := configure(t, node, Setup{Dir: dir, Bucket: bucket})
	launch(t, svc)
	until(t, svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
	terminate(t, svc)

	const documents, each = 1000, 4096
	for i := range documents {
		if err := session.Query(`INSERT INTO shop.documents (id, body) VALUES (?, ?)`, -i, blob(i)).ExecContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	nodetool(t, node, "flush", "shop", "documents")
	before := archived(t, bucket)
	rewrite(t, svc, "nice: 0", "upload: 64KiB")
	launch(t, svc)
	for hasRead(t, svc) < documents*each {
		time.Sleep(20 * time.Millisecond)
	}
	terminate(t, svc) // what it has read takes a minute to send
	if after := archived(t, bucket); after.counts()[manifest.Increment] > before.counts()[manifest.Increment] {
		t.Error("it was sent before it could be")
	}
	rewrite(t, svc, "upload: 64KiB", "nice: 0")
	launch(t, svc)
	covered(t, node, svc)
	terminate(t, svc)
	archived(t, bucket)
}

func testReload(t *testing.T, node *cassandratest.Node, session *cassandratest.Session) {
	dir := t.TempDir()
	bucket := "file://" + filepath.Join(dir, "bucket")
	svc := configure(t, node, Setup{Dir: dir, Bucket: bucket, Extra: "links: off"})
	launch(t, svc)
	until(t, svc, func(s status.Status) bool { return !s.LastFull.IsZero() })
	flushed := func(round int) status.Status {
		load(t, session, round, 400)
		return covered(t, node, svc)
	}
	if st := flushed(2); st.LinksPrunableBytes == 0 {
		t.Errorf("links: off, and yet nothing is left to unlink: %+v", st)
	}

	rewrite(t, svc, "links: off", "lynx: off")
	hangUp(t, svc)
	logged(t, svc, "the old one stays", "lynx", filepath.Base(svc.Config))
	if st := flushed(3); st.LinksPrunableBytes == 0 {
		t.Errorf("after a wrong configuration, links: %+v", st)
	}

	rewrite(t, svc, "lynx: off", "links: off")
	rewrite(t, svc, bucket, "file://"+filepath.Join(dir, "no", "such", "disk"))
	hangUp(t, svc)
	logged(t, svc, "back to the old one")
	if st := flushed(4); st.LinksPrunableBytes == 0 {
		t.Errorf("after a configuration that does not work, links: %+v", st)
	}

	rewrite(t, svc, "file://"+filepath.Join(dir, "no", "such", "disk"), bucket)
	rewrite(t, svc, "links: off", "")
	rewrite(t, svc, "flush_every: 0", "flush_every: 1s")
	hangUp(t, svc)
	until(t, svc, func(s status.Status) bool { return s.LinksPrunableBytes == 0 })
	// From now on, nobody needs to flush.
	seq := until(t, svc, func(s status.Status) bool { return s.Seq > 0 }).Seq
	load(t, session, 5, 400)
	until(t, svc, func(status.Status) bool {
		a, err := readArchive(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		return a.increments("shop", "users", seq)
	})
	terminate(t, svc)
	archived(t, bucket)
}

// launch starts the service.
func launch(t *testing.T, svc *Sstash) {
	t.Helper()
	if err := svc.Start(); err != nil {
		t.Fatal(err)
	}
}

// terminate is SIGTERM: the service ends by itself.
func terminate(t *testing.T, svc *Sstash) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waiting)
	defer cancel()
	if err := svc.Stop(ctx); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
}

func hangUp(t *testing.T, svc *Sstash) {
	t.Helper()
	if err := svc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// rewrite changes the configuration.
func rewrite(t *testing.T, svc *Sstash, from, to string) {
	t.Helper()
	yaml, err := os.ReadFile(svc.Config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(yaml), from) {
		t.Fatalf("no %q in %s", from, yaml)
	}
	if err := os.WriteFile(svc.Config, []byte(strings.Replace(string(yaml), from, to, 1)), 0o640); err != nil {
		t.Fatal(err)
	}
}

// logged waits for a line with all these words.
func logged(t *testing.T, svc *Sstash, words ...string) {
	t.Helper()
	deadline := time.Now().Add(waiting)
	for {
		log, err := os.ReadFile(svc.Log.(*os.File).Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if containsAll(line, words) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing was logged with %q", words)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

// hasRead is how many bytes the service has read from files since it was started.
func hasRead(t *testing.T, svc *Sstash) (n int64) {
	t.Helper()
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", svc.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(io), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}
