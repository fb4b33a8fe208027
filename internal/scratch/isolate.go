package scratch

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// network is what a cassandra.yaml says of who a node is and whom it talks to.
type network struct {
	cluster              string
	seeds                []string
	addresses            []string // its own: to listen on, to be called at
	storage, ssl, native int      // ports
}

// readNetwork reads a cassandra.yaml. What it leaves out is Cassandra's default.
func readNetwork(text []byte) (network, error) {
	keys := struct {
		ClusterName  string `yaml:"cluster_name"`
		SeedProvider any    `yaml:"seed_provider"`
		Listen       string `yaml:"listen_address"`
		Broadcast    string `yaml:"broadcast_address"`
		RPC          string `yaml:"rpc_address"`
		BroadcastRPC string `yaml:"broadcast_rpc_address"`
		Storage      int    `yaml:"storage_port"`
		SSL          int    `yaml:"ssl_storage_port"`
		Native       int    `yaml:"native_transport_port"`
	}{ClusterName: "Test Cluster", Storage: 7000, SSL: 7001, Native: 9042}
	if err := yaml.UnmarshalWithOptions(text, &keys, yaml.AllowDuplicateMapKey()); err != nil {
		return network{}, err
	}
	n := network{cluster: keys.ClusterName, storage: keys.Storage, ssl: keys.SSL, native: keys.Native}
	for _, a := range []string{keys.Listen, keys.Broadcast, keys.RPC, keys.BroadcastRPC} {
		if a != "" && !slices.Contains(n.addresses, a) {
			n.addresses = append(n.addresses, a)
		}
	}
	n.seeds = seedsIn(keys.SeedProvider)
	return n, nil
}

// seedsIn finds the seeds, however a version of Cassandra likes them wrapped.
func seedsIn(v any) (seeds []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			seeds = append(seeds, seedsIn(x)...)
		}
	case map[string]any:
		for key, x := range v {
			text, ok := x.(string)
			if key != "seeds" || !ok {
				seeds = append(seeds, seedsIn(x)...)
				continue
			}
			for s := range strings.SplitSeq(text, ",") {
				seeds = append(seeds, strings.TrimSpace(s))
			}
		}
	}
	return seeds
}

// apart tells whether a node that is configured as n can't take itself for a part of the cluster of
// production, nor reach it.
func (n network) apart(production network) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrNotIsolated, fmt.Sprintf(format, args...))
	}
	if n.cluster == production.cluster || n.cluster == "" {
		return refuse("its cluster is called %q", n.cluster)
	}
	if len(n.addresses) != 1 {
		return refuse("it has the addresses %q", n.addresses)
	}
	address, err := netip.ParseAddr(n.addresses[0])
	if err != nil || !address.IsLoopback() {
		return refuse("its address %q is not a loopback address", n.addresses[0])
	}
	theirs := slices.Concat(production.addresses, production.seeds)
	for i, a := range theirs {
		if host, _, ok := strings.Cut(a, ":"); ok && !strings.Contains(host, ":") && strings.Count(a, ":") == 1 {
			theirs[i] = host // seeds may have a port, 4.0+
		}
	}
	if slices.Contains(theirs, n.addresses[0]) {
		return refuse("its address %s is one of the cluster's", n.addresses[0])
	}
	if !slices.Equal(n.seeds, n.addresses) {
		return refuse("its seeds are %q, not itself alone", n.seeds)
	}
	ports := []int{production.storage, production.ssl, production.native}
	for _, p := range []int{n.storage, n.ssl, n.native} {
		if p == 0 || slices.Contains(ports, p) {
			return refuse("its port %d is one of the node's", p)
		}
	}
	return nil
}

// checkConf reads the configuration that was written as Cassandra will.
func (n *node) checkConf() error {
	text, err := os.ReadFile(filepath.Join(n.conf(), "cassandra.yaml"))
	if err != nil {
		return err
	}
	has, err := readNetwork(text)
	if err != nil {
		return err
	}
	return has.apart(n.production)
}

// checkCommand tells whether a JVM with these arguments reads the configuration in n's directory and
// nothing else: its cassandra.yaml (the last -Dcassandra.config holds), and what Cassandra finds on
// the class path, of which the first directory that has it counts; and whether it got all extra options.
func (n *node) checkCommand(args, extra []string) error {
	var config, classpath string
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "-Dcassandra.config="); ok {
			config = v
		}
		if (a == "-cp" || a == "-classpath" || a == "--class-path") && i+1 < len(args) {
			classpath = args[i+1]
		}
		if strings.HasPrefix(a, "-Dcassandra.replace_address") {
			return fmt.Errorf("%w: it is started with %s", ErrNotIsolated, a)
		}
	}
	if want := "file://" + filepath.Join(n.conf(), "cassandra.yaml"); config != want {
		return fmt.Errorf("%w: it reads %s instead of %s", ErrNotIsolated, config, want)
	}
	for _, option := range extra {
		if !slices.Contains(args, option) {
			return fmt.Errorf("%w: it lacks %s; the command of cassandra.scratch must heed JVM_EXTRA_OPTS", ErrNotIsolated, option)
		}
	}
	for entry := range strings.SplitSeq(classpath, ":") {
		for _, name := range []string{"commitlog_archiving.properties", "cassandra.yaml"} {
			if _, err := os.Stat(filepath.Join(entry, name)); err == nil && !sameDir(entry, n.conf()) {
				return fmt.Errorf("%w: it takes its configuration from %s instead of %s; "+
					"does its include file (cassandra.in.sh) or the command of cassandra.scratch set CASSANDRA_CONF?", ErrNotIsolated, entry, n.conf())
			}
		}
		if sameDir(entry, n.conf()) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is not on its class path %s", ErrNotIsolated, n.conf(), classpath)
}

func sameDir(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// checkSockets tells whether a process listens only where n is to, and is connected to nobody but
// itself or somebody who is not of the cluster.
func (n *node) checkSockets(sockets []socket) error {
	for _, s := range sockets {
		switch {
		case s.listening && !s.local.Addr().IsLoopback() && int(s.local.Port()) != n.jmx:
			// (JMX, where it is for remote use too, picks its address by itself.)
			if slices.Contains([]int{n.production.storage, n.production.ssl, n.production.native}, int(s.local.Port())) {
				return fmt.Errorf("%w: it listens on %s", ErrNotIsolated, s.local)
			}
		case s.listening:
		case int(s.remote.Port()) == n.production.storage || int(s.remote.Port()) == n.production.ssl:
			return fmt.Errorf("%w: it has a connection to %s", ErrNotIsolated, s.remote)
		}
	}
	return nil
}
