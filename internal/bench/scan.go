package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/sstash/sstash/watcher"
)

// scanned is what it takes to scan a node full of links.
type scanned struct {
	files  int
	places int           // directories that they are in
	first  time.Duration // of a process that has not looked before
	warm   time.Duration // the median of more
	read   int           // files whose content was read
	memory int64         // bytes of the listing
}

const (
	linkedSets   = 12_500
	linkedTables = 50
)

// components are those of an SSTable as Cassandra 4 and 5 write it.
func components() []string {
	return []string{"CompressionInfo.db", "Data.db", "Digest.crc32", "Filter.db", "Index.db", "Statistics.db", "Summary.db", "TOC.txt"}
}

// measureScan makes sets SSTables in root, spread over two data directories, links them into backups/,
// and scans.
func measureScan(ctx context.Context, root string, sets, tables int) (scanned, error) {
	dirs := []string{filepath.Join(root, "data1"), filepath.Join(root, "data2")}
	places, err := makeLinks(dirs, sets, tables)
	if err != nil {
		return scanned{}, fmt.Errorf("make links: %w", err)
	}
	s := scanned{places: len(places)}
	var times []time.Duration
	for range 8 {
		began := time.Now()
		if _, err := watcher.Scan(ctx, dirs); err != nil {
			return s, err
		}
		times = append(times, time.Since(began))
	}
	s.first = times[0]
	slices.Sort(times[1:])
	s.warm = times[len(times)/2]

	w, err := watchReads(places, 0)
	if err != nil {
		return s, err
	}
	defer w.close()
	before := heap()
	l, err := watcher.Scan(ctx, dirs)
	if err != nil {
		return s, err
	}
	s.memory = heap() - before
	for _, set := range l.Backups {
		s.files += len(set.Files)
	}
	s.read, err = w.files()
	return s, err
}

// makeLinks returns the directories that the links are in.
func makeLinks(dirs []string, sets, tables int) (places []string, err error) {
	for i := range sets {
		table := fmt.Sprintf("table%02d-%032x", i/len(dirs)%tables, i/len(dirs)%tables)
		live := filepath.Join(dirs[i%len(dirs)], "shop", table)
		place := filepath.Join(live, "backups")
		if i < tables*len(dirs) {
			if err := os.MkdirAll(place, 0o755); err != nil {
				return nil, err
			}
			places = append(places, place)
		}
		for _, c := range components() {
			name := fmt.Sprintf("nb-%d-big-%s", i, c)
			if err := os.WriteFile(filepath.Join(live, name), []byte(name), 0o644); err != nil {
				return nil, err
			}
			if err := os.Link(filepath.Join(live, name), filepath.Join(place, name)); err != nil {
				return nil, err
			}
		}
	}
	return places, nil
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
