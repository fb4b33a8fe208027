package cassandra

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script returns a nodetool that is a shell script; $dir is a directory of its own.
func script(t *testing.T, body string) (n Nodetool, dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "nodetool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ndir="+dir+"\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return Nodetool{Argv: []string{path, "-p", "7299"}}, dir
}

func TestNodetoolArguments(t *testing.T) {
	n, dir := script(t, `printf '%s\n' "$@" > $dir/args; echo 'ReleaseVersion: 5.0.8'`)
	ctx := t.Context()
	for _, tt := range []struct {
		call func() error
		want string
	}{
		{func() error { return n.Snapshot(ctx, "t 1", nil) }, "snapshot|-t|t 1"},
		{func() error { return n.Snapshot(ctx, "t", []string{"a", "B"}) }, "snapshot|-t|t|a|B"},
		{func() error { return n.Snapshot(ctx, "t", []string{"a.b", "C.d"}) }, "snapshot|-t|t|-kt|a.b,C.d"},
		{func() error { return n.ClearSnapshot(ctx, "t") }, "clearsnapshot|-t|t"},
		{func() error { return n.Flush(ctx, "") }, "flush"},
		{func() error { return n.Flush(ctx, "ks") }, "flush|ks"},
		{func() error { return n.Flush(ctx, "ks", "a", "b") }, "flush|ks|a|b"},
		{func() error { return n.Import(ctx, "ks", "t", []string{"/a", "/b"}, ImportOptions{}) }, "import|ks|t|/a|/b"},
		{func() error {
			return n.Import(ctx, "ks", "t", []string{"/a"}, ImportOptions{CopyData: true, NoTokenCheck: true, KeepLevel: true})
		}, "import|-p|-l|-t|ks|t|/a"},
		{func() error { return n.EnableBackup(ctx) }, "enablebackup"},
		{func() error { return n.DisableBackup(ctx) }, "disablebackup"},
		{func() error { _, err := n.Version(ctx); return err }, "version"},
	} {
		if err := tt.call(); err != nil {
			t.Errorf("%s: %v", tt.want, err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(dir, "args"))
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll("-p|7299|"+tt.want+"|", "|", "\n"); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNodetoolRefusesWhatWouldMeanEverything(t *testing.T) {
	n, dir := script(t, "touch $dir/called\n")
	if err := n.ClearSnapshot(t.Context(), ""); !errors.Is(err, ErrNoTag) {
		t.Errorf("clear: %v", err)
	}
	if err := n.Snapshot(t.Context(), "", nil); !errors.Is(err, ErrNoTag) {
		t.Errorf("snapshot: %v", err)
	}
	if err := n.Snapshot(t.Context(), "t", []string{"ks", "ks.t"}); err == nil {
		t.Error("a mixture was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "called")); err == nil {
		t.Error("nodetool was called")
	}
}

func TestNodetoolAnswers(t *testing.T) {
	ctx := t.Context()
	for out, want := range map[string]string{"running": "true <nil>", "not running\\n": "false <nil>", "what": "false nodetool statusbackup: unexpected answer \"what\""} {
		n, _ := script(t, "echo noise >&2; printf '"+out+"'")
		on, err := n.StatusBackup(ctx)
		if got := strconv.FormatBool(on) + " " + errorText(err); got != want {
			t.Errorf("%q: got %s, want %s", out, got, want)
		}
	}
	n, _ := script(t, "echo ReleaseVersion: 5.0.8")
	if v, err := n.Version(ctx); v != "5.0.8" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}

func TestNodetoolErrors(t *testing.T) {
	ctx := t.Context()
	n, _ := script(t, `
echo "Requested creating snapshot(s)"
echo "error: Snapshot t already exists." >&2
echo "-- StackTrace --" >&2
echo "java.io.IOException" >&2
exit 2`)
	err := n.Snapshot(ctx, "t", nil)
	var tool *ToolError
	if !errors.Is(err, ErrSnapshotExists) || !errors.As(err, &tool) || tool.ExitCode != 2 || strings.Contains(err.Error(), "IOException") {
		t.Errorf("existing snapshot: %v", err)
	}

	n, _ = script(t, `
echo "nodetool: Failed to connect to '127.0.0.1:7199' - ConnectException: 'Connection refused'."
echo "See 'nodetool help' or 'nodetool help <command>'."
exit 1`)
	want := "nodetool flush: exit code 1: nodetool: Failed to connect to '127.0.0.1:7199' - ConnectException: 'Connection refused'."
	if err := n.Flush(ctx, "ks"); errorText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}

	n, _ = script(t, "head -c 1000000 /dev/zero | tr '\\0' x; echo the end; exit 3")
	if err := n.Flush(ctx, "ks"); err == nil || len(err.Error()) > 4096 || !strings.HasSuffix(err.Error(), "the end") {
		t.Errorf("long output: %.100v…", err)
	}

	n, _ = script(t, "kill -9 $$")
	if err := n.Flush(ctx, "ks"); !errors.As(err, &tool) || tool.ExitCode != -1 {
		t.Errorf("killed: %v", err)
	}
	if err := (Nodetool{Argv: []string{filepath.Join(t.TempDir(), "none")}}).Flush(ctx, "ks"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
	if err := (Nodetool{}).Flush(ctx, "ks"); err == nil {
		t.Error("no command: no error")
	}
}

func TestImportNamesWhatFailed(t *testing.T) {
	n, _ := script(t, `
echo "Some directories failed to import, check server logs for details:" >&2
echo "/stage/b" >&2
exit 1`)
	err := n.Import(t.Context(), "ks", "t", []string{"/stage/a/", "/stage/b/", "/stage/bb"}, ImportOptions{})
	var partial *ImportError
	if !errors.As(err, &partial) || !slices.Equal(partial.Failed, []string{"/stage/b/"}) {
		t.Fatalf("got %v", err)
	}
	n, _ = script(t, "echo ColumnFamilyStore for ks/t not found. >&2; exit 1")
	if err := n.Import(t.Context(), "ks", "t", []string{"/a"}, ImportOptions{}); err == nil || errors.As(err, &partial) {
		t.Errorf("no table: %v", err)
	}
}

// A cancelled call takes the processes with it that nodetool started.
func TestNodetoolCancel(t *testing.T) {
	n, dir := script(t, "sleep 600 &\necho $! > $dir/pid.tmp; mv $dir/pid.tmp $dir/pid\nwait\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	done := make(chan error, 1)
	go func() { done <- n.Flush(ctx, "ks") }()
	var pid int
	for pid == 0 {
		text, _ := os.ReadFile(filepath.Join(dir, "pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		time.Sleep(time.Millisecond)
	}
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	for !gone(pid) {
		time.Sleep(time.Millisecond)
	}

	n.Timeout = time.Millisecond
	if err := n.Flush(t.Context(), "ks"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
}

// gone says that a process has ended, reaped or not.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
