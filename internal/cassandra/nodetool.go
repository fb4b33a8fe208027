package cassandra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Nodetool runs nodetool against one node, without a shell. A call costs the
// start of a JVM, about a second. Calls may run concurrently.
type Nodetool struct {
	// Argv is the command that the verb is appended to: ["nodetool"], or
	// ["nodetool", "-p", "7299", "-pwf", "/etc/…"]. It is seen by every user of
	// the machine: a password belongs in a -pwf file.
	Argv []string
	// Timeout bounds each call; 0 leaves that to the context. A call that is cut
	// off goes on inside the node.
	Timeout time.Duration
}

var (
	// ErrSnapshotExists: the tag is in use for one of the tables, maybe by a
	// snapshot that failed half-way. Nothing was taken.
	ErrSnapshotExists = errors.New("snapshot exists")
	// ErrNoTag keeps an empty tag from meaning every snapshot there is (I8).
	ErrNoTag = errors.New("no snapshot tag given")
)

// ImportError reports the directories that nodetool import refused. They are as
// they were; the others of the call are loaded and must not be loaded again.
type ImportError struct {
	Keyspace, Table string
	Failed          []string // of the directories given, as they were given
	Err             error    // a *ToolError
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("import into %s.%s: node refused %s (the reason is in its log): %v",
		e.Keyspace, e.Table, strings.Join(e.Failed, ", "), e.Err)
}

func (e *ImportError) Unwrap() error { return e.Err }

// ImportOptions are flags of nodetool import, 4.0+. The zero value moves the
// files, verifies them, checks that their tokens are the node's, and starts
// them unrepaired at level 0.
type ImportOptions struct {
	CopyData       bool // hard-link (or copy) rather than move; the links share inodes with the live files
	KeepLevel      bool
	KeepRepaired   bool
	NoVerify       bool
	NoTokenCheck   bool // rows of other nodes' tokens stay invisible until cleanup removes them
	KeepCaches     bool // don't invalidate the row cache
	Quick          bool // no verification, no caches, no token check
	ExtendedVerify bool
}

func (o ImportOptions) flags() []string {
	var flags []string
	for _, f := range []struct {
		on   bool
		flag string
	}{
		{o.CopyData, "-p"}, {o.KeepLevel, "-l"}, {o.KeepRepaired, "-r"}, {o.NoVerify, "-v"},
		{o.NoTokenCheck, "-t"}, {o.KeepCaches, "-c"}, {o.Quick, "-q"}, {o.ExtendedVerify, "-e"},
	} {
		if f.on {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// Snapshot flushes and takes a snapshot under tag of the whole node, of
// keyspaces ("ks"), or of tables ("ks.table"); the node allows no mixture.
// Success means that every table has its snapshot: it is the only such sign.
func (n Nodetool) Snapshot(ctx context.Context, tag string, of []string) error {
	if tag == "" {
		return ErrNoTag
	}
	args := []string{"snapshot", "-t", tag}
	switch tables := slices.ContainsFunc(of, isTable); {
	case tables && !slices.ContainsFunc(of, isKeyspace):
		args = append(args, "-kt", strings.Join(of, ","))
	case tables:
		return fmt.Errorf("snapshot %s: keyspaces and tables in one call: %s", tag, strings.Join(of, ", "))
	default:
		args = append(args, of...)
	}
	_, err := n.run(ctx, args...)
	var failed *ToolError
	if errors.As(err, &failed) && strings.Contains(failed.Output, "Snapshot "+tag+" already exists") {
		return fmt.Errorf("%w: %w", ErrSnapshotExists, err)
	}
	return err
}

func isTable(s string) bool    { return strings.Contains(s, ".") }
func isKeyspace(s string) bool { return !isTable(s) }

// ClearSnapshot removes the snapshots of all tables under tag. A tag that
// doesn't exist is no error.
func (n Nodetool) ClearSnapshot(ctx context.Context, tag string) error {
	if tag == "" {
		return ErrNoTag
	}
	_, err := n.run(ctx, "clearsnapshot", "-t", tag)
	return err
}

// Flush writes the memtables of the tables, of all tables of the keyspace, or
// of the whole node when keyspace is "". Everything acknowledged before the call
// is in SSTables when it returns.
func (n Nodetool) Flush(ctx context.Context, keyspace string, tables ...string) error {
	args := []string{"flush"}
	if keyspace != "" {
		args = slices.Concat(args, []string{keyspace}, tables)
	}
	_, err := n.run(ctx, args...)
	return err
}

// Import loads the SSTables at the top level of dirs into a table. If the node
// refuses some of the directories, the error is an *ImportError.
func (n Nodetool) Import(ctx context.Context, keyspace, table string, dirs []string, o ImportOptions) error {
	args := slices.Concat([]string{"import"}, o.flags(), []string{keyspace, table}, dirs)
	_, err := n.run(ctx, args...)
	var tool *ToolError
	if !errors.As(err, &tool) {
		return err
	}
	var failed []string
	for line := range strings.Lines(tool.Output) {
		line = strings.TrimRight(strings.TrimSpace(line), "/")
		i := slices.IndexFunc(dirs, func(dir string) bool { return strings.TrimRight(dir, "/") == line })
		if i >= 0 {
			failed = append(failed, dirs[i])
		}
	}
	if len(failed) == 0 {
		return err
	}
	return &ImportError{Keyspace: keyspace, Table: table, Failed: failed, Err: err}
}

// StatusBackup says whether incremental backups are on.
func (n Nodetool) StatusBackup(ctx context.Context) (bool, error) {
	out, err := n.run(ctx, "statusbackup")
	if err != nil {
		return false, err
	}
	switch out {
	case "running":
		return true, nil
	case "not running":
		return false, nil
	}
	return false, fmt.Errorf("nodetool statusbackup: unexpected answer %q", out)
}

// Generation returns the node's gossip generation, which grows with each start.
func (n Nodetool) Generation(ctx context.Context) (int64, error) {
	out, err := n.run(ctx, "info")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "Generation No" {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("nodetool info: no generation in %q", out)
}

// EnableBackup turns incremental backups on until the node restarts.
func (n Nodetool) EnableBackup(ctx context.Context) error {
	_, err := n.run(ctx, "enablebackup")
	return err
}

// DisableBackup turns incremental backups off until the node restarts.
func (n Nodetool) DisableBackup(ctx context.Context) error {
	_, err := n.run(ctx, "disablebackup")
	return err
}

// Version returns the node's release version, such as 5.0.8.
func (n Nodetool) Version(ctx context.Context) (string, error) {
	out, err := n.run(ctx, "version")
	if err != nil {
		return "", err
	}
	version, ok := strings.CutPrefix(out, "ReleaseVersion: ")
	if !ok {
		return "", fmt.Errorf("nodetool version: unexpected answer %q", out)
	}
	return version, nil
}
