package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
)

// Node is the database node to be examined.
type Node struct {
	Config config.Config
	// DataDirs are the data directories by the configuration and cassandra.yaml.
	DataDirs []string
	// Ask asks the database by CQL who it is; not used when the configuration has no CQL address.
	Ask func(context.Context) (cassandra.Identity, error)
	// LogMode asks the database how it syncs its commit log; nil where nobody can be asked.
	LogMode func(context.Context) (commitlog.Mode, error)
	// Largest is what restoring the largest table takes on disk, in bytes; 0 when nothing is known.
	Largest int64
}

// Check runs all checks of a node.
func (n Node) Check(ctx context.Context) Findings {
	var found Findings
	settings, read := n.yaml(&found)
	n.directories(&found)
	id, asked := n.cql(ctx, &found, settings, read)
	n.nodetool(ctx, &found, id, asked)
	n.switches(ctx, &found, settings, read)
	n.commitLog(ctx, &found)
	n.watches(&found, "/proc/sys/fs/inotify")
	n.state(&found)
	n.space(&found)
	n.scratch(&found)
	return found
}

// yaml compares cassandra.yaml with the configuration.
func (n Node) yaml(found *Findings) (s cassandra.Settings, read bool) {
	const check = "cassandra.yaml"
	c := n.Config
	if c.Cassandra.YAML == "" {
		return s, false
	}
	s, err := cassandra.ReadYAML(c.Cassandra.YAML)
	named := len(c.Cassandra.DataDirectories) > 0 // what the yaml leaves out
	if err != nil && (!named || !errors.Is(err, cassandra.ErrNoDataDirectories)) {
		found.fail(check, "correct the key cassandra.yaml, and let this user read the file", "%v", err)
		return s, false
	}
	if have := c.Cassandra.DataDirectories; len(have) > 0 && len(s.DataDirectories) > 0 {
		for _, dir := range s.DataDirectories {
			if !slices.Contains(have, dir) {
				found.fail(check, "add it to cassandra.data_directories, or leave that key out",
					"%s is a data directory of the node and not in the configuration", dir)
				return s, true
			}
		}
	}
	found.ok(check, "%s: cluster %q, %d data directories", s.Path, s.ClusterName, len(s.DataDirectories))
	return s, true
}

// directories asks the kernel what this user may do; nothing is written to find out.
func (n Node) directories(found *Findings) {
	const check = "data directories"
	if len(n.DataDirs) == 0 {
		found.fail(check, "set cassandra.yaml or cassandra.data_directories", "none is known")
		return
	}
	tables, blocked := 0, ""
	for _, dir := range n.DataDirs {
		if err := access(dir, unix.R_OK|unix.X_OK); err != nil {
			found.fail(check, "mount it, or run sstash as the database's own user", "%s: %v", dir, err)
			return
		}
		for table := range tableDirs(dir) {
			tables++
			if b := filepath.Join(table, "backups"); blocked == "" && unwritable(b) {
				blocked = b
			}
		}
	}
	found.ok(check, "%s can be read, %d table directories", strings.Join(n.DataDirs, ", "), tables)
	switch {
	case n.Config.Links == config.LinksOff:
	case os.Geteuid() == 0 && owner(n.DataDirs[0]) != user(0):
		found.warn("unlink", "sudo -u the user that the service runs as, and try again",
			"root may do anything; the data belongs to %s", owner(n.DataDirs[0]))
	case blocked != "":
		found.fail("unlink", "run sstash as the database's own user, and name the data directories in the unit's ReadWritePaths",
			"this user (%s) can't unlink in %s, which belongs to %s", user(os.Geteuid()), blocked, owner(blocked))
	default:
		found.ok("unlink", "this user may unlink in backups/")
	}
}

// tableDirs lists what lies two levels below a data directory.
func tableDirs(dataDir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		keyspaces, _ := os.ReadDir(dataDir)
		for _, k := range keyspaces {
			tables, _ := os.ReadDir(filepath.Join(dataDir, k.Name()))
			for _, t := range tables {
				if t.IsDir() && !yield(filepath.Join(dataDir, k.Name(), t.Name())) {
					return
				}
			}
		}
	}
}

func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}

// unwritable holds for a directory that is there and in which we can't unlink.
func unwritable(dir string) bool {
	err := access(dir, unix.W_OK|unix.X_OK)
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

func owner(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "nobody knows whom"
	}
	return user(int(st.Uid))
}

func user(uid int) string { return "uid " + strconv.Itoa(uid) }

