package cassandratest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed install.sh pom.xml
var installFiles embed.FS

// Jars returns the directory of Cassandra's jars and the path of a Java 17, in
// the cache that install.sh fills and that $SSTASH_TEST_CACHE may place. It runs
// install.sh if they aren't there.
func Jars(ctx context.Context) (lib, java string, err error) { return installed(ctx, "lib") }

// LZ4Jars is Jars for the LZ4 libraries of all Cassandras: the directory holds
// lz4-1.2.0.jar, lz4-1.3.0.jar, lz4-java-1.8.0.jar and lz4-java-1.10.1.jar.
func LZ4Jars(ctx context.Context) (dir, java string, err error) { return installed(ctx, "lz4") }

func installed(ctx context.Context, name string) (dir, java string, err error) {
	root, err := cacheRoot()
	if err != nil {
		return "", "", fmt.Errorf("locate test cache: %w", err)
	}
	dir = filepath.Join(root, "cassandra-5.0.8", name)
	java = filepath.Join(root, "cassandra-5.0.8", "jdk", "bin", "java")
	if !exists(dir) || !exists(java) {
		err = install(ctx, root)
	}
	return dir, java, err
}

func cacheRoot() (string, error) {
	if root := os.Getenv("SSTASH_TEST_CACHE"); root != "" {
		return filepath.Abs(root)
	}
	root, err := os.UserCacheDir()
	return filepath.Join(root, "sstash"), err
}

// install runs install.sh, which may find that another process has done so.
func install(ctx context.Context, root string) error {
	tmp, err := os.MkdirTemp("", "cassandratest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := writeTree(tmp, installFiles); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(tmp, "install.sh"))
	cmd.Env = append(os.Environ(), "SSTASH_TEST_CACHE="+root)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install cassandra: %w\n%s", err, out)
	}
	return nil
}

// exists follows links: a link to nothing doesn't exist.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
