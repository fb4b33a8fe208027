package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// settings are the keys of cassandra.yaml that a scratch node has values of its own of; nil removes a
// key. What is not named stays as the node has it: partitioner, formats, encryption of the log. Keys of
// any version may be removed; those that are set exist in all that import can load into, 4.0 to 6.0.
func (n *node) settings() map[string]any {
	address := n.addresses[0]
	set := map[string]any{
		"cluster_name":   n.cluster,
		"listen_address": address,
		"rpc_address":    address,
		"seed_provider": []any{map[string]any{
			"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
			"parameters": []any{map[string]any{"seeds": address}},
		}},
		"storage_port":           n.storage,
		"ssl_storage_port":       n.ssl,
		"native_transport_port":  n.native,
		"start_native_transport": true,
		"endpoint_snitch":        "SimpleSnitch", // the cloud's would ask it where we are
		"num_tokens":             1,
		"auto_bootstrap":         false,

		"data_file_directories":  []string{n.data()},
		"commitlog_directory":    n.log(),
		"saved_caches_directory": filepath.Join(n.Dir, "saved_caches"),
		"hints_directory":        filepath.Join(n.Dir, "hints"),
		"cdc_raw_directory":      filepath.Join(n.Dir, "cdc_raw"),

		"incremental_backups":         false,
		"auto_snapshot":               false,
		"snapshot_before_compaction":  false,
		"cdc_enabled":                 false,
		"hinted_handoff_enabled":      false,
		"tombstone_failure_threshold": 1 << 30, // nothing is compacted
		"disk_failure_policy":         "die",
		"commit_failure_policy":       "die",
	}
	for _, key := range strings.Fields(removed) {
		set[key] = nil
	}
	return set
}

// removed are keys whose defaults suit a node that is alone, small and short-lived.
const removed = `
	listen_interface listen_interface_prefer_ipv6 listen_on_broadcast_address broadcast_address
	rpc_interface rpc_interface_prefer_ipv6 broadcast_rpc_address native_transport_port_ssl
	initial_token allocate_tokens_for_keyspace allocate_tokens_for_local_replication_factor
	initial_location_provider node_proximity
	local_system_data_file_directory startup_checks
	authenticator authorizer role_manager network_authorizer cidr_authorizer internode_authenticator
	server_encryption_options client_encryption_options jmx_server_options
	audit_logging_options full_query_logging_options diagnostic_events_enabled
	memtable_heap_space memtable_heap_space_in_mb memtable_offheap_space memtable_offheap_space_in_mb
	memtable_total_space_in_mb memtable_cleanup_threshold memtable_allocation_type
	file_cache_size file_cache_size_in_mb networking_cache_size networking_cache_size_in_mb
	key_cache_size key_cache_size_in_mb counter_cache_size counter_cache_size_in_mb
	row_cache_size row_cache_size_in_mb row_cache_class_name
	prepared_statements_cache_size prepared_statements_cache_size_mb
	index_summary_capacity index_summary_capacity_in_mb
	commitlog_compression commitlog_disk_access_mode commitlog_total_space commitlog_total_space_in_mb
	automatic_sstable_upgrade simplestrategy_enabled
	minimum_replication_factor_warn_threshold minimum_replication_factor_fail_threshold`

var topLevelKey = regexp.MustCompile(`^["']?([A-Za-z_]\w*)["']?[ \t]*:`)

// rewriteYAML replaces keys at the top level of a cassandra.yaml. It works on lines, because what is
// kept must stay as Cassandra's YAML 1.1 reads it, and reads the result again to see that the keys are
// as wanted.
func rewriteYAML(text []byte, set map[string]any) (string, error) {
	var b strings.Builder
	keep := true
	for line := range strings.Lines(string(text)) {
		if m := topLevelKey.FindStringSubmatch(line); m != nil {
			_, replaced := set[m[1]]
			keep = !replaced
		}
		if keep {
			b.WriteString(line)
		}
	}
	own := map[string]any{}
	for key, value := range set {
		if value != nil {
			own[key] = value
		}
	}
	lines, err := yaml.Marshal(own)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\n# Of this scratch node.\n%s", lines)

	var want, got map[string]any
	if err := yaml.Unmarshal(lines, &want); err != nil {
		return "", err
	}
	if err := yaml.UnmarshalWithOptions([]byte(b.String()), &got, yaml.AllowDuplicateMapKey()); err != nil {
		return "", fmt.Errorf("can't be rewritten for a scratch node: %w", err)
	}
	for key := range set {
		if !reflect.DeepEqual(want[key], got[key]) {
			return "", fmt.Errorf("can't be rewritten for a scratch node: %s stays %v", key, got[key])
		}
	}
	return b.String(), nil
}