// cql compares who answers with who is configured.
func (n Node) cql(ctx context.Context, found *Findings, s cassandra.Settings, read bool) (id cassandra.Identity, asked bool) {
	const check = "cql"
	c := n.Config
	if c.Cassandra.CQL == "" {
		found.warn(check, "set cassandra.cql", "not configured: no schema will be stored, and the database is not asked who it is")
		return id, false
	}
	id, err := n.Ask(ctx)
	if err != nil {
		found.fail(check, "start the database, and check cassandra.cql, username, password_file and tls", "%v", err)
		return id, false
	}
	switch {
	case c.Cassandra.HostID != "" && !strings.EqualFold(c.Cassandra.HostID, id.HostID):
		found.fail(check, "correct cassandra.host_id, or cassandra.cql", "%s is host %s, not %s", c.Cassandra.CQL, id.HostID, c.Cassandra.HostID)
	case read && s.ClusterName != id.Cluster:
		found.fail(check, "correct cassandra.yaml or cassandra.cql: they belong to different nodes",
			"%s is of cluster %q, cassandra.yaml of %q", c.Cassandra.CQL, id.Cluster, s.ClusterName)
	case c.Cluster != "" && c.Cluster != id.Cluster:
		found.warn(check, "fine if you mean it: in the bucket the cluster has the configuration's name",
			"the database calls its cluster %q, the configuration %q", id.Cluster, c.Cluster)
	default:
		found.ok(check, "Cassandra %s, cluster %q, host %s", id.Release, id.Cluster, id.HostID)
	}
	return id, true
}

func (n Node) nodetool(ctx context.Context, found *Findings, id cassandra.Identity, asked bool) {
	const check = "nodetool"
	argv := n.Config.Cassandra.Nodetool
	if len(argv) == 0 {
		found.warn(check, "set cassandra.nodetool", "not configured: nobody takes snapshots, so nothing is ever proven")
		return
	}
	version, err := cassandra.Nodetool{Argv: argv}.Version(ctx)
	switch {
	case err != nil:
		found.fail(check, "make it work by hand, as the user that runs sstash", "%v", err)
	case asked && version != id.Release:
		found.fail(check, "correct cassandra.nodetool or cassandra.cql: they talk to different nodes",
			"it talks to Cassandra %s, CQL to %s", version, id.Release)
	default:
		found.ok(check, "talks to Cassandra %s", version)
	}
}

// switches are the database's own: incremental backups and automatic snapshots.
func (n Node) switches(ctx context.Context, found *Findings, s cassandra.Settings, read bool) {
	const check = "incremental backups"
	if len(n.Config.Cassandra.Nodetool) > 0 {
		on, err := cassandra.Nodetool{Argv: n.Config.Cassandra.Nodetool}.StatusBackup(ctx)
		switch {
		case err != nil:
			found.fail(check, "make nodetool statusbackup work", "%v", err)
		case !on:
			found.fail(check, "nodetool enablebackup, and incremental_backups: true in cassandra.yaml",
				"they are off: nothing between two fulls is backed up")
		case read && !s.IncrementalBackups:
			found.warn(check, "set incremental_backups: true in cassandra.yaml", "they are on until the database restarts")
		default:
			found.ok(check, "on")
		}
	} else if read && !s.IncrementalBackups {
		found.fail(check, "set incremental_backups: true in cassandra.yaml", "cassandra.yaml turns them off")
	}
	if read && !s.AutoSnapshot {
		found.warn("auto snapshots", "set auto_snapshot: true in cassandra.yaml",
			"off: what is dropped or truncated leaves nothing that could be backed up")
	}
}

// watches compares the directories that hints come from with what the kernel allows.
func (n Node) watches(found *Findings, sysctl string) {
	const check = "inotify"
	need := 0
	for _, dir := range n.DataDirs {
		for range tableDirs(dir) {
			need += 3 // backups/, an index in it, snapshots/
		}
	}
	limit, err := readNumber(filepath.Join(sysctl, "max_user_watches"))
	switch {
	case err != nil:
		found.warn(check, "", "its limit can't be read: %v", err)
	case need > limit:
		found.warn(check, fmt.Sprintf("sysctl fs.inotify.max_user_watches=%d", 2*need),
			"about %d directories to watch, %d allowed: the others are polled every few seconds", need, limit)
	default:
		found.ok(check, "about %d directories to watch, %d allowed", need, limit)
	}
}

func readNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// state tries the state directory by making a file in it, as the service will; it is ours.
func (n Node) state(found *Findings) {
	const check, remedy = "state directory", "give it to the user that runs sstash"
	dir := n.Config.State
	if err := os.MkdirAll(dir, 0o750); err != nil {
		found.fail(check, remedy, "%v", err)
		return
	}
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		found.fail(check, remedy, "%v", err)
		return
	}
	f.Close()
	if err := os.Remove(f.Name()); err != nil {
		found.fail(check, remedy, "%v", err)
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		found.fail(check, remedy, "%v", err)
		return
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); access(path, unix.R_OK|unix.W_OK) != nil {
			found.fail(check, remedy, "this user (%s) can't use %s, which belongs to %s", user(os.Geteuid()), path, owner(path))
			return
		}
	}
	found.ok(check, "%s can be written", dir)
}

// space compares the room beside the data with what the largest table takes while it is staged.
func (n Node) space(found *Findings) {
	const check = "space for a restore"
	for _, dir := range n.DataDirs {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			continue // the check of data directories says why
		}
		free := int64(st.Bavail) * st.Bsize
		if free >= n.Largest {
			found.ok(check, "%s free in %s, the largest table takes %s", humanize.IBytes(uint64(free)), dir, humanize.IBytes(uint64(n.Largest)))
			return
		}
	}
	if len(n.DataDirs) > 0 {
		found.warn(check, "restore to another disk with --to, or make room first",
			"no data directory has the %s free that the largest table takes", humanize.IBytes(uint64(n.Largest)))
	}
}
