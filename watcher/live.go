package watcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sstash/sstash/internal/sstable"
)

// LiveBytes is the size of a table's live SSTables, those of its indexes among them. What vanishes
// meanwhile does not count; it may miss what a compaction is about to replace, or count both.
func LiveBytes(dataDirs []string, t sstable.Table) (bytes int64, err error) {
	for _, data := range dataDirs {
		dir := filepath.Join(data, t.Keyspace, t.Dir())
		indexes, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil {
			return 0, err
		}
		for _, d := range append(indexes, dir) {
			n, err := sizeOf(d)
			if err != nil {
				return 0, err
			}
			bytes += n
		}
	}
	return bytes, nil
}

// sizeOf adds up the components in a directory.
func sizeOf(dir string) (bytes int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		if n, ok := sstable.ParseName(e.Name()); !ok || n.Temporary || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return bytes, err
}