// rewriteScripts changes what, beside cassandra.yaml, makes a JVM what it is.
func (n *node) rewriteScripts() error {
	entries, err := os.ReadDir(n.conf())
	if err != nil {
		return err
	}
	for _, e := range entries {
		var change func(line string) string
		switch name := e.Name(); {
		case name == "cassandra-env.sh":
			change = n.envLine
		case strings.HasPrefix(name, "jvm") && strings.HasSuffix(name, ".options"):
			change = optionLine
		default:
			continue
		}
		path := filepath.Join(n.conf(), e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(eachLine(string(text), change)), 0o600); err != nil {
			return err
		}
	}
	return n.rewriteInclude()
}

func eachLine(text string, change func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		b.WriteString(change(body) + "\n")
	}
	return b.String()
}

var (
	jmxPortLine = regexp.MustCompile(`^(\s*(?:export\s+)?JMX_PORT=).*$`)
	confLine    = regexp.MustCompile(`^(\s*(?:export\s+)?CASSANDRA_CONF=).*$`)
	// What jvm*.options say of a heap goes over MAX_HEAP_SIZE; the rest makes a node somebody.
	optionPattern = regexp.MustCompile(`^\s*-(Xm[sxn]|Dcassandra\.|Dcom\.sun\.management\.jmxremote|Djava\.rmi\.server|XX:\+AlwaysPreTouch)`)
)

// envLine changes a line of cassandra-env.sh: JMX gets its own port, and agents, such as exporters of
// metrics that would want the port of the node's own, are left out. Cassandra needs jamm.
func (n *node) envLine(line string) string {
	if strings.Contains(line, "-javaagent:") && !strings.Contains(line, "jamm") {
		return "# " + line
	}
	return jmxPortLine.ReplaceAllString(line, "${1}"+strconv.Itoa(n.jmx))
}

func optionLine(line string) string {
	if optionPattern.MatchString(line) || strings.Contains(line, "-javaagent:") && !strings.Contains(line, "jamm") {
		return "# " + line
	}
	return line
}

// rewriteInclude: packages install a cassandra.in.sh that sets CASSANDRA_CONF whatever it was. The start
// script takes another one from CASSANDRA_INCLUDE. (Where it looks for one: Cassandra bin/cassandra.)
func (n *node) rewriteInclude() error {
	script, err := exec.LookPath(n.Command[0])
	if err != nil {
		return fmt.Errorf("%w; the key cassandra.scratch says how to start Cassandra", err)
	}
	home, _ := os.UserHomeDir() // without one, nothing is there
	for _, path := range []string{
		os.Getenv("CASSANDRA_INCLUDE"),
		filepath.Join(filepath.Dir(script), "cassandra.in.sh"), filepath.Join(home, ".cassandra.in.sh"),
		"/usr/share/cassandra/cassandra.in.sh", "/usr/local/share/cassandra/cassandra.in.sh", "/opt/cassandra/cassandra.in.sh",
	} {
		if !filepath.IsAbs(path) {
			continue
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		mine := eachLine(string(text), func(line string) string {
			return confLine.ReplaceAllString(line, "${1}'"+strings.ReplaceAll(n.conf(), "'", `'\''`)+"'")
		})
		n.include = filepath.Join(n.Dir, "cassandra.in.sh")
		return os.WriteFile(n.include, []byte(mine), 0o600)
	}
	return nil
}

// configOption makes a JVM read the configuration of this node.
func (n *node) configOption() string {
	return "-Dcassandra.config=file://" + filepath.Join(n.conf(), "cassandra.yaml")
}

// extraOptions are the JVM's, to go over all that scripts and jvm*.options say: the last one holds.
func (n *node) extraOptions(more []string) []string {
	return slices.Concat([]string{
		n.configOption(),
		"-Dcassandra.storagedir=" + n.Dir,
		fmt.Sprintf("-Dcassandra.jmx.local.port=%d", n.jmx),
		// Nobody is to be waited for.
		"-Dcassandra.ring_delay_ms=100", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
		"-Dcassandra.superuser_setup_delay_ms=0", "-Dcassandra.shutdown_announce_in_ms=0",
	}, more)
}

// environ is that of the start command.
func (n *node) environ(extra []string) []string {
	heap := n.HeapMB
	if heap == 0 {
		heap = 512
	}
	own := map[string]string{
		"CASSANDRA_CONF":    n.conf(),
		"CASSANDRA_LOG_DIR": n.logs(),
		"JVM_EXTRA_OPTS":    strings.Join(extra, " "),
		"MAX_HEAP_SIZE":     fmt.Sprintf("%dM", heap),
		"HEAP_NEWSIZE":      fmt.Sprintf("%dM", heap/4),
	}
	if n.include != "" {
		own["CASSANDRA_INCLUDE"] = n.include
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, set := own[name]
		return set || slices.Contains([]string{"JVM_OPTS", "JMX_PORT", "LOCAL_JMX", "CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}, name)
	})
	for name, value := range own {
		env = append(env, name+"="+value)
	}
	return env
}
