package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/internal/cassandratest"
)

// SSTables come from everywhere: base data, flushes, a compaction, streams (which leave no TOC.txt)
// and imports. What is restored equals what was there.
func TestEverySourceOfSSTables(t *testing.T) {
	node, session := start(t)
	bucket := "file://" + filepath.Join(t.TempDir(), "bucket")
	tool := configure(t, node, Setup{Bucket: bucket})
	backup := func(args ...string) {
		t.Helper()
		nodetool(t, node, "flush")
		if _, err := tool.Command(t.Context(), append([]string{"backup"}, args...)...); err != nil {
			// What nodetool can't clear in a keyspace called backups is a problem, and no more.
			if !strings.Contains(err.Error(), "remove them by hand") {
				t.Fatal(err)
			}
		}
	}
	load(t, session, 0, 2000)
	backup("--snapshot")
	for round := 1; round <= 3; round++ {
		load(t, session, round, 1000)
		backup()
	}
	nodetool(t, node, "compact", "shop")
	load(t, session, 4, 1000)
	nodetool(t, node, "flush")
	nodetool(t, node, "snapshot", "-t", "copied", "shop")
	stream(t, node, "users")
	backup()
	imported(t, node, "documents")
	backup()
	repaired(t, node, "messages")
	backup("--snapshot")
	checkRepaired(t, node, archived(t, bucket))

	want := dump(t, connect(t, node), Tables())
	if diff := want.Diff(restored(t, bucket, Tables())); diff != "" {
		t.Errorf("the restored rows differ:\n%s", diff)
	}
}

// copies makes a copy of a table's snapshot for each data directory that has one.
func copies(t *testing.T, node *cassandratest.Node, table string) (dirs []string) {
	t.Helper()
	for _, data := range node.DataDirs {
		from, err := filepath.Glob(filepath.Join(data, "shop", table+"-*", "snapshots", "copied"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range from {
			to := filepath.Join(t.TempDir(), "shop", table)
			if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			dirs = append(dirs, to)
		}
	}
	if len(dirs) == 0 {
		t.Fatalf("no snapshot of %s", table)
	}
	return dirs
}

// stream sends the table's own rows to it once more, and makes sure that what arrives lacks a
// TOC.txt.
func stream(t *testing.T, node *cassandratest.Node, table string) {
	t.Helper()
	for _, dir := range copies(t, node, table) {
		argv := append(node.SSTableLoader(), "-d", node.Address, "--no-progress", dir)
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	data, toc := 0, 0
	for _, dir := range node.DataDirs {
		links, err := filepath.Glob(filepath.Join(dir, "shop", table+"-*", "backups", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			switch {
			case strings.HasSuffix(l, "-Data.db"):
				data++
			case strings.HasSuffix(l, "-TOC.txt"):
				toc++
			}
		}
	}
	if toc >= data {
		t.Fatalf("%d sets in backups/ have %d TOC.txt: nothing was streamed without one", data, toc)
	}
}

// imported loads a copy of the table's own SSTables into it: under new ids, and linked again.
func imported(t *testing.T, node *cassandratest.Node, table string) {
	t.Helper()
	for _, dir := range copies(t, node, table) {
		nodetool(t, node, "import", "shop", table, dir)
	}
}

// repaired marks the table's live SSTables as an incremental repair does, which a node alone has not:
// each gets another Statistics.db under the same name.
func repaired(t *testing.T, node *cassandratest.Node, table string) {
	t.Helper()
	tool := filepath.Join(node.Dir, "bin", "sstablerepairedset")
	script := `#!/bin/sh
. "${0%/*}/jvm.sh"
run sstablerepairedset -Xmx256m -Dlogback.configurationFile="$dir/conf/logback-tools.xml" \
	-Dcassandra.config="file://$conf/cassandra.yaml" -Dcassandra.storagedir="$dir" \
	org.apache.cassandra.tools.SSTableRepairedAtSetter "$@"
`
	if err := os.WriteFile(tool, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"--really-set", "--is-repaired"}, liveFiles(t, node, table, "Data.db")...)
	if out, err := exec.CommandContext(t.Context(), tool, argv...).CombinedOutput(); err != nil {
		t.Fatalf("sstablerepairedset: %v\n%s", err, out)
	}
	if err := node.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func liveFiles(t *testing.T, node *cassandratest.Node, table, component string) (paths []string) {
	t.Helper()
	for path := range list(t, node.DataDirs, live, "shop") {
		in, _, name := parsePath(below(path, node.DataDirs...))
		if in.Name == table && name.Component == component {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no %s of %s", component, table)
	}
	return paths
}

// checkRepaired: the Statistics.db that the live SSTables have now is stored.
func checkRepaired(t *testing.T, node *cassandratest.Node, a *archive) {
	t.Helper()
	for _, path := range liveFiles(t, node, "messages", "Statistics.db") {
		f, err := readFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rel := below(path, node.DataDirs...)
		if !a.holds(rel, f.Hash) {
			t.Errorf("%s as of the repair is not stored", rel)
		}
	}
}

// Of two services on one history, the one that opened it last goes on; the other ends with the exit
// code of a guard, and says who has won.
func TestI4_OfTwoServicesOneGoesOn(t *testing.T) {
	node, session := start(t)
	dir := t.TempDir()
	bucket := "file://" + filepath.Join(dir, "bucket")
	// They stand for two machines: on one, no other may work beside a service that unlinks.
	const links = "links: off"
	first := configure(t, node, Setup{Dir: filepath.Join(dir, "first"), Bucket: bucket, Extra: links})
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	load(t, session, 0, 1000)
	covered(t, node, first)

	// A clone: the configuration and the state directory of the first, under another path.
	second := configure(t, node, Setup{Dir: filepath.Join(dir, "second"), Bucket: bucket, Extra: links})
	if err := os.CopyFS(filepath.Join(dir, "second", "state"), os.DirFS(filepath.Join(dir, "first", "state"))); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	load(t, session, 1, 1000)
	covered(t, node, second)
	err := first.Wait(t.Context())
	if code := exitCode(err); code != 4 {
		t.Errorf("the first service ended with %d (%v), want 4", code, err)
	}
	said, err := os.ReadFile(filepath.Join(dir, "first", "sstash.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(said), "another sstash writes this node's history") || !strings.Contains(string(said), "on host") {
		t.Errorf("the first service did not say who has won:\n%s", said)
	}
	load(t, session, 2, 1000)
	covered(t, node, second)
	archived(t, bucket) // whole, in order, nothing twice
}
