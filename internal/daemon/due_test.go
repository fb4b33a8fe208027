package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket/dir"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
)

// A gap makes the next full early: at once, or an hour after the last one.
func TestNextFull(t *testing.T) {
	b, err := dir.Create(filepath.Join(t.TempDir(), "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	w, err := history.OpenWriter(t.Context(), history.Reader{Bucket: b, Prefix: "c/h/"}, history.Identity{Cluster: "c", HostID: "h"},
		manifest.Body{}, history.WriterOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Node: &Node{Config: config.Default(), Node: &backup.Node{
		Snapshots: &backup.Snapshots{}, Uploader: &uploader.Uploader{History: w},
	}}}
	s.Config.Full.Every, s.Config.Full.Spread = 24*time.Hour, 0
	commit := func(kind manifest.Kind, body manifest.Body) {
		t.Helper()
		body.AsOf = now
		if _, err := w.Commit(t.Context(), kind, nil, body); err != nil {
			t.Fatal(err)
		}
	}
	whole := func() {
		t.Helper()
		commit(manifest.Full, manifest.Body{Full: &manifest.FullPart{Tag: now.String(), Began: now, After: w.State().Seq(), All: true, Last: true}})
	}
	f := func(what string, in time.Duration, tag string) {
		t.Helper()
		due, got, ok := s.nextFull(now)
		if !ok || due.Sub(now) != in || got != "sstash-"+tag {
			t.Errorf("%s: due in %s under %s, want %s under sstash-%s", what, due.Sub(now), got, in, tag)
		}
	}
	f("nothing is stored", 0, "20261122T020000Z")
	whole()
	f("a full is stored", 24*time.Hour, "20261122T020000Z")
	now = now.Add(10 * time.Minute)
	commit(manifest.Increment, manifest.Body{Gaps: []manifest.Gap{{Why: "restarted"}}})
	f("a gap soon after the full", 50*time.Minute, "20261122T021000Z")
	now = now.Add(time.Hour)
	f("an hour later", 0, "20261122T021000Z")
	s.triedFull, s.retryFull = now, now.Add(fullRetry)
	f("one that failed", fullRetry, "20261122T021000Z")
	now = now.Add(time.Minute)
	whole()
	f("one that closed the gap", 23*time.Hour-11*time.Minute, "20261122T020000Z")
	now = now.Add(2 * time.Hour)
	commit(manifest.Increment, manifest.Body{Node: &manifest.Node{Backups: manifest.BackupsOff}, Gaps: []manifest.Gap{{Why: "off"}}})
	f("incremental backups are off", 21*time.Hour-11*time.Minute, "20261122T020000Z")
	commit(manifest.Increment, manifest.Body{Node: &manifest.Node{Backups: manifest.BackupsOn}, Gaps: []manifest.Gap{{Why: "were off"}}})
	f("they are on again", 0, "20261122T051100Z")
	s.Snapshots = nil
	if _, _, ok := s.nextFull(now); ok {
		t.Error("a full is due without nodetool")
	}
}

func TestObserveByNodetool(t *testing.T) {
	script := filepath.Join(t.TempDir(), "nodetool")
	n := &Node{Node: &backup.Node{Snapshots: &backup.Snapshots{Nodetool: cassandra.Nodetool{Argv: []string{"/bin/sh", script}}}}}
	f := func(status string, want *manifest.Node) {
		t.Helper()
		err := os.WriteFile(script, fmt.Appendf(nil, `case $1 in
info) printf 'ID                     : 1c38\nGeneration No          : 1795255187\n' ;;
version) echo 'ReleaseVersion: 3.11.19' ;;
statusbackup) %s ;;
esac`, status), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.observeByNodetool(t.Context())
		if want == nil && err == nil || want != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", status, got, err, want)
		}
	}
	f("echo running", &manifest.Node{Release: "3.11.19", Generation: 1795255187, Backups: manifest.BackupsOn})
	f("echo not running", &manifest.Node{Release: "3.11.19", Generation: 1795255187, Backups: manifest.BackupsOff})
	f("exit 1", nil)
}
