package e2e

import (
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/internal/bucket/gcstest"
)

func TestLifeOnGCS(t *testing.T) {
	server, err := gcstest.Start("acme-backup")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", server.URL)
	lifeOn(t, "gs://acme-backup/sstash", 30_000)
}

func TestLifeOnDirectory(t *testing.T) {
	lifeOn(t, "file://"+filepath.Join(t.TempDir(), "bucket"), 8_000)
}

// lifeOn lives a whole life on a bucket, and reads that once more.
func lifeOn(t *testing.T, bucket string, rows int) {
	t.Helper()
	dir := t.TempDir()
	life := Life{
		Dir: dir, Binary: program(t), Bucket: bucket, Rows: rows,
		Out: t.Output(), Log: logFile(t, filepath.Join(dir, "sstash.log")),
	}
	if err := life.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	archived(t, bucket)
}
