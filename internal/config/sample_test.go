package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSampleParses(t *testing.T) {
	facts := Facts{
		Cluster:  "Test \"Clüster\": #1\n\t\\",
		Bucket:   "gs://b/p",
		YAML:     "/etc/cassandra/cassandra.yaml",
		Nodetool: []string{"nodetool", "-pwf", "/etc/a b"},
		CQL:      "[::1]:9042",
	}
	path := filepath.Join(t.TempDir(), "sstash.yaml")
	if err := Create(path, facts); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Cluster, want.Bucket = facts.Cluster, facts.Bucket
	want.Cassandra.YAML, want.Cassandra.Nodetool, want.Cassandra.CQL = facts.YAML, facts.Nodetool, facts.CQL
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Create(path, Facts{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create: %v", err)
	}
}

// What the sample says in comments must be what the code does without it.
func TestSampleShowsEveryDefault(t *testing.T) {
	text := string(Sample(Facts{}))
	var lines []string
	for line := range strings.Lines(text) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if rest, ok := strings.CutPrefix(line[len(indent):], "#"); ok && !strings.HasPrefix(rest, " ") {
			line = indent + rest
		}
		lines = append(lines, line)
	}
	shown := Config{}
	if err := shown.decode("sample", []byte(strings.Join(lines, ""))); err != nil {
		t.Fatal(err)
	}
	defaults := Default()
	for i, k := range defaults.keys() {
		v := shown.keys()[i].dst
		if !k.dst.IsZero() && !reflect.DeepEqual(k.dst.Interface(), v.Interface()) {
			t.Errorf("%s: the sample shows %v, the default is %v", k.path, v, k.dst)
		}
		name := k.path[strings.LastIndex(k.path, ".")+1:]
		if !strings.Contains(text, name+":") {
			t.Errorf("%s is not in the sample", k.path)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(string(Sample(Facts{Cluster: "c", Bucket: "gs://b"})))
	f.Add("a: &x {b: *x}\n<<: *x\n? [k]\n: v\n")
	f.Add("keep: {points: 1.5w}\ncassandra: {nodetool: ['a', |\n b]}\n---\n")
	f.Add("full: !!str 7d\nlinks: off\n\"\": 1\n: 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		if err := c.decode("fuzz", []byte(text)); err != nil {
			return
		}
		_ = c.Validate()
	})
}

// Any fact survives being written and read.
func FuzzSample(f *testing.F) {
	f.Add("Test Cluster", "nodetool", "-h")
	f.Add("a\"b\\\x01'#: {", "\t", "💾\u2028")
	f.Fuzz(func(t *testing.T, cluster, a, b string) {
		if cluster == "" || !utf8.ValidString(cluster) || !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		var c Config
		if err := c.decode("sample", Sample(Facts{Cluster: cluster, Nodetool: []string{a, b}})); err != nil {
			t.Fatal(err)
		}
		if c.Cluster != cluster || !reflect.DeepEqual(c.Cassandra.Nodetool, []string{a, b}) {
			t.Errorf("%q %q %q came back as %q %q", cluster, a, b, c.Cluster, c.Cassandra.Nodetool)
		}
	})
}
