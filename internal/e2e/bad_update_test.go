package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/status"
)

// A bad update, as docs/restore.md has it: the table as it was a microsecond before, beside the live
// one, and then in its place, while the node and the service run on.
func TestABadUpdate(t *testing.T) {
	t.Parallel()
	node, session := start(t)
	dir := t.TempDir()
	svc := configure(t, node, Setup{Dir: dir, Bucket: "file://" + filepath.Join(dir, "bucket")})
	svc.Env = []string{"SSTASH_COMMIT_LOG_EVERY=1s"}
	load(t, session, 0, 500)
	if err := svc.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, svc, func(s status.Status) bool { return !s.LastFull.IsZero() && !s.LogUntil.IsZero() })
	load(t, session, 1, 500)
	nodetool(t, node, "flush", "shop", "users")
	load(t, session, 2, 500)
	want := dump(t, session, Tables())
	moment := time.Now().UTC().Truncate(time.Microsecond)
	bad := moment.Add(time.Microsecond)
	execute(t, session, fmt.Sprintf("UPDATE shop.users USING TIMESTAMP %d SET city = 'spoiled' WHERE id IN (1, 501, 1001)", bad.UnixMicro()))
	load(t, session, 3, 500)
	until(t, svc, func(s status.Status) bool { return s.LogUntil.After(bad.Add(time.Second)) })

	restore := func(args ...string) {
		t.Helper()
		var done struct {
			ProvenUntil time.Time `json:"proven_until"`
			Mutations   int
			Seconds     float64
		}
		args = append([]string{"restore", "--at", moment.Format(time.RFC3339Nano), "--stage", filepath.Join(dir, "stage")}, args...)
		if err := svc.JSON(t.Context(), &done, args...); err != nil {
			t.Fatal(err)
		}
		if !done.ProvenUntil.Equal(moment) || done.Mutations == 0 {
			t.Fatalf("restored until %s, with %d writes of the log; want %s", done.ProvenUntil, done.Mutations, moment)
		}
		t.Logf("%q took %.1f s", args, done.Seconds)
	}
	restore("--tables", "shop.users", "--as", "shop.users_before")
	got := dump(t, session, []string{"shop.users_before"})
	if !slices.Equal(got["shop.users_before"], want["shop.users"]) {
		t.Errorf("beside the live table: %d rows, want %d", len(got["shop.users_before"]), len(want["shop.users"]))
	}
	for _, table := range Tables() {
		execute(t, session, "TRUNCATE "+table)
	}
	restore()
	if diff := want.Diff(dump(t, session, Tables())); diff != "" {
		t.Errorf("in place:\n%s", diff)
	}
}
