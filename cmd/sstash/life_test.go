package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/internal/verify"
)

// Every key that docs/cli.md promises is there, whatever there is to say.
func TestDocuments(t *testing.T) {
	c := newCLI(t)
	dirs := c.tree("links: off\n")
	var doc any
	f := func(code int, want string, args ...string) {
		t.Helper()
		doc = nil
		c.json(&doc, code, args...)
		what := strings.Join(args, " ")
		wantKeys(t, what, keys(t, doc), want)
		wantUniform(t, what, doc)
	}
	const statusKeys = `cluster node host_id ok covered_until log_until last_full last_error queue_files queue_bytes links_bytes
		links_prunable_bytes bucket_bytes warnings service`

	if err := os.Mkdir(c.path("bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	f(6, statusKeys, "status") // nothing is stored
	f(0, "groups", "links")
	f(0, "seq kind tables sstables files bytes new_bytes stored_bytes puts seconds pruned_files pruned_bytes incomplete", "backup")
	f(3, statusKeys, "status")
	f(0, "points", "points")
	wantKeys(t, "point", keys(t, doc, "points", 0), "time kind seq tables host_id cluster")
	wantKeys(t, "table of a point", keys(t, doc, "points", 0, "tables", 0), "keyspace table table_id proven_until live_bytes restore_bytes")
	f(0, "groups unknown", "links")
	wantKeys(t, "group", keys(t, doc, "groups", 0), "keyspace table kind tag files bytes exclusive_bytes durable reason made_by standing")
	f(0, "point statements complete", "schema")
	f(0, "objects bytes problems packs_read", "verify", "--deep")
	f(0, "plan point proven_until tables bytes fetch_bytes warnings", "restore", "plan", "--to", c.path("out"), "--tables", "shop.users,Shop", "-o", c.path("p.plan"))
	f(0, "tables point proven_until bytes_fetched seconds placed_dir damaged", "restore", "run", c.path("p.plan"))
	wantKeys(t, "restored table", keys(t, doc, "tables", 0), "keyspace table sstables bytes proven_until")
	f(0, "tables files bytes problems", "restore", "verify", c.path("p.plan"))
	f(0, "point statements", "schema", c.path("p.plan"))
	f(3, "ok checks", "doctor")
	wantKeys(t, "check", keys(t, doc, "checks", 0), "name verdict detail remedy")
	f(0, "version revision go platform", "version")

	n := linked(t, dirs)
	f(0, "done files bytes kept", "links", "prune")
	if linked(t, dirs) != n || n == 0 {
		t.Errorf("of %d SSTables in backups/, %d are left after a prune without --yes", n, linked(t, dirs))
	}
	f(0, "done files bytes kept", "links", "prune", "--yes")
	if linked(t, dirs) != 0 {
		t.Errorf("%d SSTables are left in backups/", linked(t, dirs))
	}
}

// linked counts the SSTables in backups/.
func linked(t *testing.T, dataDirs []string) (n int) {
	t.Helper()
	for _, dir := range dataDirs {
		for _, pattern := range []string{"*/*/backups/*-Data.db", "*/*/backups/.*/*-Data.db"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			n += len(found)
		}
	}
	return n
}

// seen is what the tests read of points.
type seen struct {
	Points []struct {
		Time   time.Time
		Seq    uint64
		HostID string `json:"host_id"`
		Tables []struct {
			Keyspace, Table string
			LiveBytes       int64 `json:"live_bytes"`
			RestoreBytes    int64 `json:"restore_bytes"`
		}
	}
}

func (s seen) seqs() (seqs []uint64) {
	for _, p := range s.Points {
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

// A copied tree is backed up, looked at from elsewhere, damaged and restored.
func TestLife(t *testing.T) {
	c := newCLI(t)
	dirs := c.tree("")
	before := linked(t, dirs)
	var first, second backupDoc
	c.json(&first, 0, "backup")
	if first.Kind != "full" || first.SSTables < before || first.NewBytes == 0 || first.Puts == 0 || first.PrunedFiles < before {
		t.Errorf("first backup of %d SSTables: %+v", before, first)
	}
	if n := linked(t, dirs); n != 0 {
		t.Errorf("%d SSTables are left in backups/", n)
	}
	c.json(&second, 0, "backup")
	if second.NewBytes != 0 || second.Seq != 0 || second.Kind != "none" || second.PrunedFiles != 0 {
		t.Errorf("second backup: %+v", second)
	}
	var s status.Status
	c.json(&s, 3, "status")
	if s.QueueFiles != 0 || s.BucketBytes == 0 || time.Since(s.CoveredUntil) > time.Minute || s.OK || s.Service {
		t.Errorf("status: %+v", s)
	}

	c.environ = []string{"SSTASH_BUCKET=file://" + c.path("bucket")} // from here on, another machine
	t.Run("points", func(t *testing.T) { testPoints(t, c.of(t)) })
	t.Run("restore", func(t *testing.T) { testRestore(t, c.of(t)) })
	t.Run("damage", func(t *testing.T) { testDamage(t, c.of(t)) })
}

// Who backs up a tree that has live SSTables alone is told that nothing came of it.
func TestBackupOfATreeWithoutLinks(t *testing.T) {
	c := newCLI(t)
	for _, dir := range c.tree("") {
		for _, links := range []string{"snapshots", "backups"} {
			found, err := filepath.Glob(filepath.Join(dir, "*", "*-*", links))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if r := c.want(0, "backup"); !strings.HasPrefix(r.stdout, "nothing is stored: ") {
		t.Errorf("got %q", r.stdout)
	}
}

func testPoints(t *testing.T, c *cli) {
	list := func(args ...string) (s seen) {
		t.Helper()
		c.json(&s, 0, append([]string{"points"}, args...)...)
		return s
	}
	all := list()
	if len(all.Points) < 4 || !slices.IsSorted(all.seqs()) {
		t.Fatalf("points %v, want several, the newest last", all.seqs())
	}
	last := all.Points[len(all.Points)-1]
	if last.HostID != testHost || len(last.Tables) < 5 {
		t.Errorf("newest point: %+v", last)
	}
	if two := list("--limit", "2"); !slices.Equal(two.seqs(), all.seqs()[len(all.Points)-2:]) {
		t.Errorf("the newest two of %v: %v", all.seqs(), two.seqs())
	}
	if got := list("--cluster"); !slices.Equal(got.seqs(), all.seqs()) {
		t.Errorf("--cluster: %v, want %v", got.seqs(), all.seqs())
	}
	if got := list("--cluster", "prod", "--node", testHost[:6]); !slices.Equal(got.seqs(), all.seqs()) {
		t.Errorf("--cluster prod --node: %v, want %v", got.seqs(), all.seqs())
	}
	users := list("shop.users")
	for _, p := range users.Points {
		if len(p.Tables) != 1 || p.Tables[0].Table != "users" || p.Tables[0].RestoreBytes < p.Tables[0].LiveBytes {
			t.Errorf("point %d of shop.users: %+v", p.Seq, p.Tables)
		}
	}
	if len(users.Points) == 0 || len(users.Points) > len(all.Points) {
		t.Errorf("%d points of shop.users, %d in all", len(users.Points), len(all.Points))
	}
	around := list("--around", last.Time.Format(time.RFC3339Nano), "--limit", "2")
	if !slices.Contains(around.seqs(), last.Seq) || len(around.Points) > 2 {
		t.Errorf("around point %d: %v", last.Seq, around.seqs())
	}
	c.want(2, "points", "shop.nothing")
	c.want(6, "points", "--max-age", "0s")
	c.want(0, "points", "--max-age", "520w")

	// The time that a point is listed with finds this very point or a newer one, not the one before.
	for _, p := range all.Points {
		var plan struct {
			Point struct {
				Seq  uint64
				Time time.Time
			}
		}
		c.json(&plan, 0, "restore", "plan", "--to", c.path("x"), "--at", p.Time.Format(time.RFC3339Nano))
		if plan.Point.Seq < p.Seq || plan.Point.Time.After(p.Time) {
			t.Errorf("the time of point %d, %s, finds %+v", p.Seq, p.Time, plan.Point)
		}
	}
}

func testRestore(t *testing.T, c *cli) {
	var doc struct {
		Tables []struct {
			Keyspace, Table string
			SSTables        int
			Bytes           int64
		}
		BytesFetched int64  `json:"bytes_fetched"`
		BytesKept    int64  `json:"bytes_kept"`
		PlacedDir    string `json:"placed_dir"`
	}
	to := c.path("direct")
	c.json(&doc, 0, "restore", "--to", to, "--tables", "shop.users")
	if len(doc.Tables) != 1 || doc.Tables[0].SSTables == 0 || doc.BytesFetched == 0 || doc.PlacedDir != to {
		t.Errorf("first run: %+v", doc)
	}
	found, err := filepath.Glob(filepath.Join(to, "shop", "users-*", "*-Data.db"))
	if err != nil || len(found) == 0 {
		t.Errorf("nothing is in %s/shop/users-…: %v", to, err)
	}
	c.json(&doc, 0, "restore", "--to", to, "--tables", "shop.users")
	if doc.BytesFetched != 0 || doc.BytesKept == 0 {
		t.Errorf("second run fetched %d bytes, kept %d", doc.BytesFetched, doc.BytesKept)
	}

	// A plan that was carried out, a file that changed since.
	plan := c.path("users.plan")
	c.want(0, "restore", "plan", "--to", to, "--tables", "shop.users", "-o", plan)
	c.want(0, "restore", "verify", plan)
	if err := os.WriteFile(found[0], []byte("not what it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.want(1, "restore", "verify", plan)
	if !strings.Contains(r.stdout, "different: shop/users-") {
		t.Errorf("verify does not name the file:\n%s", r.stdout)
	}
	c.want(4, "restore", "run", plan)
	c.want(0, "restore", "run", plan, "--force")
	c.want(0, "restore", "verify", plan)

	c.want(2, "restore", "--to", to, "--tables", "shop.nothing")
	c.want(2, "restore", "--to", to, "--point", "4711")
	c.want(2, "restore", "--tables", "shop.users") // no node to load into
}

func testDamage(t *testing.T, c *cli) {
	sample := func(args ...string) (d verifyDoc) {
		t.Helper()
		c.json(&d, 0, append([]string{"verify"}, args...)...)
		return d
	}
	c.environ = append(c.environ, "SSTASH_STATE="+c.path("state"))
	packs, err := filepath.Glob(c.path("bucket", "prod", testHost, "packs", "*"))
	if err != nil || len(packs) < 2 {
		t.Fatalf("packs %v, %v", packs, err)
	}
	for range packs { // each takes the one that was read longest ago
		if some := sample("--sample", "1%"); some.PacksRead != 1 {
			t.Errorf("1%% of %d packs: %d", len(packs), some.PacksRead)
		}
	}
	if memory := recallReads(c.path("state"), "file://"+c.path("bucket")); len(memory.Read) != len(packs) {
		t.Errorf("%d samples read %d of %d packs", len(packs), len(memory.Read), len(packs))
	}
	deep := sample("--deep")
	if deep.PacksRead == 0 || deep.Objects < deep.PacksRead || deep.Manifests == 0 {
		t.Errorf("verify --deep: %+v", deep)
	}
	for _, p := range packs {
		if err := flip(p); err != nil {
			t.Fatal(err)
		}
	}
	c.want(0, "verify") // present, and as long as it was
	var found verifyDoc
	c.json(&found, 1, "verify", "--deep")
	if len(found.Problems) != len(packs) || !strings.HasSuffix(packs[0], found.Problems[0].Object) || len(found.Problems[0].Affects) == 0 {
		t.Errorf("verify --deep of %d packs with a bit flipped in each: %+v", len(packs), found.Problems)
	}
	var restored struct{ Damaged []restore.Damage }
	c.json(&restored, 3, "restore", "--to", c.path("damaged"))
	if len(restored.Damaged) == 0 {
		t.Error("a restore from damaged packs reports no damage")
	}

	if err := os.Remove(packs[1]); err != nil {
		t.Fatal(err)
	}
	c.json(&found, 1, "verify")
	if len(found.Problems) != 1 || found.Problems[0].What != "missing" {
		t.Errorf("verify with a pack missing: %+v", found.Problems)
	}

	// A hole in the history.
	if err := os.Remove(c.path("bucket", "prod", testHost, "manifests", "0000000003")); err != nil {
		t.Fatal(err)
	}
	c.json(&found, 1, "verify")
	if !slices.ContainsFunc(found.Problems, func(p verify.Problem) bool { return strings.HasSuffix(p.Object, "/manifests/0000000003") }) {
		t.Errorf("verify with manifest 3 missing: %+v", found.Problems)
	}
	c.want(1, "restore", "--to", c.path("hole"))
	c.want(1, "points")
}

// flip changes one bit in the middle of a file.
func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("make %s writable: %w", path, err)
	}
	return os.WriteFile(path, b, 0o600)
}
