package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/dir"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// chronicle writes a history of n entries behind its first open: one a minute, every tenth a full of
// every table, every seventh another open. Two tables take turns.
func (c *cli) chronicle(n int) (first time.Time) {
	c.t.Helper()
	first = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	b, err := dir.Create(c.path("bucket"))
	if err != nil {
		c.t.Fatal(err)
	}
	clock := first
	o := history.WriterOptions{Now: func() time.Time { return clock }}
	reader := history.Reader{Bucket: b, Prefix: "prod/" + testHost + "/"}
	open := func() *history.Writer {
		w, err := history.OpenWriter(context.Background(), reader, history.Identity{Cluster: "prod", HostID: testHost}, manifest.Body{}, o)
		if err != nil {
			c.t.Fatal(err)
		}
		return w
	}
	w := open()
	for i := 2; i <= n; i++ {
		clock = clock.Add(time.Minute)
		if i%7 == 0 {
			w = open()
			continue
		}
		name := []string{"even", "odd"}[i%2]
		table := sstable.Table{Keyspace: "ks", Name: name, ID: "b2637280e58c11f199085b39e1f4c1a0"}
		body := manifest.Body{AsOf: clock, Tables: []manifest.Table{{Table: table, SSTables: []manifest.SSTable{{
			Stem: fmt.Sprintf("nb-%d-big", i), Components: []manifest.Component{{Name: "Data.db", Size: 10, Inode: uint64(i)}},
		}}}}}
		kind := manifest.Increment
		if i%10 == 0 {
			kind = manifest.Full
			body.Full = &manifest.FullPart{Tag: fmt.Sprint("sstash-", i), Began: clock, After: uint64(i - 1), All: true, Last: true}
			body.Tables[0].Base = &manifest.Base{ID: fmt.Sprint(i), Complete: true}
			body.Tables[0].Proven = clock
		}
		if _, err := w.Commit(context.Background(), kind, []manifest.Keep{{Packs: 1}}, body); err != nil {
			c.t.Fatal(err)
		}
	}
	c.environ = []string{"SSTASH_BUCKET=file://" + c.path("bucket")}
	return first
}

func TestPointsWindow(t *testing.T) {
	c := newCLI(t)
	first := c.chronicle(45)
	list := func(code int, args ...string) []uint64 {
		t.Helper()
		var s seen
		c.json(&s, code, append([]string{"points"}, args...)...)
		return s.seqs()
	}
	all := list(0, "--limit", "1000")
	var want []uint64
	for i := uint64(2); i <= 45; i++ {
		if i%7 != 0 {
			want = append(want, i)
		}
	}
	if !slices.Equal(all, want) {
		t.Fatalf("all points: %v, want %v", all, want)
	}
	for _, limit := range []int{1, 2, 3, 5, 20, 45} {
		got := list(0, "--limit", fmt.Sprint(limit))
		if want := all[max(0, len(all)-limit):]; !slices.Equal(got, want) {
			t.Errorf("the newest %d: %v, want %v", limit, got, want)
		}
	}
	for _, seq := range []uint64{2, 3, 10, 14, 30, 45} {
		at := first.Add(time.Duration(seq-1) * time.Minute).Format(time.RFC3339)
		i, _ := slices.BinarySearch(all, seq+1) // the next point
		for _, limit := range []int{1, 2, 5, 30} {
			got := list(0, "--around", at, "--limit", fmt.Sprint(limit))
			if want := all[max(0, i-(limit+1)/2):min(len(all), i+limit/2)]; !slices.Equal(got, want) {
				t.Errorf("%d around %d: %v, want %v", limit, seq, got, want)
			}
		}
	}
	if got := list(0, "ks.odd", "--limit", "3"); !slices.Equal(got, []uint64{41, 43, 45}) {
		t.Errorf("the newest 3 of one table: %v", got)
	}
	if got := list(0, "--around", "2026-11-01", "--limit", "4"); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("around a time before the first: %v", got)
	}
}

