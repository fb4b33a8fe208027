package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/scratch"
)

func TestExitCode(t *testing.T) {
	f := func(err error, want int) {
		t.Helper()
		if err != nil {
			err = fmt.Errorf("do it: %w", err)
		}
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	f(nil, 0)
	f(errors.New("anything"), 1)
	f(context.Canceled, 1)
	f(history.ErrDamaged, 1)
	f(history.ErrEmpty, 1)
	f(usagef("no"), 2)
	f(restore.ErrNoTable, 2)
	f(restore.ErrBadPlan, 2)
	f(fmt.Errorf("s3: %w", errors.ErrUnsupported), 2)
	f(syscall.ENOTSUP, 1) // the kernel's, not ours
	f(restore.ErrIncomplete, 3)
	f(errIncomplete, 3)
	f(history.ErrFenced, 4)
	f(history.ErrInUse, 4)
	f(backup.ErrIdentity, 4)
	f(restore.ErrNotEmpty, 4)
	f(scratch.ErrNotIsolated, 4)
	f(bucket.ErrDenied, 5)
	f(bucket.ErrUnreachable, 5)
	f(errTooOld, 6)
	f(errors.Join(errIncomplete, bucket.ErrDenied), 5)
}

// Whatever is typed wrong ends with a code that says so, and a message that helps.
func TestBadInput(t *testing.T) {
	c := newCLI(t)
	data := c.path("data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	f := func(code int, message string, args ...string) {
		t.Helper()
		r := c.run(args...)
		if r.code != code || !strings.Contains(r.stderr, message) || r.stdout != "" {
			t.Errorf("sstash %s: exit code %d, want %d; stdout %q; stderr lacks %q:\n%s",
				strings.Join(args, " "), r.code, code, r.stdout, message, r.stderr)
		}
	}
	c.configure([]string{data}, "")
	f(2, `unknown command "bakcup"`, "bakcup")
	f(2, "unknown flag: --jsn", "status", "--jsn")
	f(2, "unknown command", "status", "now")
	f(2, "invalid argument", "status", "--log-level", "loud")
	f(2, "neither text nor json", "version", "--log-format", "xml")
	f(2, "is no time", "restore", "--to", c.path("out"), "--at", "yesterday")
	f(2, "is no time", "points", "--around", "noon")
	f(2, "is no duration", "points", "--max-age", "long")
	f(2, "is no duration", "status", "--max-age", "long")
	f(2, "is no share", "verify", "--sample", "0")
	f(2, "--snapshot", "backup", "--tag", "x")
	f(2, "cassandra.nodetool", "backup", "--snapshot")
	f(2, "cassandra.nodetool", "snapshot")
	f(2, "give one of them", "restore", "plan", "--at", "latest", "--point", "3")
	f(2, "read plan", "restore", "run", c.path("absent.plan"))
	f(2, "not a usable plan", "restore", "run", c.path("sstash.yaml"))
	f(2, "accepts 1 arg", "restore", "run")
	f(2, "--at", "schema", c.path("x.plan"), "--at", "latest")
	f(2, "no such file", "points", "--config", c.path("absent.yaml"))
	f(2, "not supported yet", "points", "--bucket", "s3://bucket/prefix")
	f(2, "not supported yet", "backup", "--bucket", "azblob://account/container")
	f(2, `scheme "ftp"`, "points", "--bucket", "ftp://x/y")
	f(5, "unreachable", "points", "--bucket", "file://"+c.path("unmounted/bucket"))
	f(5, "unreachable", "backup", "--bucket", "file://"+c.path("unmounted/bucket"))
	for _, name := range []string{"empty", "bucket"} {
		if err := os.Mkdir(c.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f(1, "no backups here", "points", "--bucket", "file://"+c.path("empty"))
	f(1, "no backups here", "verify")
	f(2, `node "zz"`, "restore", "--node", "zz", "--bucket", "file://"+c.twoNodes())

	c.write("typo.yaml", "bucket: file:///x\ncassandra:\n  yml: /etc/cassandra.yaml\n")
	f(2, c.path("typo.yaml")+`:3: unknown key "cassandra.yml"; did you mean "cassandra.yaml"?`, "points", "--config", c.path("typo.yaml"))
	c.configure([]string{c.path("absent")}, "")
	f(1, c.path("absent"), "backup")
	c.environ = append(c.environ, "SSTASH_BUKET=x")
	f(2, "SSTASH_BUCKET", "points")
	c.environ = nil // an operator's machine
	f(2, "choose one with --node: prod eu/2c380315-4444-4000-8000-000000000000, prod/1c380315", "schema", "--bucket", "file://"+c.path("two"))
	f(2, "the service does not answer", "status", "--bucket", "file://"+c.path("two"))
	f(2, "give yaml", "links", "--bucket", "file://"+c.path("two"))
}

// twoNodes makes a bucket with two nodes in it.
func (c *cli) twoNodes() string {
	c.t.Helper()
	for _, node := range []string{"prod/" + testHost, "prod%20eu/2c380315-4444-4000-8000-000000000000"} {
		dir := c.path("two", node, "manifests")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/0000000001", []byte("x"), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	return c.path("two")
}
