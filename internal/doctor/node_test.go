package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
)

const host = "1c380315-4444-4000-8000-000000000000"

// healthy is a node with nothing wrong: a data directory, a cassandra.yaml, a nodetool and somebody
// who answers.
func healthy(t *testing.T) Node {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "shop", "users-b2637280e58c11f199085b39e1f4c1a0", "backups"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := Node{DataDirs: []string{data}, Config: config.Default(), Ask: func(context.Context) (cassandra.Identity, error) {
		return cassandra.Identity{Cluster: "prod", HostID: host, Release: "5.0.8"}, nil
	}}
	n.Config.State = filepath.Join(dir, "state")
	n.Config.Cassandra.YAML = filepath.Join(dir, "cassandra.yaml")
	n.Config.Cassandra.CQL = "127.0.0.1:9042"
	n.Config.Cassandra.Nodetool = []string{filepath.Join(dir, "nodetool")}
	n.Config.Cassandra.Scratch = []string{"sh", "-c", "exec cassandra -f"}
	n.yamlIs(t, "incremental_backups: true")
	n.nodetoolSays(t, "running")
	return n
}

func (n Node) yamlIs(t *testing.T, more string) {
	t.Helper()
	yaml := "cluster_name: prod\ndata_file_directories: [" + n.DataDirs[0] + "]\ncommitlog_directory: " + n.DataDirs[0] + "\n" + more + "\n"
	if err := os.WriteFile(n.Config.Cassandra.YAML, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nodetoolSays writes a nodetool of release 5.0.8 with an answer to statusbackup.
func (n Node) nodetoolSays(t *testing.T, statusbackup string) {
	t.Helper()
	script := "#!/bin/sh\ncase $1 in\nversion) echo 'ReleaseVersion: 5.0.8' ;;\nstatusbackup) echo '" + statusbackup + "' ;;\nesac\n"
	if err := os.WriteFile(n.Config.Cassandra.Nodetool[0], []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestNode(t *testing.T) {
	f := func(what, name string, want Verdict, detail string, change func(n *Node)) {
		t.Helper()
		n := healthy(t)
		change(&n)
		got := find(t, n.Check(context.Background()), name)
		if got.Verdict != want || !strings.Contains(got.Detail, detail) {
			t.Errorf("%s: %+v, want %s: %s", what, got, want, detail)
		}
		if got.Verdict != OK && got.Remedy == "" {
			t.Errorf("%s: no remedy: %+v", what, got)
		}
	}
	n := healthy(t)
	for _, found := range n.Check(context.Background()) {
		if found.Verdict != OK {
			t.Errorf("a healthy node: %+v", found)
		}
	}

	f("no yaml", "cassandra.yaml", Fail, "no such file", func(n *Node) { n.Config.Cassandra.YAML += "x" })
	f("a data directory too few", "cassandra.yaml", Fail, "is a data directory of the node", func(n *Node) {
		n.Config.Cassandra.DataDirectories = []string{"/elsewhere"}
	})
	f("no data directory", "data directories", Fail, "none", func(n *Node) { n.DataDirs = nil })
	f("missing data directory", "data directories", Fail, "no such file", func(n *Node) { n.DataDirs = []string{"/absent"} })

	f("nobody answers", "cql", Fail, "refused", func(n *Node) {
		n.Ask = func(context.Context) (cassandra.Identity, error) {
			return cassandra.Identity{}, errors.New("connection refused")
		}
	})
	f("no cql", "cql", Warn, "not configured", func(n *Node) { n.Config.Cassandra.CQL = "" })
	f("another host", "cql", Fail, "not 2c38", func(n *Node) { n.Config.Cassandra.HostID = "2c380315-4444-4000-8000-000000000000" })
	f("another cluster's yaml", "cql", Fail, `of cluster "test"`, func(n *Node) {
		n.Ask = func(context.Context) (cassandra.Identity, error) {
			return cassandra.Identity{Cluster: "test", HostID: host, Release: "5.0.8"}, nil
		}
	})
	f("another name in the bucket", "cql", Warn, `"eu"`, func(n *Node) { n.Config.Cluster = "eu" })

	f("no scratch node", "scratch node", Warn, "not configured", func(n *Node) { n.Config.Cassandra.Scratch = nil })
	f("a wrong scratch node", "scratch node", Warn, "no such file", func(n *Node) { n.Config.Cassandra.Scratch = []string{"/absent/cassandra", "-f"} })
	f("no nodetool", "nodetool", Warn, "not configured", func(n *Node) { n.Config.Cassandra.Nodetool = nil })
	f("a wrong nodetool", "nodetool", Fail, "no such file", func(n *Node) { n.Config.Cassandra.Nodetool = []string{"/absent/nodetool"} })
	f("another node's nodetool", "nodetool", Fail, "CQL to 4.1.10", func(n *Node) {
		n.Ask = func(context.Context) (cassandra.Identity, error) {
			return cassandra.Identity{Cluster: "prod", HostID: host, Release: "4.1.10"}, nil
		}
	})

	f("off in the node", "incremental backups", Fail, "off", func(n *Node) { n.nodetoolSays(t, "not running") })
	f("off in the yaml", "incremental backups", Warn, "until the database restarts", func(n *Node) { n.yamlIs(t, "incremental_backups: false") })
	f("off, by the yaml alone", "incremental backups", Fail, "turns them off", func(n *Node) {
		n.yamlIs(t, "")
		n.Config.Cassandra.Nodetool = nil
	})
	f("no auto snapshots", "auto snapshots", Warn, "dropped", func(n *Node) { n.yamlIs(t, "incremental_backups: true\nauto_snapshot: false") })

	f("no commit log", "commit log", Warn, "not stored", func(n *Node) { n.Config.CommitLog.Every = 0 })
	f("a commit log somewhere", "commit log", Warn, "does not say where", func(n *Node) {
		yaml := "cluster_name: prod\ndata_file_directories: [" + n.DataDirs[0] + "]\n"
		if err := os.WriteFile(n.Config.Cassandra.YAML, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	f("a commit log that is not there", "commit log", Fail, "no such file", func(n *Node) { n.Config.CommitLog.Directory = "/absent" })
	f("no spool", "commit log", Fail, "no such file", func(n *Node) { n.Config.CommitLog.Spool = "/absent" })
	f("a node that does not say how it syncs", "commit log", Warn, "stands still", func(n *Node) {
		n.LogMode = func(context.Context) (commitlog.Mode, error) { return commitlog.Mode{}, errors.New("3.11") }
	})
	f("O_DIRECT", "commit log", Warn, "40s", func(n *Node) {
		n.LogMode = func(context.Context) (commitlog.Mode, error) { return commitlog.Mode{}, nil }
	})
	f("a commit log in memory", "commit log", OK, "every 10s", func(n *Node) {
		n.LogMode = func(context.Context) (commitlog.Mode, error) { return commitlog.Mode{Mapped: true}, nil }
	})

	f("a file for a state directory", "state directory", Fail, "not a directory", func(n *Node) { n.Config.State = n.Config.Cassandra.YAML })
	f("no room", "space for a restore", Warn, "EiB", func(n *Node) { n.Largest = 1 << 62 })
}

func TestWatches(t *testing.T) {
	n := healthy(t)
	f := func(limit string, want Verdict) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "max_user_watches"), []byte(limit), 0o600); err != nil {
			t.Fatal(err)
		}
		var found Findings
		n.watches(&found, dir)
		if found[0].Verdict != want {
			t.Errorf("%s watches: %+v, want %s", limit, found[0], want)
		}
	}
	f("8192\n", OK)
	f("2\n", Warn)
	f("many\n", Warn)
}

// Whoever can't unlink in backups/ can't clean it: the kernel is asked, nothing is written.
func TestUnlink(t *testing.T) {
	n := healthy(t)
	table := filepath.Join(n.DataDirs[0], "shop", "users-b2637280e58c11f199085b39e1f4c1a0")
	if err := os.Chmod(filepath.Join(table, "backups"), 0o555); err != nil {
		t.Fatal(err)
	}
	var found Findings
	unprivileged(t, n.DataDirs[0], func() { n.directories(&found) })
	if got := find(t, found, "unlink"); got.Verdict != Fail || !strings.Contains(got.Detail, "can't unlink in "+table) {
		t.Errorf("backups/ is read-only: %+v", got)
	}
	n.Config.Links = config.LinksOff
	for _, f := range n.Check(context.Background()) {
		if f.Name == "unlink" {
			t.Errorf("links: off, and yet %+v", f)
		}
	}
	entries, err := os.ReadDir(table)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: want backups alone", entries, err)
	}
}

// unprivileged calls fn without root's rights on files. path is made reachable.
func unprivileged(t *testing.T, path string, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn()
		return
	}
	for ; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	runtime.LockOSThread() // the identity is the thread's
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
	}()
	fn()
}
