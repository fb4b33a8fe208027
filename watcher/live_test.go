package watcher

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/internal/sstable"
)

func TestLiveBytes(t *testing.T) {
	table := sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280e58c11f199085b39e1f4c1a0"}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()} // the third has nothing of it
	for name, size := range map[string]int{
		"0/nb-1-big-Data.db": 1000, "0/nb-1-big-Index.db": 10, "1/nb-2-big-Data.db": 100, "1/.users_city/nb-1-big-Data.db": 5,
		"0/backups/nb-1-big-Data.db": 1 << 20, "1/snapshots/a/nb-2-big-Data.db": 1 << 20, "0/nb_txn_flush_1.log": 1 << 20, "0/x.tmp": 1 << 20,
	} {
		path := filepath.Join(dirs[name[0]-'0'], "shop", table.Dir(), name[2:])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := LiveBytes(dirs, table); err != nil || n != 1115 {
		t.Errorf("%d bytes, %v; want 1115", n, err)
	}
}
