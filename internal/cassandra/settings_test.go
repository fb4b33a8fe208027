package cassandra

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func writeYAML(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cassandra.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadYAML(t *testing.T) {
	const murmur = "org.apache.cassandra.dht.Murmur3Partitioner"
	defaults := Settings{
		ClusterName:     "Test Cluster",
		DataDirectories: []string{"/d"},
		AutoSnapshot:    true,
		NativePort:      9042,
	}
	for _, tt := range []struct {
		name, yaml string
		want       func(*Settings)
	}{
		{"defaults", "data_file_directories:\n    - /d\n", func(*Settings) {}},
		{"2.1", `
cluster_name: 'Prod; "x"'
commitlog_sync_period_in_ms: 10000
start_rpc: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
incremental_backups: yes
auto_snapshot: Off
data_file_directories: [/d1, "/d 2"]
commitlog_directory: /c
listen_address: 10.0.0.1
rpc_address: localhost
native_transport_port: 9142
seed_provider:
    - class_name: org.apache.cassandra.locator.SimpleSeedProvider
      parameters:
          - seeds: "127.0.0.1"
`, func(s *Settings) {
			s.ClusterName, s.Partitioner = `Prod; "x"`, murmur
			s.IncrementalBackups, s.AutoSnapshot = true, false
			s.DataDirectories, s.CommitLog = []string{"/d1", "/d 2"}, "/c"
			s.ListenAddress, s.RPCAddress, s.NativePort = "10.0.0.1", "localhost", 9142
		}},
		{"5.0", `
cluster_name: 1234
partitioner: Murmur3Partitioner
commitlog_sync_period: 10000ms
data_file_directories:
- /d
local_system_data_file_directory: /s
rpc_interface: eth0
incremental_backups:
authenticator:
  class_name: AllowAllAuthenticator
`, func(s *Settings) {
			s.ClusterName, s.Partitioner = "1234", murmur
			s.LocalSystemData, s.RPCInterface = "/s", "eth0"
		}},
		{"line ends of Windows", "# c\r\ndata_file_directories:\r\n  - /d\r\nauto_snapshot: true\r\n", func(*Settings) {}},
		{"a key given twice", "data_file_directories: [/d]\nnum_tokens: 1\nnum_tokens: 16\n", func(*Settings) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := writeYAML(t, tt.yaml)
			want := defaults
			want.Path = path
			tt.want(&want)
			got, err := ReadYAML(path)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestReadYAMLRefuses(t *testing.T) {
	for _, tt := range []struct{ name, yaml, want string }{
		{"no data directories", "cluster_name: c\n", "data_file_directories: not set; name them in sstash's own cassandra.data_directories"},
		{"relative", "data_file_directories: [data]\n", `data_file_directories: "data" is not an absolute path`},
		{"not a boolean", "data_file_directories: [/d]\nauto_snapshot: 7\n", `auto_snapshot: "7" is not true or false`},
		{"not a port", "data_file_directories: [/d]\nnative_transport_port: cql\n", "native_transport_port: "},
		{"not a list", "\ndata_file_directories: {a: b}\n", ".yaml:2: mapping"},
		{"not yaml", "data_file_directories: [\n", ".yaml:1: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := writeYAML(t, tt.yaml)
			_, err := ReadYAML(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the file's name", err, tt.want)
			}
		})
	}
	if _, err := ReadYAML(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	s, err := ReadYAML(writeYAML(t, "cluster_name: c\n"))
	if !errors.Is(err, ErrNoDataDirectories) || s.ClusterName != "c" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestCQLAddress(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{RPCAddress: "10.0.0.1", NativePort: 9042}, "10.0.0.1:9042"},
		{Settings{RPCAddress: "0.0.0.0", NativePort: 9142}, "127.0.0.1:9142"},
		{Settings{RPCAddress: "::", NativePort: 9042}, "[::1]:9042"},
		{Settings{RPCInterface: "lo", NativePort: 9042}, "127.0.0.1:9042"},
		{Settings{NativePort: 9042}, host + ":9042"},
	} {
		if got, err := tt.settings.CQLAddress(); err != nil || got != tt.want {
			t.Errorf("%+v: got %q, %v; want %q", tt.settings, got, err, tt.want)
		}
	}
	if got, err := (Settings{RPCInterface: "nope0"}).CQLAddress(); err == nil {
		t.Errorf("no such interface: %q", got)
	}
}
