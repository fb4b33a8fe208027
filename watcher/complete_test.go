package watcher

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sstash/sstash/internal/sstable"
)

// A set that was being linked when Cassandra was killed is completed from the live SSTable.
func TestComplete(t *testing.T) {
	f := func(name, index string, linked []string, change func(live string), want bool) {
		t.Helper()
		s := newScript(t, false)
		live := filepath.Join("data1/ks/t", index, "nb-1-big")
		s.run("create", []string{live})
		s.run("link", append([]string{live, filepath.Join("data1/ks/t/backups", index)}, linked...))
		set := scan(t, s.dirs[0]).Backups[0]
		change(filepath.Join(s.root, live))
		whole, ok := Complete(set)
		if ok != want {
			t.Errorf("%s: completed %v, want %v", name, ok, want)
		}
		if !ok {
			return
		}
		if v := settled(whole); v.State != Ready || !slices.IsSorted(whole.Components()) || len(set.Files) != len(linked) {
			t.Errorf("%s: %v of %v is %+v", name, whole.Components(), set.Components(), v)
		}
		for _, file := range whole.Files {
			if slices.Contains(linked, file.Component) != (file.Dir == "") {
				t.Errorf("%s: %s is taken from %s", name, file.Component, whole.Path(file))
			}
			if _, err := readFile(s.dirs[0], whole.Path(file), file.Fingerprint, 1<<20); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(string) {}
	f("one file was linked", "", []string{"Data.db"}, nothing, true)
	f("TOC.txt alone", "", []string{"TOC.txt"}, nothing, true)
	f("of an index", ".idx", []string{"Data.db", "Index.db"}, nothing, true)
	f("streamed: no TOC.txt", "", []string{"Data.db"}, func(live string) { must(os.Remove(live + "-TOC.txt")) }, true)
	f("the live one is gone", "", []string{"Data.db"}, func(live string) {
		files, err := filepath.Glob(live + "-*")
		must(err)
		for _, path := range files {
			must(os.Remove(path))
		}
	}, false)
	f("another one has its name", "", []string{"Index.db"}, func(live string) {
		must(os.Remove(live + "-Index.db"))
		must(os.WriteFile(live+"-Index.db", []byte("another"), 0o644))
	}, false)
	f("the live one lacks it too", "", []string{"Index.db"}, func(live string) { must(os.Remove(live + "-Data.db")) }, false)
	f("nothing of importance is missing", "", []string{"Data.db", "Index.db", "Statistics.db", sstable.CompressionInfo, sstable.TOC}, nothing, false)
}
