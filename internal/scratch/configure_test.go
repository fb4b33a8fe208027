package scratch

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// stockYAML has the shapes that a cassandra.yaml may have: lists at the margin, comments, flow style.
const stockYAML = `cluster_name: 'Prod'  # not to be met
num_tokens: 16
seed_provider:
# where to begin
- class_name: org.apache.cassandra.locator.SimpleSeedProvider
  parameters:
  - seeds: "10.0.0.1:7000,10.0.0.2"
listen_address: 10.0.0.3
broadcast_address: 52.1.2.3
rpc_address: 0.0.0.0
data_file_directories:
    - /d1
    - /d2
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
incremental_backups: yes
auto_snapshot: on
hints_flush_period: 10s
authenticator: {class_name: PasswordAuthenticator}
server_encryption_options: {internode_encryption: all,
    keystore: conf/.keystore}
"storage_port": 7000
`

func TestRewriteYAML(t *testing.T) {
	n := &node{Runner: Runner{Dir: "/scratch"}}
	if err := n.identify(); err != nil {
		t.Fatal(err)
	}
	text, err := rewriteYAML([]byte(stockYAML), n.settings())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal([]byte(text), &got); err != nil { // refuses a key that is there twice
		t.Fatalf("%v:\n%s", err, text)
	}
	for key, want := range map[string]any{
		"cluster_name": n.cluster, "listen_address": n.addresses[0], "rpc_address": n.addresses[0], "incremental_backups": false,
		"broadcast_address": nil, "authenticator": nil, "server_encryption_options": nil,
		"partitioner": "org.apache.cassandra.dht.Murmur3Partitioner", "hints_flush_period": "10s",
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	for _, theirs := range []string{"10.0.0", "52.1", "/d1", "keystore", "'Prod'"} {
		if strings.Contains(text, theirs) {
			t.Errorf("%s is left:\n%s", theirs, text)
		}
	}
	has, err := readNetwork([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	production, err := readNetwork([]byte(stockYAML))
	if err != nil {
		t.Fatal(err)
	}
	if err := has.apart(production); err != nil {
		t.Error(err)
	}
	if _, err := rewriteYAML([]byte("{cluster_name: flow, storage_port: 1}"), n.settings()); err == nil {
		t.Error("a file in flow style was rewritten")
	}
}

func TestApart(t *testing.T) {
	production := network{"Prod", []string{"10.0.0.1:7000", "127.0.0.9"}, []string{"127.0.0.1"}, 7000, 7001, 9042}
	good := network{"scratch", []string{"127.0.0.2"}, []string{"127.0.0.2"}, 17000, 17001, 19042}
	if err := good.apart(production); err != nil {
		t.Error(err)
	}
	f := func(what string, change func(*network)) {
		t.Helper()
		n := good
		if change(&n); !errors.Is(n.apart(production), ErrNotIsolated) {
			t.Errorf("%s passes", what)
		}
	}
	f("the cluster's name", func(n *network) { n.cluster = "Prod" })
	f("the node's address", func(n *network) { n.addresses, n.seeds = []string{"127.0.0.1"}, []string{"127.0.0.1"} })
	f("a seed's address", func(n *network) { n.addresses, n.seeds = []string{"127.0.0.9"}, []string{"127.0.0.9"} })
	f("an address that others can reach", func(n *network) { n.addresses, n.seeds = []string{"10.0.0.7"}, []string{"10.0.0.7"} })
	f("a second address", func(n *network) { n.addresses = []string{"127.0.0.2", "10.0.0.7"} })
	f("a seed of the cluster", func(n *network) { n.seeds = []string{"127.0.0.2", "10.0.0.1"} })
	f("no seed", func(n *network) { n.seeds = nil })
	f("the storage port", func(n *network) { n.storage = 7000 })
	f("the TLS port as the plain one", func(n *network) { n.storage = 7001 })
	f("the CQL port", func(n *network) { n.native = 9042 })
}

func TestCheckCommand(t *testing.T) {
	n := &node{Runner: Runner{Dir: t.TempDir()}, jmx: 1}
	theirs := t.TempDir()
	for _, dir := range []string{n.conf(), theirs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cassandra.yaml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	extra := n.extraOptions([]string{"-Dcassandra.replayList=ks.t"})
	f := func(ok bool, args ...string) {
		t.Helper()
		if err := n.checkCommand(args, extra); (err == nil) != ok || err != nil && !errors.Is(err, ErrNotIsolated) {
			t.Errorf("%q: %v, want %v", args, err, ok)
		}
	}
	with := func(before string, after ...string) []string {
		return append(append([]string{before}, extra...), after...)
	}
	f(true, with("java", "-cp", "/lib/*:"+n.conf())...)
	f(true, with("-Dcassandra.config=file://"+theirs+"/cassandra.yaml", "-cp", n.conf()+":"+theirs)...)
	f(false, with("java", "-cp", theirs+":"+n.conf())...)
	f(false, with("java", "-cp", "/lib/*")...)
	f(false, with("java", "-Dcassandra.config=file://"+theirs+"/cassandra.yaml", "-cp", n.conf())...)
	f(false, with("-Dcassandra.replace_address=10.0.0.1", "-cp", n.conf())...)
	f(false, "java", extra[0], "-cp", n.conf()) // no replayList
}

func TestCheckSockets(t *testing.T) {
	n := &node{jmx: 1, production: network{storage: 7000, ssl: 7001, native: 9042}}
	f := func(ok bool, local, remote string, listening bool) {
		t.Helper()
		s := socket{local: netip.MustParseAddrPort(local), remote: netip.MustParseAddrPort(remote), listening: listening}
		if err := n.checkSockets([]socket{s}); (err == nil) != ok {
			t.Errorf("%v: %v, want %v", s, err, ok)
		}
	}
	f(true, "127.9.9.9:17000", "0.0.0.0:0", true)
	f(true, "0.0.0.0:41234", "0.0.0.0:0", true)
	f(false, "10.0.0.1:7000", "0.0.0.0:0", true)
	f(false, "[::]:9042", "[::]:0", true)
	f(true, "127.9.9.9:41000", "127.9.9.9:17000", false)
	f(false, "10.0.0.1:41000", "10.0.0.2:7000", false)
	f(false, "10.0.0.1:41000", "10.0.0.2:7001", false)
}

func TestParseEndpoint(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got, err := parseEndpoint(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	f("0100007F:1B58", "127.0.0.1:7000")
	f("00000000000000000000000001000000:2352", "[::1]:9042")
	f("0000000000000000FFFF00000100007F:2352", "127.0.0.1:9042")
	if _, err := parseEndpoint("xyz"); err == nil {
		t.Error("xyz is no endpoint")
	}
}

// A client at the node's address must not be given one of the node's ports.
func TestFreePorts(t *testing.T) {
	ports, err := freePorts("127.99.9.9", 50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if seen[p] || p >= 32_768 || p < 1024 {
			t.Errorf("ports %v", ports)
		}
		seen[p] = true
	}
}

func TestRewriteScripts(t *testing.T) {
	n := &node{jmx: 17199, Runner: Runner{Dir: t.TempDir(), Command: []string{filepath.Join(t.TempDir(), "cassandra")}}}
	files := map[string][2]string{
		"conf/cassandra-env.sh": {
			"JMX_PORT=\"7199\"\nJVM_OPTS=\"$JVM_OPTS -javaagent:/opt/exporter.jar=7070\"\nJVM_OPTS=\"$JVM_OPTS -javaagent:$HOME/jamm-0.4.0.jar\"\n",
			"JMX_PORT=17199\n# JVM_OPTS=\"$JVM_OPTS -javaagent:/opt/exporter.jar=7070\"\nJVM_OPTS=\"$JVM_OPTS -javaagent:$HOME/jamm-0.4.0.jar\"\n",
		},
		"conf/jvm-server.options": {
			"-Xmx31G\n-Dcassandra.replace_address=10.0.0.1\n-XX:+UseG1GC\n", "# -Xmx31G\n# -Dcassandra.replace_address=10.0.0.1\n-XX:+UseG1GC\n",
		},
		"conf/README.txt": {"-Xmx31G\n", "-Xmx31G\n"},
	}
	if err := os.Mkdir(n.conf(), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(n.Dir, name), []byte(content[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(n.Command[0], []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	// As packages install it: whatever CASSANDRA_CONF was, it is set.
	include := filepath.Join(filepath.Dir(n.Command[0]), "cassandra.in.sh")
	if err := os.WriteFile(include, []byte("CASSANDRA_CONF=/etc/cassandra\nCASSANDRA_HOME=/usr/share/cassandra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files["cassandra.in.sh"] = [2]string{"", "CASSANDRA_CONF='" + n.conf() + "'\nCASSANDRA_HOME=/usr/share/cassandra\n"}
	if err := n.rewriteScripts(); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if got, err := os.ReadFile(filepath.Join(n.Dir, name)); err != nil || string(got) != content[1] {
			t.Errorf("%s, %v:\n%swant\n%s", name, err, got, content[1])
		}
	}
	if n.include != filepath.Join(n.Dir, "cassandra.in.sh") {
		t.Errorf("include %q", n.include)
	}
}

func TestReplaysTo(t *testing.T) {
	second := time.Date(2026, 11, 22, 14, 3, 9, 0, time.UTC)
	for release, want := range map[string]bool{
		"4.0.13": false, "4.0.14": true, "4.1.6": false, "4.1.10": true, "5.0.8": true, "6.0-alpha2": true, "3.11.19": false, "": false,
	} {
		if !replaysTo(release, second) {
			t.Errorf("%s does not replay to a second", release)
		}
		if got := replaysTo(release, second.Add(time.Microsecond)); got != want {
			t.Errorf("%s replays to a microsecond: %v, want %v", release, got, want)
		}
	}
}
