package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// tool is a program that stores a tree and brings it back.
type tool struct {
	name    string
	setup   func(context.Context) error // not measured; nil for nothing to do
	backups [2][]string                 // commands: the first pass, the second
	restore []string                    // command
}

// workplace has a directory for everything that a trial needs.
type workplace struct{ dir string }

func (w workplace) tree() string     { return filepath.Join(w.dir, "tree") }     // to be stored
func (w workplace) store() string    { return filepath.Join(w.dir, "store") }    // is there, empty
func (w workplace) restored() string { return filepath.Join(w.dir, "restored") } // to be made
func (w workplace) path(name string) string {
	return filepath.Join(w.dir, name)
}

// copying is what any tool does at least. It is durable when it ends, as with the others.
func copying(w workplace) tool {
	cp := func(from, to string) []string {
		return []string{"sh", "-c", `cp -a --no-preserve=links "$1" "$2" && sync -f "$2"`, "sh", from, to}
	}
	first, second := filepath.Join(w.store(), "1"), filepath.Join(w.store(), "2")
	return tool{
		name:    "cp",
		backups: [2][]string{cp(w.tree(), first), cp(w.tree(), second)},
		restore: cp(second, w.restored()),
	}
}

// restic runs with its defaults.
func restic(w workplace) tool {
	command := func(args ...string) []string {
		return append([]string{"restic", "--quiet", "--repo", w.store(), "--cache-dir", w.path("cache"), "--password-command", "echo bench"}, args...)
	}
	backup := command("backup", w.tree())
	return tool{
		name:    "restic",
		setup:   func(ctx context.Context) error { return run(ctx, command("init")) },
		backups: [2][]string{backup, backup},
		restore: command("restore", "latest", "--target", w.restored()),
	}
}

// sstash runs with its defaults but for the level, and as many cores. What it returns makes a tool.
func sstash(binary, level string, cores int) func(workplace) tool {
	name := "sstash " + level
	if cores != 1 {
		name += fmt.Sprintf(", %d cores", cores)
	}
	return func(w workplace) tool {
		config := fmt.Sprintf(`cluster: bench
bucket: file://%s
cassandra: {data_directories: [%q, %q], host_id: 8c9e2f6e-5d5b-4c6b-9d53-2f7f1e8f0a11}
state: %q
compression: %s
limits: {cpu: %d}
`, w.store(), filepath.Join(w.tree(), "data1"), filepath.Join(w.tree(), "data2"), w.path("state"), level, cores)
		command := func(args ...string) []string {
			return append([]string{binary, "--quiet", "--config", w.path("sstash.yaml")}, args...)
		}
		return tool{
			name:    name,
			setup:   func(context.Context) error { return os.WriteFile(w.path("sstash.yaml"), []byte(config), 0o600) },
			backups: [2][]string{command("backup"), command("backup")},
			restore: command("restore", "--at", "latest", "--to", w.restored()),
		}
	}
}

func run(ctx context.Context, argv []string) error {
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", argv[0], err, out)
	}
	return nil
}
