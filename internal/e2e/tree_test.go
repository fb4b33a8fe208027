package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// file is what sstash must never change of somebody's file.
type file struct {
	Inode    uint64
	Size     int64
	Mtime    int64
	Mode     fs.FileMode
	UID, GID uint32
	Hash     chunker.Hash
}

// files are those below some directories, by path.
type files map[string]file

// kind is what the place of a file in a data directory says of it.
type kind string

const (
	live     kind = ""
	backups  kind = "backups"
	snapshot kind = "snapshots"
)

// kindOf goes by depth, for a keyspace may be called backups and a table snapshots.
func kindOf(rel string) kind {
	parts := strings.Split(rel, "/")
	if len(parts) > 3 && (parts[2] == string(backups) || parts[2] == string(snapshot)) {
		return kind(parts[2])
	}
	return live
}

// readFiles reads the files of a kind in the data directories: those of the keyspaces, or all when
// none is named. What vanishes meanwhile is left out.
func readFiles(dataDirs []string, want kind, keyspaces ...string) (files, error) {
	found := files{}
	for _, dir := range dataDirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return ignoreGone(err)
			}
			rel, err := filepath.Rel(dir, path)
			keyspace, _, _ := strings.Cut(rel, "/")
			if err != nil || kindOf(rel) != want || len(keyspaces) > 0 && !slices.Contains(keyspaces, keyspace) {
				return err
			}
			f, err := readFile(path)
			if err == nil {
				found[path] = f
			}
			return ignoreGone(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func readFile(path string) (file, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return file{}, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return file{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return file{st.Ino, info.Size(), info.ModTime().UnixNano(), info.Mode(), st.Uid, st.Gid, chunker.Sum(data)}, nil
}

// list is readFiles for a test that can't go on without.
func list(t testing.TB, dataDirs []string, want kind, keyspaces ...string) files {
	t.Helper()
	found, err := readFiles(dataDirs, want, keyspaces...)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// lost lists the files that are no longer as they were.
func (f files) lost(now files) (paths []string) {
	for path, was := range f {
		if now[path] != was {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// parsePath says what the path of a component means: <keyspace>/<table>/[backups/][.<index>/]<file>.
func parsePath(rel string) (table sstable.Table, index string, name sstable.Name) {
	parts := strings.Split(rel, "/")
	if len(parts) < 3 {
		return table, "", name
	}
	table, _ = sstable.ParseTableDir(parts[0], parts[1])
	if dir := parts[len(parts)-2]; strings.HasPrefix(dir, ".") {
		index = dir
	}
	name, _ = sstable.ParseName(parts[len(parts)-1])
	return table, index, name
}

// below is path relative to the one of some directories that it is in, "" when it is in none.
func below(path string, dirs ...string) string {
	for _, dir := range dirs {
		if rel, ok := strings.CutPrefix(path, dir+"/"); ok {
			return rel
		}
	}
	return ""
}
