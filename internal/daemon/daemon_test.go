package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/watcher"
)

// copied is the configuration of a copied tree: no database to ask.
func copied(t *testing.T) config.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := config.Default()
	c.Cluster, c.Cassandra.HostID = "prod", "1c380315-9e2b-4b5c-8d0e-3f5a6b7c8d9e"
	c.Cassandra.DataDirectories = fixtures.DataDirs(fixtures.Unpack(t, "5.0.8-nb"))
	c.Bucket = "file://" + filepath.Join(t.TempDir(), "bucket")
	c.State = filepath.Join(t.TempDir(), "state")
	c.Listen = l.Addr().String()
	c.CommitEvery = 100 * time.Millisecond
	c.Watch = config.Watch{Settle: 200 * time.Millisecond, Patience: time.Minute, Rescan: time.Second}
	return c
}

// run starts the service and returns how it ends.
func run(ctx context.Context, t *testing.T, c config.Config, log io.Writer) <-chan error {
	t.Helper()
	n, err := Open(ctx, Options{Config: c, Version: "test", Listen: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Node: n, Log: slog.New(slog.NewTextHandler(log, nil)), Notify: func(string) {}, Beat: func() {}}
	done := make(chan error, 1)
	go func() {
		err := s.Run(ctx)
		n.Close()
		done <- err
	}()
	return done
}

func get(t *testing.T, c config.Config, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + c.Listen + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// until asks for the status until it is as wanted.
func until(t *testing.T, c config.Config, want func(status.Status) bool) status.Status {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	var st status.Status
	for time.Now().Before(deadline) {
		if _, body := get(t, c, "/status"); body != "" {
			st = status.Status{}
			if err := json.Unmarshal([]byte(body), &st); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if want(st) {
				return st
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the status stays %+v", st)
	return st
}

func TestServiceCoversAndSaysSo(t *testing.T) {
	c := copied(t)
	ctx, stop := context.WithCancel(context.Background())
	done := run(ctx, t, c, io.Discard)
	st := until(t, c, func(s status.Status) bool { return s.OK && s.LinksBytes == 0 })
	if st.QueueFiles != 0 || st.BucketBytes == 0 || st.Seq < 3 || st.CoveredUntil.IsZero() {
		t.Errorf("status %+v", st)
	}
	if code, body := get(t, c, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
	_, metrics := get(t, c, "/metrics")
	for _, name := range []string{
		"sstash_ok 1", "sstash_queue_files 0", "sstash_links_bytes 0", "sstash_covered_until_seconds 1.",
		`sstash_commits_total{kind="full"}`, `sstash_commits_total{kind="increment"}`, "sstash_puts_total",
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("metrics lack %s", name)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped: %v", err)
	}
}

// What is odd about SSTables is told once each, or once for a version, in the log, the status and the
// metrics; nobody has to come for it.
func TestI10_ServiceTellsWhatIsOdd(t *testing.T) {
	c := copied(t)
	c.Tables = config.Tables{"shop": {Compression: config.CompressionBalanced}}
	backups, err := filepath.Glob(filepath.Join(c.Cassandra.DataDirectories[0], "shop", "wide-*", "backups"))
	if err != nil || len(backups) != 1 {
		t.Fatal(backups, err)
	}
	const damaged = "nb-1-big-Data.db"
	content, err := os.ReadFile(filepath.Join(backups[0], damaged))
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(filepath.Join(backups[0], damaged), content, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"3", "5"} { // of a Cassandra to come
		files, err := filepath.Glob(filepath.Join(backups[0], "nb-"+id+"-big-*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if err := os.Rename(f, filepath.Join(backups[0], "q"+filepath.Base(f)[1:])); err != nil {
				t.Fatal(err)
			}
		}
	}
	var log strings.Builder
	ctx, stop := context.WithCancel(context.Background())
	done := run(ctx, t, c, &log)
	st := until(t, c, func(s status.Status) bool { return s.OK && s.LinksBytes == 0 })
	_, metrics := get(t, c, "/metrics")
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped: %v", err)
	}
	for _, want := range []string{
		"damaged on this node, stored as it is: " + filepath.Join(backups[0], "nb-1-big-*: 1 of "),
		"rows of qb-big SSTables can't be split into columns",
	} {
		if !slices.ContainsFunc(st.Notes, func(note string) bool { return strings.HasPrefix(note, want) }) {
			t.Errorf("notes %q lack %q", st.Notes, want)
		}
	}
	for _, odd := range []string{"qb-big", "damaged on this node"} {
		if n := strings.Count(log.String(), odd); n != 1 {
			t.Errorf("the log tells %d times of %s:\n%s", n, odd, log.String())
		}
	}
	for _, want := range []string{`sstash_unsplit_sstables_total{reason="`, "sstash_damaged_sstables_total "} {
		if _, rest, ok := strings.Cut(metrics, "\n"+want); !ok || strings.HasPrefix(rest, "0\n") {
			t.Errorf("the metrics don't count %s", want)
		}
	}
}

func TestI4_ServiceStopsWhenAnotherTakesOver(t *testing.T) {
	c := copied(t)
	c.Links = config.LinksOff // or the second would not begin here
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := run(ctx, t, c, io.Discard)
	until(t, c, func(s status.Status) bool { return s.OK })
	other := c
	other.State, other.Listen = filepath.Join(t.TempDir(), "clone"), ""
	second, err := Open(ctx, Options{Config: other, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	// The first finds out when it next has something to commit.
	link(t, c)
	if err := <-done; !errors.Is(err, history.ErrFenced) {
		t.Errorf("the first service: %v, want ErrFenced", err)
	}
}

// A service that can't begin has not ended another one.
func TestI4_ListenComesBeforeTheHistory(t *testing.T) {
	c := copied(t)
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if n, err := Open(t.Context(), Options{Config: c, Listen: true}); err == nil || !strings.Contains(err.Error(), "key listen") {
			n.Close()
			t.Fatalf("the address is taken: %v", err)
		}
	}
	n, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if seq := n.Uploader.History.State().Seq(); seq != 1 {
		t.Errorf("the first entry has number %d: others were made in vain", seq)
	}
}

// Under constant load, commits keep their distance, and none is put off for ever.
func TestCommitsKeepTheirDistance(t *testing.T) {
	c := copied(t)
	c.CommitEvery, c.Watch.Settle, c.Watch.Rescan = 2*time.Second, 50*time.Millisecond, time.Hour
	store(t, c)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := run(ctx, t, c, io.Discard)
	first := until(t, c, func(s status.Status) bool { return s.Seq > 0 }).Seq
	for n := range 1000 {
		linkAs(t, c, fmt.Sprintf("nb-%d-big-", 9000+n))
		time.Sleep(100 * time.Millisecond)
		if until(t, c, func(status.Status) bool { return true }).Seq >= first+3 {
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	h := history.Reader{Bucket: n.Bucket, Prefix: n.Uploader.Prefix}
	var last, before time.Time // what a slow machine divides has a rest that follows at once
	for seq := first + 1; seq < n.Uploader.History.State().Seq(); seq++ {
		m, err := h.Manifest(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if gap := m.Time.Sub(before); gap < c.CommitEvery-c.Watch.Settle {
			t.Errorf("entry %d follows the one before the last after %s", seq, gap)
		}
		last, before = m.Time, last
	}
}

// store stores what is there.
func store(t *testing.T, c config.Config) {
	t.Helper()
	n, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for {
		r, err := n.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Manifests)+len(r.Waiting) == 0 {
			return
		}
		time.Sleep(c.Watch.Settle)
	}
}

// link puts the files of a snapshot into backups/, as a flush would.
func link(t *testing.T, c config.Config) {
	t.Helper()
	linkAs(t, c, "nb-9999-big-")
}

func linkAs(t *testing.T, c config.Config, stem string) {
	t.Helper()
	l, err := watcher.Scan(context.Background(), c.Cassandra.DataDirectories)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l.Snapshots, func(s watcher.Snapshot) bool { return len(s.SSTables) > 0 })
	set := l.Snapshots[i].SSTables[0]
	table := filepath.Join(set.DataDir, set.Table.Keyspace, set.Table.Dir())
	for _, f := range set.Files {
		to := filepath.Join(table, "backups", stem+f.Component)
		if err := copyFile(filepath.Join(set.DataDir, set.Rel(f.Component)), to); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStateDirectoryIsLocked(t *testing.T) {
	c := copied(t)
	n, err := Open(context.Background(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := Open(context.Background(), Options{Config: c}); !errors.Is(err, history.ErrInUse) {
		t.Errorf("a second process: %v, want ErrInUse", err)
	}
}

// What one has stored, another with another bucket may still need: who unlinks is alone.
func TestI8_TwoBucketsOfOneNode(t *testing.T) {
	c := copied(t)
	f := func(first, second string, together bool) {
		t.Helper()
		one, other := c, c
		one.Links, other.Links = first, second
		other.Bucket = "file://" + filepath.Join(t.TempDir(), "bucket")
		other.State = filepath.Join(t.TempDir(), "state")
		n, err := Open(t.Context(), Options{Config: one})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		m, err := Open(t.Context(), Options{Config: other})
		if err == nil {
			m.Close()
		}
		if together && err != nil || !together && (!errors.Is(err, history.ErrInUse) || !strings.Contains(err.Error(), c.Cassandra.DataDirectories[0])) {
			t.Errorf("links: %s and %s: %v", first, second, err)
		}
	}
	f(config.LinksPrune, config.LinksPrune, false)
	f(config.LinksPrune, config.LinksOff, false)
	f(config.LinksOff, config.LinksPrune, false)
	f(config.LinksOff, config.LinksOff, true)
}

// What is covered ends where something appeared that is not durable yet.
func TestCoveredUntil(t *testing.T) {
	b := &board{}
	at := func(s int) time.Time { return time.Date(2026, 11, 22, 2, 0, s, 0, time.UTC) }
	pass := func(second int, waiting ...string) time.Time {
		r := backup.Report{Scan: watcher.Listing{Started: at(second)}}
		for _, w := range waiting {
			r.Waiting = append(r.Waiting, backup.Held{Path: w})
		}
		return b.covered(r)
	}
	f := func(got, want time.Time) {
		t.Helper()
		if !got.Equal(want) {
			t.Errorf("covered until %v, want %v", got, want)
		}
	}
	f(pass(10, "a"), time.Time{}) // the first scan: nobody knows since when a is there
	f(pass(20), at(20))
	f(pass(30, "b"), at(20))
	f(pass(40, "b", "c"), at(20))
	f(pass(50, "c"), at(30))
	f(pass(60), at(60))
}

func TestIdentityIsRemembered(t *testing.T) {
	c := config.Default()
	c.State = t.TempDir()
	c.Cassandra.CQL = "127.0.0.1:1" // nobody answers
	ctx := context.Background()
	if who, err := Identify(ctx, c); err == nil {
		t.Errorf("nobody answered, and yet this is %v", who)
	}
	said := history.Identity{Cluster: "prod", HostID: "1c380315-9e2b-4b5c-8d0e-3f5a6b7c8d9e"}
	remember(c.State, said)
	if who, err := Identify(ctx, c); err != nil || who != said {
		t.Errorf("remembered %v, %v", who, err)
	}
	c.Cassandra.HostID = "00000000-0000-4000-8000-000000000000"
	if _, err := Identify(ctx, c); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("another host id is configured: %v, want ErrIdentity", err)
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
