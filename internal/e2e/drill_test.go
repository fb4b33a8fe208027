package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/status"
)

// A drill brings a table back without touching the node, reads every row, and status remembers it.
func TestDrill(t *testing.T) {
	t.Parallel()
	node, session := start(t)
	load(t, session, 0, 2000)
	dir := t.TempDir()
	svc := configure(t, node, Setup{Dir: dir, Bucket: "file://" + filepath.Join(dir, "bucket")})
	if _, err := svc.Command(t.Context(), "backup", "--snapshot"); err != nil {
		t.Fatal(err)
	}
	pid := node.PID()
	type result struct {
		ProvenUntil time.Time `json:"proven_until"`
		Tables      []struct {
			Keyspace, Table, Digest string
			SSTables                int
			Rows                    int64
		}
	}
	var named, again, drawn result
	for _, d := range []*result{&named, &again} {
		if err := svc.JSON(t.Context(), d, "drill", "--tables", "shop,Shop,backups"); err != nil {
			t.Fatal(err)
		}
	}
	rows := dump(t, session, Tables())
	var total int64
	for i, table := range named.Tables {
		total += table.Rows
		if table.Digest != again.Tables[i].Digest || table.Rows == 0 {
			t.Errorf("%+v, and again %+v", table, again.Tables[i])
		}
	}
	if total != int64(rows.Count()) || len(named.Tables) != len(Tables()) || named.ProvenUntil.IsZero() {
		t.Errorf("%d rows of %d tables drilled, until %s; the node has %d in %d", total, len(named.Tables), named.ProvenUntil, rows.Count(), len(Tables()))
	}
	if err := svc.JSON(t.Context(), &drawn, "drill"); err != nil || len(drawn.Tables) == 0 {
		t.Errorf("one drawn by lot: %+v, %v", drawn, err)
	}
	if err := svc.Start(); err != nil {
		t.Fatal(err)
	}
	st := until(t, svc, func(s status.Status) bool { return s.LastDrill != nil })
	if d := st.LastDrill; !d.OK || len(d.Tables) != len(drawn.Tables) || d.Time.IsZero() || d.Tables[0].Rows != drawn.Tables[0].Rows {
		t.Errorf("status remembers %+v", d)
	}
	if node.PID() != pid {
		t.Error("the node was restarted")
	}
}
