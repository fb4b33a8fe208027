package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sstash.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	const b = "bucket: file:///b\n"
	tests := []struct {
		name string
		yaml string
		env  []string
		want func(*Config)
	}{
		{"smallest", "cluster: prod\nbucket: gs://acme-backup/sstash\ncassandra: {yaml: /etc/cassandra/cassandra.yaml, nodetool: [nodetool], cql: 127.0.0.1:9042}\n", nil, func(c *Config) {
			c.Cluster, c.Bucket = "prod", "gs://acme-backup/sstash"
			c.Cassandra.YAML, c.Cassandra.Nodetool, c.Cassandra.CQL = "/etc/cassandra/cassandra.yaml", []string{"nodetool"}, "127.0.0.1:9042"
		}},
		{"words of other types", b + "cluster: 0123\nfull: {at: 02:30}\nlinks: off\ncollect: \"off\"\n", nil, func(c *Config) {
			c.Cluster, c.Full.At, c.Links, c.Collect = "0123", 150, LinksOff, CollectOff
		}},
		{"units", b + "flush_every: 1h30m\nfull: {every: 1.5d}\ncommit_log: {every: 0}\nlimits: {upload: 1.5MB, cpu: 0.5, memory: 1GiB, nice: 0}\n", nil, func(c *Config) {
			c.FlushEvery, c.Full.Every, c.CommitLog.Every = 90*time.Minute, 36*time.Hour, 0
			c.Limits = Limits{1_500_000, 0.5, 1 << 30, 0}
		}},
		{"months, not minutes", b + "keep: {monthly: 3m, weekly: 0, points: 1y}\n", nil, func(c *Config) {
			c.Keep.Monthly, c.Keep.Weekly, c.Keep.Points = 93*day, 0, 366*day
		}},
		{"empty groups and keys keep defaults", b + "full:\n  # every: 1d\ncommit_every:\nkeep: {}\n", nil, func(*Config) {}},
		{"block list and block string", b + "cassandra:\n  nodetool:\n    - nodetool\n    - -h\n    - \"::1\"\n  data_directories: /d1, /d 2\n  host_id: 1c380315-0000-4000-8000-000000000000\n", nil, func(c *Config) {
			c.Cassandra.Nodetool = []string{"nodetool", "-h", "::1"}
			c.Cassandra.DataDirectories = []string{"/d1", "/d 2"}
			c.Cassandra.HostID = "1c380315-0000-4000-8000-000000000000"
		}},
		{"tables", b + "compression: dense\ntables:\n  shop: {compression: fast}\n  Shop.Orders: {compression: balanced}\n  web:\n    # nothing otherwise\n", nil, func(c *Config) {
			c.Compression = CompressionDense
			c.Tables = Tables{"shop": {CompressionFast}, "Shop.Orders": {CompressionBalanced}, "web": {}}
		}},
		{"tables in the environment", b + "tables: {web: {compression: fast}}\n", []string{"SSTASH_TABLES={shop.orders: {compression: dense}}"}, func(c *Config) {
			c.Tables = Tables{"shop.orders": {CompressionDense}}
		}},
		{"environment wins", b + "commit_every: 10s\n", []string{
			"SSTASH_COMMIT_EVERY=2m", "SSTASH_CASSANDRA_TLS_CA=/ca.pem", "SSTASH_LISTEN=", "SSTASH_KEEP_MONTHLY=1m",
			"SSTASH_CASSANDRA_NODETOOL=ssh node 'no de' -pwf \"/a b\"", "SSTASH_CASSANDRA_DATA_DIRECTORIES=/d1,/d2",
			"SSTASH_CONFIG=/elsewhere", "SSTASH_TEST_CACHE=/cache", "HOME=/root",
		}, func(c *Config) {
			c.CommitEvery, c.Cassandra.TLS.CA, c.Listen, c.Keep.Monthly = 2*time.Minute, "/ca.pem", "", month
			c.Cassandra.Nodetool = []string{"ssh", "node", "no de", "-pwf", "/a b"}
			c.Cassandra.DataDirectories = []string{"/d1", "/d2"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Default()
			want.Bucket = "file:///b"
			tt.want(&want)
			got, err := Load(write(t, tt.yaml), tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	const ok = "bucket: file:///b\n"
	tests := []struct {
		name, yaml string
		env        []string
		want       []string // in the error
	}{
		{"unknown key", ok + "comit_every: 1s\n", nil, []string{`sstash.yaml:2: unknown key "comit_every"; did you mean "commit_every"?`}},
		{"unknown nested key", ok + "cassandra:\n  nodetol: [x]\n", nil, []string{`:3: unknown key "cassandra.nodetol"; did you mean "cassandra.nodetool"?`}},
		{"key of another group", ok + "settle: 1s\n", nil, []string{`did you mean "watch.settle"?`}},
		{"key like no other", ok + "limits: {bandwidth: 1}\n", nil, []string{"known keys: upload, cpu, memory, nice"}},
		{"all at once", "a: 1\nlinks: maybe\nfull: {every: soon}\n", nil, []string{`:1: unknown key "a"`, ":3: full.every"}},
		{"duplicate", ok + "links: off\nlinks: prune\n", nil, []string{":3:", `"links" already defined`}},
		{"duplicate in flow", ok + "full: {every: 1d, every: 2d}\n", nil, []string{":2:", "already defined"}},
		{"not yaml", ok + "full: {every: [\n", nil, []string{"sstash.yaml:"}},
		{"group given a value", ok + "full: 7d\n", nil, []string{":2: full takes keys: every, at, spread, early"}},
		{"value given a group", ok + "links: {a: 1}\n", nil, []string{":2: links takes one value"}},
		{"list of lists", ok + "cassandra: {nodetool: [[x]]}\n", nil, []string{"cassandra.nodetool takes a list of plain values"}},
		{"anchor", ok + "cluster: &a prod\n", nil, []string{":2: cluster takes one value"}},
		{"second document", ok + "---\nlinks: off\n", nil, []string{"a second document"}},
		{"list at the top", "- bucket\n", nil, []string{"the configuration takes keys: cluster, bucket"}},
		{"time of day", ok + "full: {at: \"2:00\"}\n", nil, []string{`:2: full.at: "2:00" is not a time of day`}},
		{"minutes of an age", ok + "keep: {log: 90s}\n", nil, []string{`"90s" is not a duration such as 12w`}},
		{"number without unit", ok + "commit_every: 60\n", nil, []string{`commit_every: "60" is not a duration such as 90s`}},
		{"endless", ok + "commit_every: 99999999999999w\n", nil, []string{"too long"}},
		{"number", ok + "limits: {cpu: few, nice: 1.5}\n", nil, []string{`"few" is not a number`, `"1.5" is not a whole number`}},
		{"range", ok + "limits: {nice: 20}\n", nil, []string{"limits.nice: must be 0 to 19"}},
		{"size", ok + "limits: {memory: 256M}\n", nil, []string{"units are KiB"}},
		{"bucket missing", "links: off\n", nil, []string{"bucket: give a bucket URL"}},
		{"bucket scheme", "bucket: ftp://x/y\n", nil, []string{`scheme "ftp" is none of gs, s3, azblob, file`}},
		{"login in the bucket", "bucket: s3://key:hunter2@b/p\n", nil, []string{"credentials don't belong"}},
		{"bucket relative", "bucket: file://dir/x\n", nil, []string{"file:///absolute"}},
		{"words", ok + "links: maybe\ncollect: x\ncompression: best\n", nil, []string{`links: "maybe" is none of prune, off`, "collect:", "compression:"}},
		{"unknown key of a table", ok + "tables:\n  shop.orders: {compressio: fast}\n", nil,
			[]string{`:3: unknown key "tables.shop.orders.compressio"; did you mean "tables.shop.orders.compression"?`}},
		{"level of a table", ok + "tables: {web: {compression: best}, shop.orders: {compression: none}}\n", nil,
			[]string{`tables.shop.orders.compression: "none" is none of fast, balanced, dense`, `tables.web.compression: "best"`}},
		{"table without keys", ok + "tables:\n  shop.orders: fast\n", nil, []string{":3: tables.shop.orders takes keys: compression"}},
		{"table's name", ok + "tables: {a.b.c: {compression: fast}, a.: {}, '\"Shop\"': {}}\n", nil,
			[]string{`:2: tables: "a.b.c" is neither keyspace nor keyspace.table`, `"a."`, `"\"Shop\""`}},
		{"tables without names", ok + "tables: fast\n", nil, []string{":2: tables takes tables and their keys, as in {shop.orders: {compression: dense}}"}},
		{"table twice", ok + "tables: {a.b: {}, a.b: {}}\n", nil, []string{":2:", "already defined"}},
		{"tables of a bad variable", ok, []string{"SSTASH_TABLES={shop: {compressio: fast}}"}, []string{`SSTASH_TABLES: tables:1: unknown key "tables.shop.compressio"; did you mean`}},
		{"encryption", ok + "encrypt: {recipients: [age1x]}\n", nil, []string{"refusing to write plaintext"}},
		{"encryption by environment", ok, []string{"SSTASH_ENCRYPT_RECIPIENTS=age1x"}, []string{"refusing to write plaintext"}},
		{"no retention", ok + "keep: {points: 0}\n", nil, []string{"keep.points: must be at least"}},
		{"relative path", ok + "state: var/lib\n", nil, []string{`state: "var/lib" is not an absolute path`}},
		{"half a login", ok + "cassandra: {username: u}\n", nil, []string{"username and password_file go together"}},
		{"cql", ok + "cassandra: {cql: localhost}\n", nil, []string{"cassandra.cql"}},
		{"unknown variable", ok, []string{"SSTASH_COMMIT_EVRY=1s"}, []string{"unknown variable SSTASH_COMMIT_EVRY in the environment; did you mean SSTASH_COMMIT_EVERY?"}},
		{"bad variable", ok, []string{"SSTASH_COMMIT_EVERY=x"}, []string{`SSTASH_COMMIT_EVERY: "x" is not a duration`}},
		{"open quote", ok, []string{"SSTASH_CASSANDRA_NODETOOL=a 'b"}, []string{"has an open '"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, tt.yaml), tt.env)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing from:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestCannotEncryptIsNamed(t *testing.T) {
	_, err := Load(write(t, "bucket: file:///b\nencrypt: {recipients: [age1x]}\n"), nil)
	if !errors.Is(err, ErrCannotEncrypt) {
		t.Errorf("got %v", err)
	}
}

func TestAbsentFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(path, []string{"HOME=/"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a variable: %v", err)
	}
	c, err := Load(path, []string{"SSTASH_BUCKET=file:///b"})
	if err != nil || c.Bucket != "file:///b" || c.Links != LinksPrune {
		t.Errorf("with all that is needed: %+v, %v", c, err)
	}
	if _, err := Load(path, []string{"SSTASH_LINKS=off"}); err == nil || !strings.Contains(err.Error(), "none.yaml (absent)") {
		t.Errorf("without a bucket: %v", err)
	}
}

func TestPath(t *testing.T) {
	env := []string{"SSTASH_CONFIG=/env"}
	for _, tt := range []struct {
		flag string
		env  []string
		want string
	}{{"/flag", env, "/flag"}, {"", env, "/env"}, {"", []string{"SSTASH_CONFIG="}, DefaultPath}, {"", nil, DefaultPath}} {
		if got := Path(tt.flag, tt.env); got != tt.want {
			t.Errorf("Path(%q, %q) = %q, want %q", tt.flag, tt.env, got, tt.want)
		}
	}
}

func TestCheckNode(t *testing.T) {
	var c Config
	if err := c.CheckNode(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("empty: %v", err)
	}
	c = Default()
	c.Cassandra.YAML, c.Cassandra.CQL = "/y", "h:1"
	if err := c.CheckNode(); err != nil {
		t.Errorf("running node: %v", err)
	}
	c.Cassandra = Cassandra{DataDirectories: []string{"/d"}, HostID: "x"}
	if err := c.CheckNode(); err != nil {
		t.Errorf("copied tree: %v", err)
	}
}

func TestReadPassword(t *testing.T) {
	path := write(t, "s3cret\r\n")
	if got, err := ReadPassword(path); err != nil || got != "s3cret" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPassword(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("world-readable: %v", err)
	}
	if _, err := ReadPassword(write(t, "\n")); err == nil {
		t.Error("empty: accepted")
	}
	if _, err := ReadPassword(t.TempDir()); err == nil {
		t.Error("directory: accepted")
	}
}

func TestPrefix(t *testing.T) {
	const id = "1C380315-0000-4000-8000-000000000000"
	for cluster, want := range map[string]string{
		"prod":         "prod",
		"Test Cluster": "Test%20Cluster",
		"a/../b":       "a%2F..%2Fb",
		".":            "%2E",
		"..":           "%2E%2E",
		"...":          "%2E%2E%2E",
		".hidden":      ".hidden",
		"50%":          "50%25",
		"höhle\n":      "h%C3%B6hle%0A",
		"ключ":         "%D0%BA%D0%BB%D1%8E%D1%87",
	} {
		got, err := Prefix(cluster, id)
		if err != nil || got != want+"/1c380315-0000-4000-8000-000000000000/" {
			t.Errorf("Prefix(%q) = %q, %v", cluster, got, err)
		}
	}
	for _, bad := range [][2]string{{"", id}, {"prod", ""}, {"prod", "../x"}} {
		if got, err := Prefix(bad[0], bad[1]); err == nil {
			t.Errorf("Prefix(%q, %q) = %q", bad[0], bad[1], got)
		}
	}
}
