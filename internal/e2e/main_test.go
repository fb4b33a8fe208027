package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/internal/cassandratest"
)

// TestMain builds the program with the race detector and puts it first on the path, where program
// finds it. A race ends a process of it at once, and so a test.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sstash-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-race", "-tags", "disable_grpc_modules", "-o", dir, "github.com/sstash/sstash/cmd/sstash")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	err = errors.Join(
		os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")),
		os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0"),
	)
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// program is the path of the one that TestMain has built.
func program(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("sstash")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// configure makes a configuration for node in a directory of its own, and shows what the service
// printed if the test fails.
func configure(t testing.TB, node *cassandratest.Node, s Setup) *Sstash {
	t.Helper()
	if s.Dir == "" {
		s.Dir = t.TempDir()
	}
	svc, err := Configure(program(t), node, s)
	if err != nil {
		t.Fatal(err)
	}
	svc.Log = logFile(t, filepath.Join(s.Dir, "sstash.log"))
	t.Cleanup(func() {
		if svc.cmd != nil {
			svc.Kill()
		}
	})
	return svc
}

// logFile opens a new file, to be shown if the test fails.
func logFile(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if !t.Failed() {
			return
		}
		const tail = 16 << 10
		b, err := os.ReadFile(path)
		if err != nil {
			t.Log(err)
		}
		t.Logf("%s:\n%s", path, b[max(0, len(b)-tail):])
	})
	return f
}

// exitCode is how a process ended, -1 if not by itself.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
