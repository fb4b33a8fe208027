package cassandra

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Settings is what cassandra.yaml says, 2.1 to 6.0, of what a backup needs.
// Keys of no interest are not looked at. nodetool and JMX can change some of it
// until the next restart: ask Nodetool.StatusBackup for incremental backups.
type Settings struct {
	Path                             string // of the file
	ClusterName                      string
	DataDirectories                  []string // absolute, in the file's order; the first one holds system tables
	LocalSystemData                  string   // local_system_data_file_directory, 4.0+; usually empty
	CommitLog                        string   // commitlog_directory; empty: below Cassandra's own storage directory
	Partitioner                      string   // class with its package
	IncrementalBackups, AutoSnapshot bool
	ListenAddress                    string // empty if the file names an interface or nothing
	RPCAddress                       string // likewise
	RPCInterface                     string
	NativePort                       int
}

// yamlKeys is the shape of cassandra.yaml. Scalars are read as text, since
// Cassandra's YAML is 1.1 (yes, on) and the library's is 1.2.
type yamlKeys struct {
	ClusterName        *string  `yaml:"cluster_name"`
	DataDirectories    []string `yaml:"data_file_directories"`
	LocalSystemData    string   `yaml:"local_system_data_file_directory"`
	CommitLog          string   `yaml:"commitlog_directory"`
	Partitioner        string   `yaml:"partitioner"`
	IncrementalBackups string   `yaml:"incremental_backups"`
	AutoSnapshot       string   `yaml:"auto_snapshot"`
	ListenAddress      string   `yaml:"listen_address"`
	RPCAddress         string   `yaml:"rpc_address"`
	RPCInterface       string   `yaml:"rpc_interface"`
	NativePort         string   `yaml:"native_transport_port"`
}

// ErrNoDataDirectories is returned (wrapped) for a cassandra.yaml that leaves
// data_file_directories to the node's own start script.
var ErrNoDataDirectories = errors.New("not set; name them in sstash's own cassandra.data_directories")

// ReadYAML reads a node's cassandra.yaml. Without data_file_directories the
// other settings are returned with an ErrNoDataDirectories.
func ReadYAML(path string) (Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, fmt.Errorf("read cassandra.yaml: %w", err)
	}
	var keys yamlKeys
	if err := yaml.UnmarshalWithOptions(data, &keys, yaml.AllowDuplicateMapKey()); err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return Settings{}, fmt.Errorf("%s:%d: %s", path, at.GetToken().Position.Line, at.GetMessage())
		}
		return Settings{}, fmt.Errorf("read %s: %w", path, err)
	}
	s, err := keys.settings()
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	s.Path = path
	return s, err
}

func (k yamlKeys) settings() (Settings, error) {
	s := Settings{
		ClusterName:     "Test Cluster", // Cassandra's own defaults, here and below
		DataDirectories: k.DataDirectories,
		LocalSystemData: k.LocalSystemData,
		CommitLog:       k.CommitLog,
		Partitioner:     k.Partitioner,
		ListenAddress:   k.ListenAddress,
		RPCAddress:      k.RPCAddress,
		RPCInterface:    k.RPCInterface,
	}
	if k.ClusterName != nil {
		s.ClusterName = *k.ClusterName
	}
	if s.Partitioner != "" && !strings.Contains(s.Partitioner, ".") {
		s.Partitioner = "org.apache.cassandra.dht." + s.Partitioner
	}
	var errs []error
	fail := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	var err error
	s.IncrementalBackups, err = yamlBool(k.IncrementalBackups, false)
	fail("incremental_backups", err)
	s.AutoSnapshot, err = yamlBool(k.AutoSnapshot, true)
	fail("auto_snapshot", err)
	s.NativePort = 9042
	if k.NativePort != "" {
		s.NativePort, err = strconv.Atoi(k.NativePort)
		fail("native_transport_port", err)
	}
	for _, dir := range s.DataDirectories {
		fail("data_file_directories", absolute(dir))
	}
	fail("local_system_data_file_directory", absolute(s.LocalSystemData))
	fail("commitlog_directory", absolute(s.CommitLog))
	if len(s.DataDirectories) == 0 {
		fail("data_file_directories", ErrNoDataDirectories)
	}
	return s, errors.Join(errs...)
}

// absolute refuses paths that depend on where the node was started.
func absolute(path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	return nil
}

// yamlBool reads a boolean of YAML 1.1.
func yamlBool(text string, absent bool) (bool, error) {
	switch strings.ToLower(text) {
	case "":
		return absent, nil
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", text)
}

// CQLAddress returns the host:port where the node answers its own machine: its
// rpc_address, the loopback address if that is a wildcard, the first address of
// its rpc_interface, or, as Cassandra does without either, the host's name.
func (s Settings) CQLAddress() (string, error) {
	host := s.RPCAddress
	switch {
	case host == "" && s.RPCInterface != "":
		var err error
		if host, err = interfaceAddress(s.RPCInterface); err != nil {
			return "", fmt.Errorf("%s: rpc_interface: %w", s.Path, err)
		}
	case host == "":
		var err error
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("find the address of this host: %w", err)
		}
	case net.ParseIP(host).Equal(net.IPv4zero):
		host = "127.0.0.1"
	case net.ParseIP(host).Equal(net.IPv6zero):
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(s.NativePort)), nil
}

// interfaceAddress prefers IPv4, as Cassandra does unless told otherwise.
func interfaceAddress(name string) (string, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var ips []net.IP
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			ips = append(ips, n.IP)
		}
	}
	if len(ips) == 0 {
		return "", fmt.Errorf("%s has no address", name)
	}
	if v4 := slices.IndexFunc(ips, func(ip net.IP) bool { return ip.To4() != nil }); v4 >= 0 {
		return ips[v4].String(), nil
	}
	return ips[0].String(), nil
}
