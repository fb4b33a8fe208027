package backup

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// clock only goes when it is told to.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// open makes a node over dirs with its history in b.
func open(t *testing.T, b bucket.Bucket, c *clock, dirs ...string) *Node {
	t.Helper()
	n, err := tryOpen(b, c, dirs...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tryOpen(b bucket.Bucket, c *clock, dirs ...string) (*Node, error) {
	w, err := history.OpenWriter(context.Background(), history.Reader{Bucket: b, Prefix: "c/h/"},
		history.Identity{Cluster: "c", HostID: "h"}, manifest.Body{Writer: &manifest.Writer{Host: "node"}},
		history.WriterOptions{Now: c.Now})
	if err != nil {
		return nil, err
	}
	return &Node{
		DataDirs: dirs,
		Judge:    &watcher.Judge{Settle: time.Second, Patience: time.Minute},
		Uploader: &uploader.Uploader{Bucket: b, Prefix: "c/h/", History: w, Level: chunker.Fast, Now: c.Now},
		Now:      c.Now,
	}, nil
}

// settled is a pass after everything has settled.
func settled(t *testing.T, n *Node, c *clock) Report {
	t.Helper()
	r, err := n.Pass(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(2 * time.Second)
	next, err := n.Pass(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.merge(next)
	return r
}

func TestFixtureTreesAreStoredWhole(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			dirs := fixtures.DataDirs(fixtures.Unpack(t, variant))
			c := &clock{time.Now()}
			b := &buckettest.Memory{}
			n := open(t, b, c, dirs...)
			r := settled(t, n, c)
			for _, h := range append(r.Waiting, r.Quarantined...) {
				t.Errorf("%s: %s", h.Path, h.Why)
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			sets, snapshots := 0, 0
			for range r.Scan.Backups {
				sets++
			}
			for _, s := range r.Scan.Snapshots {
				snapshots += len(s.SSTables)
			}
			if r.SSTables != sets+snapshots {
				t.Errorf("stored %d SSTables of %d in backups/ and %d in snapshots", r.SSTables, sets, snapshots)
			}
			again := settled(t, n, c)
			if len(again.Manifests) != 0 || again.Puts != 0 {
				t.Errorf("a second pass committed %d manifests in %d puts", len(again.Manifests), again.Puts)
			}
			t.Logf("%d manifests, %d SSTables, %d bytes in files, %d read, %d stored, %d puts",
				len(r.Manifests), r.SSTables, r.Bytes, r.NewBytes, r.Stored, r.Puts)
		})
	}
}

var _ = filepath.Join
