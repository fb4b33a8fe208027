package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/fixtures"
)

const (
	testHost = "1c380315-4444-4000-8000-000000000000"
	variant  = "5.0.8-nb"
)

// cli runs the program in process, on a directory of its own.
type cli struct {
	t       *testing.T
	dir     string
	environ []string
}

func newCLI(t *testing.T) *cli {
	t.Helper()
	return &cli{t: t, dir: t.TempDir()}
}

// of is c for a subtest.
func (c *cli) of(t *testing.T) *cli { return &cli{t, c.dir, c.environ} }

// result is how a command line ended.
type result struct {
	stdout, stderr string
	code           int
}

func (c *cli) run(args ...string) result {
	return c.runContext(context.Background(), args...)
}

func (c *cli) runContext(ctx context.Context, args ...string) result {
	var out, errs bytes.Buffer
	code := execute(ctx, &app{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, environ: c.environ, now: time.Now,
		yield: func(config.Limits) error { return nil },
	}, args)
	return result{out.String(), errs.String(), code}
}

// want runs a command line that must end with a code.
func (c *cli) want(code int, args ...string) result {
	c.t.Helper()
	r := c.run(args...)
	if r.code != code {
		c.t.Fatalf("sstash %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// json runs a command line with --json and decodes what it prints.
func (c *cli) json(into any, code int, args ...string) {
	c.t.Helper()
	r := c.want(code, append(args, "--json")...)
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		c.t.Fatalf("sstash %s printed no JSON document: %v\n%s", strings.Join(args, " "), err, r.stdout)
	}
}

func (c *cli) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

// configure writes a configuration that reads the data directories of a copied tree, and makes it
// $SSTASH_CONFIG. extra are more lines.
func (c *cli) configure(dataDirs []string, extra string) {
	c.t.Helper()
	yaml := fmt.Sprintf(`cluster: prod
bucket: file://%s
cassandra: {data_directories: [%s], host_id: %s}
state: %s
listen: ""
watch: {settle: 100ms, patience: 2s, rescan: 1s}
%s`, c.path("bucket"), strings.Join(dataDirs, ", "), testHost, c.path("state"), extra)
	c.write("sstash.yaml", yaml)
	c.environ = []string{"SSTASH_CONFIG=" + c.path("sstash.yaml")}
}

func (c *cli) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// tree unpacks a few tables of a real node's data directories and configures them.
func (c *cli) tree(extra string) []string {
	c.t.Helper()
	dirs := fixtures.DataDirs(fixtures.Unpack(c.t, variant))
	for _, dir := range dirs {
		tables, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, table := range tables {
			rel, _ := filepath.Rel(dir, table)
			if strings.HasPrefix(rel, "Shop/") || strings.HasPrefix(rel, "backups/") || strings.HasPrefix(rel, "shop/users") {
				continue
			}
			if err := os.RemoveAll(table); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.configure(dirs, extra)
	return dirs
}

// empty configures a data directory without tables.
func (c *cli) empty() []string {
	c.t.Helper()
	dirs := []string{c.path("data")}
	if err := os.Mkdir(dirs[0], 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.configure(dirs, "")
	return dirs
}

// keys are the names that a JSON document has at a path, such as "points[0].tables[0]".
func keys(t *testing.T, doc any, path ...any) []string {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			doc = doc.(map[string]any)[s]
		case int:
			list, ok := doc.([]any)
			if !ok || len(list) <= s {
				t.Fatalf("%v: there is no element %d in %v", path, s, doc)
			}
			doc = list[s]
		}
	}
	object, ok := doc.(map[string]any)
	if !ok {
		t.Fatalf("%v: %v is no object", path, doc)
	}
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func wantKeys(t *testing.T, what string, got []string, want string) {
	t.Helper()
	for _, k := range strings.Fields(want) {
		if !slices.Contains(got, k) {
			t.Errorf("%s: no key %q in %v", what, k, got)
		}
	}
}

// wantUniform holds when every time in a document is written in the one way, and only times are null.
func wantUniform(t *testing.T, what string, doc any) {
	t.Helper()
	switch d := doc.(type) {
	case nil:
		name := what[strings.LastIndexByte(what, '.')+1:]
		if !strings.HasSuffix(name, "_until") && !slices.Contains([]string{"last_full", "last_drill", "replay"}, name) {
			t.Errorf("%s: null", what)
		}
	case map[string]any:
		for name, value := range d {
			wantUniform(t, what+"."+name, value)
		}
	case []any:
		for i, value := range d {
			wantUniform(t, fmt.Sprintf("%s[%d]", what, i), value)
		}
	case string:
		at, err := time.Parse(time.RFC3339Nano, d)
		if err == nil && stamp(at).String() != d {
			t.Errorf("%s: %s, want %s", what, d, stamp(at))
		}
	}
}
