package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sstash/sstash/"

// layers is the architecture: a package imports only from layers above its own line. What stands in
// one line knows nothing of its neighbours.
var layers = [][]string{
	{"chunker/columns", "chunker/lz4"},
	{"internal/sstable", "chunker", "internal/bucket", "internal/cassandra", "internal/config", "internal/direct", "internal/schedule", "internal/status"},
	{"internal/fileid", "internal/scratch", "internal/pack", "internal/commitlog", "internal/bucket/dir", "internal/bucket/gcs"},
	{"manifest", "watcher", "internal/bucket/bucketurl"},
	{"internal/history", "internal/links"},
	{"uploader", "internal/restore", "internal/verify"},
	{"internal/backup"},
	{"internal/daemon"},
	{"internal/doctor"},
	{"cmd/sstash"},
}

// scaffolds exist for tests, demo and benchmarks; the product imports none of them.
var scaffolds = []string{
	"internal/bucket/buckettest", "internal/bucket/gcstest", "internal/cassandratest", "internal/fixtures",
	"internal/e2e", "internal/demo", "internal/bench",
}

// only says who alone may import something.
var only = map[string][]string{
	"cloud.google.com/go/storage":                    {"internal/bucket/gcs"},
	"github.com/fsnotify/fsnotify":                   {"watcher", "internal/commitlog"},
	"github.com/apache/cassandra-gocql-driver/v2":    {"internal/cassandra"},
	"go.etcd.io/bbolt":                               {"internal/history"},
	"github.com/spf13/cobra":                         {"cmd/sstash"},
	"log/slog":                                       {"internal/daemon", "cmd/sstash"},
	"github.com/prometheus/client_golang/prometheus": {"internal/daemon"},
	"github.com/zeebo/blake3":                        {"chunker", "internal/cassandra"},
	"github.com/klauspost/compress/zstd":             {"chunker", "chunker/columns", "manifest", "internal/commitlog"},
	"testing":                                        {},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsRunOneWay(t *testing.T) {
	layer := map[string]int{}
	for i, names := range layers {
		for _, n := range names {
			layer[n] = i
		}
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if slices.Contains(scaffolds, name) {
			continue
		}
		mine, known := layer[name]
		if !known {
			t.Errorf("%s is in no layer: place it in this test and in docs/design.md", name)
			continue
		}
		for _, imported := range p.Imports {
			if users, restricted := only[imported]; restricted && !slices.Contains(users, name) {
				t.Errorf("%s imports %s, which only %v may", name, imported, users)
			}
			other, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if slices.Contains(scaffolds, other) {
				t.Errorf("%s imports %s, which is for tests", name, other)
			} else if layer[other] >= mine {
				t.Errorf("%s imports %s, which is not above it", name, other)
			}
		}
	}
}

func packages(t *testing.T) (all []goPackage) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
