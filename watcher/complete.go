package watcher

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sstash/sstash/internal/sstable"
)

// Complete adds to a set in backups/ the files that it can't be opened without and that lie beside the
// live SSTable of which it was being linked: Cassandra, killed while it links, never goes on. It is
// that SSTable if it has one of the set's very files under the same name. False: the set lacks nothing
// of importance, or the live SSTable is gone, or lacks it too. Nothing is written.
func Complete(set sstable.SSTable) (sstable.SSTable, bool) {
	root, err := os.OpenRoot(set.DataDir)
	if err != nil {
		return set, false
	}
	defer root.Close()
	whole := set
	whole.Files = slices.Clone(set.Files)
	l := live{root: root, set: set, dir: liveDir(set.Dir)}
	if required, _, err := inspect(set); err != nil || len(required) == 0 || !l.twin() {
		return set, false
	}
	// What TOC.txt lists is only known once that is there, and what is required once it is known which
	// of two files it is.
	for {
		required, listed, err := inspect(whole)
		if err != nil {
			return set, false
		}
		found := l.find(append(alternatives(required), append(listed, sstable.TOC)...), whole)
		if len(found) == 0 {
			return whole, len(required) == 0
		}
		whole.Files = append(whole.Files, found...)
		slices.SortFunc(whole.Files, func(a, b sstable.File) int { return strings.Compare(a.Component, b.Component) })
	}
}

// alternatives takes "A or B", which sstable.Missing says, apart.
func alternatives(required []string) (names []string) {
	for _, r := range required {
		names = append(names, strings.Split(r, " or ")...)
	}
	return names
}

// liveDir is where the SSTables live that are linked into a directory: <table>[/.<index>] for
// <table>/backups[/.<index>].
func liveDir(dir string) string {
	parent, name := filepath.Split(dir)
	if sstable.IsIndexDir(name) {
		return filepath.Join(filepath.Dir(filepath.Clean(parent)), name)
	}
	return filepath.Clean(parent)
}

// live looks for the files of one live SSTable.
type live struct {
	root *os.Root
	set  sstable.SSTable // in backups/
	dir  string
}

// twin tells whether the live SSTable of the set's name has one of the set's files.
func (l live) twin() bool {
	return slices.ContainsFunc(l.set.Files, func(f sstable.File) bool {
		own, ok := l.file(f.Component)
		return ok && own.Fingerprint == f.Fingerprint
	})
}

// find finds those of the components that set has not.
func (l live) find(components []string, set sstable.SSTable) (found []sstable.File) {
	for _, c := range components {
		if _, ok := set.File(c); ok {
			continue
		}
		if f, ok := l.file(c); ok {
			found = append(found, f)
		}
	}
	return found
}

func (l live) file(component string) (sstable.File, bool) {
	f := sstable.File{Component: component, Dir: l.dir}
	info, err := l.root.Lstat(l.set.Path(f))
	if err != nil || info.Mode().Type() != fs.FileMode(0) {
		return f, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return f, false
	}
	// A hard link is on the same filesystem; whoever opens the file checks it.
	f.Fingerprint = sstable.Fingerprint{FS: l.set.Files[0].FS, Inode: stat.Ino, Size: stat.Size, Mtime: stat.Mtim.Nano()}
	f.Links = uint64(stat.Nlink)
	return f, true
}
