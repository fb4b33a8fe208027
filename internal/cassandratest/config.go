package cassandratest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// nodeFiles are bin/ and conf/ of every node.
//
//go:embed bin conf
var nodeFiles embed.FS

// machine is what nodes share on this machine.
type machine struct {
	lib, java string // from Jars
	archives  string // directory of the class data archives
	training  bool   // write the archives rather than use them
}

// newNode fills o.Dir.
func newNode(o Options, m machine) (*Node, error) {
	if o.Dir == "" {
		return nil, errors.New("configure cassandra: no directory")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.Address == "" {
		if o.Address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if o.HeapMB == 0 {
		o.HeapMB = 384
	}
	n := &Node{
		Dir:       dir,
		Address:   o.Address,
		CQL:       net.JoinHostPort(o.Address, "9042"),
		YAML:      filepath.Join(dir, "conf", "cassandra.yaml"),
		DataDirs:  []string{filepath.Join(dir, "data1"), filepath.Join(dir, "data2")},
		CommitLog: filepath.Join(dir, "commitlog"),
		Log:       filepath.Join(dir, "logs", "system.log"),
		jvmArgs:   o.JVMArgs,
	}
	if err := n.writeFiles(o, m); err != nil {
		return nil, fmt.Errorf("configure cassandra: %w", err)
	}
	return n, nil
}

func (n *Node) writeFiles(o Options, m machine) error {
	for _, sub := range []string{"bin", "conf", "logs", "home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(n.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := writeTree(n.Dir, nodeFiles); err != nil {
		return err
	}
	config, err := yaml.Marshal(n.config(o))
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.YAML, config, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(n.Dir, "bin", "node.sh"), []byte(variables(o, m)), 0o644)
}

// writeTree copies files, which must be executable or don't mind, into dir.
func writeTree(dir string, files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), content, 0o755)
	})
}

// variables is bin/node.sh.
func variables(o Options, m machine) string {
	training := ""
	if m.training {
		training = "yes"
	}
	var b strings.Builder
	for _, v := range [][2]string{
		{"dir", o.Dir}, {"address", o.Address}, {"heap", strconv.Itoa(o.HeapMB)},
		{"lib", m.lib}, {"java", m.java}, {"archives", m.archives}, {"training", training},
	} {
		fmt.Fprintf(&b, "%s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	return b.String()
}

// config is cassandra.yaml. Its names are those of 4.1 and later.
func (n *Node) config(o Options) map[string]any {
	if o.ClusterName == "" {
		o.ClusterName = "cassandratest"
	}
	if len(o.Seeds) == 0 {
		o.Seeds = []string{n.Address}
	}
	if len(o.Tokens) == 0 {
		o.Tokens = []int64{0}
	}
	tokens := make([]string, len(o.Tokens))
	for i, t := range o.Tokens {
		tokens[i] = strconv.FormatInt(t, 10)
	}
	config := map[string]any{
		"cluster_name":    o.ClusterName,
		"partitioner":     "org.apache.cassandra.dht.Murmur3Partitioner",
		"num_tokens":      len(tokens),
		"initial_token":   strings.Join(tokens, ","),
		"auto_bootstrap":  false,
		"endpoint_snitch": "SimpleSnitch",
		"listen_address":  n.Address,
		"rpc_address":     n.Address,
		"seed_provider": []any{map[string]any{
			"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
			"parameters": []any{map[string]any{"seeds": strings.Join(o.Seeds, ",")}},
		}},

		"data_file_directories":  n.DataDirs,
		"commitlog_directory":    n.CommitLog,
		"hints_directory":        filepath.Join(n.Dir, "hints"),
		"saved_caches_directory": filepath.Join(n.Dir, "saved_caches"),
		"cdc_raw_directory":      filepath.Join(n.Dir, "cdc_raw"),

		"commitlog_sync":         "periodic",
		"commitlog_sync_period":  "10000ms",
		"commitlog_segment_size": "4MiB",
		"commitlog_total_space":  "64MiB",

		"incremental_backups":            true,
		"auto_snapshot":                  true,
		"materialized_views_enabled":     true,
		"sasi_indexes_enabled":           true,
		"user_defined_functions_enabled": true,

		"disk_access_mode":             "standard",
		"memtable_allocation_type":     "heap_buffers",
		"memtable_heap_space":          "32MiB",
		"memtable_offheap_space":       "32MiB",
		"key_cache_size":               "2MiB",
		"counter_cache_size":           "0MiB",
		"file_cache_size":              "16MiB",
		"networking_cache_size":        "16MiB",
		"concurrent_reads":             4,
		"concurrent_writes":            4,
		"concurrent_counter_writes":    2,
		"concurrent_compactors":        1,
		"compaction_throughput":        "0MiB/s",
		"native_transport_max_threads": 8,
	}
	maps.Copy(config, o.Config)
	maps.DeleteFunc(config, func(_ string, v any) bool { return v == nil })
	return config
}

// freeAddress picks an address on which a node's ports are free: at random among
// 16 million, so that processes don't have to agree.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if !listening(address+":7000") && !listening(address+":7199") && !listening(address+":9042") {
			return address, nil
		}
	}
	return "", errors.New("find a free address in 127.0.0.0/8: all are taken")
}

// listening tells whether something accepts connections on a loopback address.
func listening(hostport string) bool {
	conn, err := net.DialTimeout("tcp", hostport, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
