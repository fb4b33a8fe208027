package cassandratest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// classData returns the directory of two archives of loaded classes (Java's
// class-data sharing) that spare a start 0.9 of 2.9 s and nodetool 0.3 of 0.7 s.
// It makes them on the first call on a machine, and again when the JDK or the
// scripts change.
func classData(ctx context.Context, lib, java string) (string, error) {
	key, err := classDataKey(java)
	if err != nil {
		return "", fmt.Errorf("identify the jdk: %w", err)
	}
	cache := filepath.Dir(lib)
	dir := filepath.Join(cache, "classes-"+key)
	if exists(dir) {
		return dir, nil
	}

	unlock, err := lock(filepath.Join(cache, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}
	stale, err := filepath.Glob(filepath.Join(cache, "classes-*"))
	if err != nil {
		return "", err
	}
	for _, s := range stale {
		if err := os.RemoveAll(s); err != nil {
			return "", err
		}
	}
	if err := train(ctx, lib, java, dir+".new"); err != nil {
		return "", fmt.Errorf("record class data: %w", err)
	}
	return dir, os.Rename(dir+".new", dir)
}

// classDataKey names all that the archives depend on, but for the jars, which
// never change.
func classDataKey(java string) (string, error) {
	release, err := os.ReadFile(filepath.Join(filepath.Dir(java), "..", "release"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(release)
	err = fs.WalkDir(nodeFiles, "bin", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := nodeFiles.ReadFile(name)
		h.Write(content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:6]), err
}

// train runs a node and nodetool once; both write their archive into dir when
// they end.
func train(ctx context.Context, lib, java, dir string) error {
	home := filepath.Join(dir, "node")
	n, err := newNode(Options{Dir: home}, machine{lib: lib, java: java, archives: dir, training: true})
	if err != nil {
		return err
	}
	if err := n.StartAgain(ctx); err != nil {
		return err
	}
	defer n.Kill()
	session, err := n.Session()
	if err != nil {
		return err
	}
	defer session.Close()
	for _, cql := range []string{
		"CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"CREATE TABLE ks.t (k int PRIMARY KEY, v text)",
		"INSERT INTO ks.t (k, v) VALUES (1, 'one')",
		"SELECT * FROM ks.t WHERE k = 1",
	} {
		if err := session.Query(cql).ExecContext(ctx); err != nil {
			return err
		}
	}
	if _, err := n.RunNodetool(ctx, "snapshot", "-t", "x", "ks"); err != nil {
		return err
	}
	if err := n.Stop(ctx); err != nil {
		return err
	}
	for _, archive := range []string{"cassandra.jsa", "nodetool.jsa"} {
		if _, err := os.Stat(filepath.Join(dir, archive)); err != nil {
			return fmt.Errorf("%w\n%s", err, n.LogTail())
		}
	}
	return os.RemoveAll(home)
}

// lock waits for the lock that install.sh takes too. It ends with the process.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}