// What can still be read is listed, and the rest is said to be lost (I10).
func TestI10_PointsOfADamagedHistory(t *testing.T) {
	c := newCLI(t)
	c.chronicle(45)
	if err := os.Remove(c.path("bucket/prod", testHost, "manifests/0000000022")); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Points  []struct{ Seq uint64 }
		Damaged []string
	}
	c.json(&doc, 3, "points")
	if len(doc.Damaged) != 1 || len(doc.Points) == 0 || doc.Points[0].Seq <= 22 || doc.Points[len(doc.Points)-1].Seq != 45 {
		t.Errorf("points of a history without 22: %+v", doc)
	}
}

// What a point is proven through, and why no later, is what the history proves at its entry.
func TestI10_PointsSayWhyTheyLag(t *testing.T) {
	c := newCLI(t)
	first := c.chronicle(10) // which ends with a full of ks.even
	b, err := dir.Create(c.path("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	clock := first.Add(time.Hour)
	w, err := history.OpenWriter(context.Background(), history.Reader{Bucket: b, Prefix: "prod/" + testHost + "/"},
		history.Identity{Cluster: "prod", HostID: testHost}, manifest.Body{}, history.WriterOptions{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(body manifest.Body) {
		t.Helper()
		body.AsOf = clock
		if _, err := w.Commit(context.Background(), manifest.Increment, nil, body); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Hour)
	}
	other := sstable.Table{Keyspace: "ks", Name: "odd", ID: "b2637280e58c11f199085b39e1f4c1a0"}
	commit(manifest.Body{Barrier: &manifest.Barrier{At: first.Add(50 * time.Minute)}})
	commit(manifest.Body{Gaps: []manifest.Gap{{Table: &other, Why: "of a table that was not asked for"}}})
	commit(manifest.Body{Gaps: []manifest.Gap{{Why: "the database was restarted"}}})
	commit(manifest.Body{Barrier: &manifest.Barrier{At: first.Add(3 * time.Hour)}})

	var doc struct {
		Points []struct {
			Kind   string
			Tables []struct {
				Reason      string
				ProvenUntil string `json:"proven_until"`
			}
		}
	}
	c.json(&doc, 0, "points", "ks.even", "--limit", "4")
	var got []string
	for _, p := range doc.Points {
		got = append(got, fmt.Sprintf("%s %s %s", p.Kind, p.Tables[0].ProvenUntil, p.Tables[0].Reason))
	}
	want := []string{
		"full 2026-11-22T02:09:00.000000Z ",
		"barrier 2026-11-22T02:50:00.000000Z ",
		"gap 2026-11-22T02:50:00.000000Z gap at 2026-11-22T05:00:00Z: the database was restarted",
		"barrier 2026-11-22T02:50:00.000000Z gap at 2026-11-22T05:00:00Z: the database was restarted",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r := c.want(2, "points", "ks.nope"); !strings.Contains(r.stderr, "no such table") || r.stdout != "" {
		t.Errorf("points of a table that never was: %+v", r)
	}
	text := c.want(0, "points", "ks.even").stdout
	if !strings.HasSuffix(text, "point 15: every table: gap at 2026-11-22T05:00:00Z: the database was restarted\n") {
		t.Errorf("for people:\n%s", text)
	}
}

func TestNodes(t *testing.T) {
	c := newCLI(t)
	b, err := dir.Create(c.path("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	other := "2c380315-4444-4000-8000-000000000000"
	for _, name := range []string{
		"a", "doctor/20261122T020000Z-1", "prod-eu/" + testHost + "/manifests/0000000001", "prod/" + testHost + "/manifests/0000000001",
		"prod/" + testHost + "/packs/x", "prod/" + other + "/packs/y", "prod/readme/x/y", "prod/zz", "%2E/" + other + "/manifests/0000000001",
	} {
		if err := b.Put(context.Background(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	found, err := nodes(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range found {
		got = append(got, n.String())
	}
	want := []string{"./" + other, "prod-eu/" + testHost, "prod/" + testHost, "prod/" + other}
	if !slices.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
}
