package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sstash/sstash/internal/config"
)

// script writes an executable that stands for one of Cassandra's.
func (c *cli) script(name, content string) string {
	c.t.Helper()
	c.write(name, "#!/bin/sh\n"+content)
	if err := os.Chmod(c.path(name), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return c.path(name)
}

func TestInitOfACopiedTree(t *testing.T) {
	c := newCLI(t)
	if err := os.Mkdir(c.path("data"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := c.path("etc", "sstash.yaml")
	args := []string{"init", "--config", path, "--bucket", "file://" + c.path("bucket"), "--cluster", "prod",
		"--data-directory", c.path("data"), "--host-id", testHost}
	var doc initDoc
	c.json(&doc, 0, args...)
	if doc.Config != path || doc.HostID != testHost || doc.Cluster != "prod" || len(doc.Checks) == 0 || len(doc.Notes) != 0 {
		t.Errorf("init: %+v", doc)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v: want mode 0640", info, err)
	}
	cfg, err := config.Load(path, nil)
	if err != nil || cfg.Cluster != "prod" || cfg.Cassandra.HostID != testHost || cfg.CheckNode() != nil {
		t.Errorf("what init wrote: %+v, %v", cfg, err)
	}

	r := c.want(4, args...)
	if !strings.Contains(r.stderr, "--force") {
		t.Errorf("a second init: %s", r.stderr)
	}
	c.want(0, append(args, "--force", "--cluster", "other")...)
	if cfg, err := config.Load(path, nil); err != nil || cfg.Cluster != "other" {
		t.Errorf("what init --force wrote: %+v, %v", cfg, err)
	}
	entries, err := os.ReadDir(c.path("etc"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: want the configuration alone", entries, err)
	}
}

// What root makes for a service that runs as another user belongs to that user, and root leaves nothing
// in the service's bucket.
func TestInitForAnotherUser(t *testing.T) {
	c := newCLI(t)
	if err := os.Mkdir(c.path("data"), 0o755); err != nil {
		t.Fatal(err)
	}
	owner, checks := os.Geteuid(), true
	if owner == 0 { // only root can act for another
		owner, checks = 65534, false
		if err := os.Chown(c.path("data"), owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	var doc initDoc
	c.json(&doc, 0, "init", "--config", c.path("sstash.yaml"), "--bucket", "file://"+c.path("bucket"), "--cluster", "prod",
		"--data-directory", c.path("data"), "--host-id", testHost)
	if (len(doc.Checks) > 0) != checks {
		t.Errorf("checks: %+v", doc.Checks)
	}
	info, err := os.Stat(c.path("bucket"))
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != owner {
		t.Errorf("the bucket: %+v, %v; want it to be user %d's", info, err, owner)
	}
	entries, err := os.ReadDir(c.path("bucket"))
	if err != nil || !checks && len(entries) > 0 {
		t.Errorf("the bucket holds %v, %v", entries, err)
	}
}

// What can't be found out stays to be filled in, and is said.
func TestInitOfANodeThatIsDown(t *testing.T) {
	c := newCLI(t)
	c.write("cassandra.yaml", "cluster_name: prod\ndata_file_directories: ["+c.dir+"]\nrpc_address: 127.0.0.1\nnative_transport_port: 1\n")
	c.environ = []string{"CASSANDRA_CONF=" + c.dir}
	nodetool := c.script("nodetool", "exit 1\n")
	var doc initDoc
	c.json(&doc, 3, "init", "--config", c.path("new.yaml"), "--bucket", "file://"+c.path("bucket"), "--nodetool", nodetool)
	if doc.YAML != c.path("cassandra.yaml") || doc.CQL != "127.0.0.1:1" || len(doc.Notes) != 1 || !strings.Contains(doc.Notes[0], "start the database") {
		t.Errorf("init: %+v", doc)
	}
	cfg, err := config.Load(c.path("new.yaml"), nil)
	if err != nil || cfg.Cassandra.CQL != "127.0.0.1:1" || cfg.Cassandra.Nodetool[0] != nodetool {
		t.Errorf("what init wrote: %+v, %v", cfg, err)
	}
}

func TestInitBadInput(t *testing.T) {
	c := newCLI(t)
	c.want(2, "init", "--config", c.path("x.yaml"))
	c.want(2, "init", "--config", c.path("x.yaml"), "--bucket", "gs:/typo")
	r := c.want(5, "init", "--config", c.path("x.yaml"), "--bucket", "file://"+c.path("unmounted/bucket"),
		"--cluster", "prod", "--data-directory", c.dir, "--host-id", testHost)
	if !strings.Contains(r.stderr, "x.yaml is written") {
		t.Errorf("a bucket that is not there: %s", r.stderr)
	}
}

func TestSnapshot(t *testing.T) {
	c := newCLI(t)
	nodetool := c.script("nodetool", `echo "$@" >> `+c.path("calls")+"\n")
	c.configure([]string{c.dir}, "")
	c.environ = append(c.environ, "SSTASH_CASSANDRA_NODETOOL="+nodetool)
	r := c.want(0, "snapshot")
	tag := strings.TrimSpace(r.stdout)
	calls, err := os.ReadFile(c.path("calls"))
	if err != nil || string(calls) != "snapshot -t "+tag+"\n" || !strings.HasPrefix(tag, "sstash-20") {
		t.Errorf("tag %q, nodetool was called with %q, %v", tag, calls, err)
	}
	if again := c.want(0, "snapshot"); strings.TrimSpace(again.stdout) != tag {
		t.Errorf("the slot's tag: %q, then %q", tag, again.stdout)
	}
	var doc any
	c.json(&doc, 0, "snapshot", "--tag", "mine")
	wantKeys(t, "snapshot", keys(t, doc), "tag began seconds")
	wantUniform(t, "snapshot", doc)

	c.script("nodetool", `echo "error: Snapshot $3 already exists." >&2; exit 2`+"\n")
	r = c.want(4, "snapshot", "--tag", "mine")
	if !strings.Contains(r.stderr, "clearsnapshot") {
		t.Errorf("the tag is taken: %s", r.stderr)
	}
	c.want(2, "snapshot", "--tag", "../x")
	c.want(2, "backup", "--snapshot", "--tag", "../x")
}
