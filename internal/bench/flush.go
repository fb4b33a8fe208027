package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// The flushes are those of so many nodes at once, each with a service of its own: one after the other
// they would take ten times as long.
const (
	flushNodes = 10
	flushEach  = 12
)

// measureFlushes runs the service beside nodes that flush now and then, and returns how long each
// flush took from its last hard link to the manifest that holds it, in order. The service has its
// defaults, but for the pause between commits: the shortest, so that a second of quiet is enough for
// the next flush to be the first one after quiet.
func measureFlushes(ctx context.Context, binary, dir string, nodes, each int) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	g, ctx := errgroup.WithContext(ctx)
	for i := range nodes {
		g.Go(func() error {
			n := flushing{dir: filepath.Join(dir, fmt.Sprint("node", i))}
			took, err := n.measure(ctx, binary, each)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return err
		})
	}
	err := g.Wait()
	slices.Sort(all)
	return all, err
}

// flushing is a node that flushes a small table.
type flushing struct {
	dir   string
	stems int
}

const flushHost = "8c9e2f6e-5d5b-4c6b-9d53-2f7f1e8f0a11"

func (n *flushing) measure(ctx context.Context, binary string, flushes int) (took []time.Duration, err error) {
	if err := os.MkdirAll(n.table("backups"), 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(n.dir, "sstash.yaml")
	yaml := fmt.Sprintf(`cluster: bench
bucket: file://%s
cassandra: {data_directories: [%q], host_id: %s}
state: %q
listen: ""
commit_every: 1s
`, filepath.Join(n.dir, "bucket"), filepath.Join(n.dir, "data"), flushHost, filepath.Join(n.dir, "state"))
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	service := exec.CommandContext(ctx, binary, "run", "--log-level", "error", "--config", config)
	service.Stderr = os.Stderr
	service.Cancel = func() error { return service.Process.Signal(syscall.SIGTERM) }
	if err := service.Start(); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, service.Process.Signal(syscall.SIGTERM), service.Wait())
	}()
	if _, err := n.committed(ctx, 0); err != nil {
		return nil, err
	}
	for range flushes {
		quiet := 2*time.Second + time.Duration(mathrand.IntN(1000))*time.Millisecond
		if err := sleep(ctx, quiet); err != nil {
			return took, err
		}
		before, err := n.commits()
		if err != nil {
			return took, err
		}
		if err := n.flush(); err != nil {
			return took, fmt.Errorf("flush: %w", err)
		}
		began := time.Now()
		after, err := n.committed(ctx, before)
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
		if after != before+1 {
			return took, fmt.Errorf("one flush made %d entries", after-before)
		}
	}
	return took, nil
}

func (n *flushing) table(sub string) string {
	return filepath.Join(n.dir, "data", "shop", "users-6beb05b0e58d11f1a7ef0d05e55e29f6", sub)
}

// flush does what Cassandra does: the components are written, Data.db first and TOC.txt last, and then
// linked.
func (n *flushing) flush() error {
	n.stems++
	var names []string
	toc := ""
	for _, c := range []struct {
		name string
		size int
	}{{"Data.db", 64 << 10}, {"Digest.crc32", 10}, {"Index.db", 2 << 10}, {"Filter.db", 512}, {"Statistics.db", 5 << 10}, {"Summary.db", 100}, {"CRC.db", 12}} {
		content := make([]byte, c.size)
		rand.Read(content) // never fails (crypto/rand)
		name := fmt.Sprintf("nb-%d-big-%s", n.stems, c.name)
		if err := os.WriteFile(n.table(name), content, 0o644); err != nil {
			return err
		}
		names = append(names, name)
		toc += c.name + "\n"
	}
	name := fmt.Sprintf("nb-%d-big-TOC.txt", n.stems)
	if err := os.WriteFile(n.table(name), []byte(toc+"TOC.txt\n"), 0o644); err != nil {
		return err
	}
	for _, name := range append(names, name) {
		if err := os.Link(n.table(name), n.table(filepath.Join("backups", name))); err != nil {
			return err
		}
	}
	return nil
}

// committed waits until there are more than so many entries.
func (n *flushing) committed(ctx context.Context, than int) (int, error) {
	for {
		now, err := n.commits()
		if err != nil || now > than {
			return now, err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return now, err
		}
	}
}

func (n *flushing) commits() (int, error) {
	entries, err := os.ReadDir(filepath.Join(n.dir, "bucket", "bench", flushHost, "manifests"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return len(entries), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
