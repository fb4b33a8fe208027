package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/daemon"
)

// commitLog tries what storing the commit log needs: that its directory is known, and its segments can
// be read.
func (n Node) commitLog(ctx context.Context, found *Findings) {
	const check = "commit log"
	c := n.Config
	if c.CommitLog.Every <= 0 {
		found.warn(check, "set commit_log.every", "not stored: what was not flushed when the disk is lost is gone, and there is no restore to the microsecond")
		return
	}
	dir, err := daemon.CommitLogDir(c)
	switch {
	case err != nil:
		return // the check of cassandra.yaml says why
	case dir == "" && c.Cassandra.YAML == "":
		return // a copied tree
	case dir == "":
		found.warn(check, "set commit_log.directory", "not stored: cassandra.yaml does not say where it is")
		return
	}
	if what, err := unreadable(dir); err != nil {
		found.fail(check, "run sstash as the database's own user", "%s: %v", what, err)
		return
	}
	if spool := c.CommitLog.Spool; spool != "" {
		if err := access(spool, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			found.fail(check, "give it to the user that runs sstash, and let the database write to it", "%s: %v", spool, err)
			return
		}
	}
	if commitlog.Crowded(dir) {
		found.warn(check, "make room", "%s: its disk is nearly full, so a segment that the database deletes before it is stored is lost to the log", dir)
		return
	}
	if n.LogMode == nil {
		found.ok(check, "%s can be read", dir)
		return
	}
	mode, err := n.LogMode(ctx)
	switch {
	case err != nil:
		found.warn(check, "let sstash read system_views.settings by CQL (Cassandra 4.0+)",
			"the database does not say how it syncs (%v): while it is idle, log_until stands still", err)
	case !mode.Waits && !mode.Mapped:
		found.warn(check, "fine if you know: commitlog_disk_access_mode mmap, or commitlog_sync group, prove sooner",
			"%s can be read, but what is written is seen only when it is synced: log_until is behind by %s or more", dir, 40*time.Second)
	default:
		found.ok(check, "%s can be read, every %s", dir, c.CommitLog.Every)
	}
}

// unreadable tries to list a directory and to open its segments. The first result is what can't be.
func unreadable(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dir, err
	}
	for _, e := range entries {
		if _, ok := commitlog.ParseName(e.Name()); !ok {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := access(path, unix.R_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", nil
}
