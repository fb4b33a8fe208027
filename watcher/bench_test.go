package watcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkScan100k scans 100,000 hard links in 12,500 sets, in 50 tables of two data
// directories, with warm caches.
func BenchmarkScan100k(b *testing.B) {
	const tables, sets = 50, 250
	root := b.TempDir()
	dirs := []string{filepath.Join(root, "data1"), filepath.Join(root, "data2")}
	components := []string{"Data.db", "Index.db", "Statistics.db", "CompressionInfo.db", "Filter.db", "Summary.db", "Digest.crc32", "TOC.txt"}
	for i := range tables {
		// A file may have 65,000 links on ext4: each table has files of its own.
		live := fmt.Sprintf("ks/table_%d/nb-0-big", i)
		dir := filepath.Join(dirs[i%2], filepath.Dir(live), "backups")
		touch(b, dir, "/")
		for _, c := range components {
			touch(b, dirs[i%2], live+"-"+c)
			for n := range sets {
				link := filepath.Join(dir, fmt.Sprintf("nb-%d-big-%s", n+1, c))
				if err := os.Link(filepath.Join(dirs[i%2], live+"-"+c), link); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l, err := Scan(context.Background(), dirs)
		if err != nil || len(l.Backups) != tables*sets || l.Partial() {
			b.Fatal(len(l.Backups), l.Errors, err)
		}
	}
}
