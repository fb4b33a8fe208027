package scratch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// node is one scratch node, running or not.
type node struct {
	Runner
	network
	jmx        int
	production network // of the node beside which this one stands
	include    string  // for CASSANDRA_INCLUDE; empty: that of the installation will do
}

func (n *node) conf() string { return filepath.Join(n.Dir, "conf") }
func (n *node) data() string { return filepath.Join(n.Dir, "data") }
func (n *node) log() string  { return filepath.Join(n.Dir, "commitlog") }
func (n *node) logs() string { return filepath.Join(n.Dir, "logs") }

// configure makes the directory of a scratch node.
func (r Runner) configure(j Job) (*node, error) {
	n := &node{Runner: r}
	text, err := os.ReadFile(r.YAML)
	if err != nil {
		return nil, err
	}
	if n.production, err = readNetwork(text); err != nil {
		return nil, fmt.Errorf("%s: %w", r.YAML, err)
	}
	if err := n.identify(); err != nil {
		return nil, err
	}
	for _, sub := range []string{n.conf(), n.data(), n.log(), n.logs()} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return nil, err
		}
	}
	if err := copyConf(filepath.Dir(r.YAML), n.conf()); err != nil {
		return nil, err
	}
	mine, err := rewriteYAML(text, n.settings())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.YAML, err)
	}
	for name, content := range map[string]string{
		"cassandra.yaml":                 mine,
		"commitlog_archiving.properties": Archiving(j.Until, ""),
		"logback.xml":                    logback,
	} {
		if err := os.WriteFile(filepath.Join(n.conf(), name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	if err := n.rewriteScripts(); err != nil {
		return nil, err
	}
	return n, n.checkConf()
}

// logback makes the node say on its standard output how it fares: we read there how the replay went.
const logback = `<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="STDOUT"/></root>
</configuration>
`

// Archiving is a commitlog_archiving.properties that makes Cassandra replay up to a moment, zero for all
// there is: the segments in a directory, or, when that is empty, those where it looks for its own.
func Archiving(until time.Time, dir string) string {
	var moment, command string
	if !until.IsZero() {
		moment = until.UTC().Format("2006:01:02 15:04:05.000000")
	}
	if dir != "" {
		command = "/bin/cp -f %from %to"
	}
	return fmt.Sprintf("archive_command=\nrestore_command=%s\nrestore_directories=%s\nrestore_point_in_time=%s\nprecision=MICROSECONDS\n",
		command, dir, moment)
}

// identify gives the node a name, an address and ports that nobody else has.
func (n *node) identify() error {
	n.cluster = "sstash-scratch-" + strings.ToLower(rand.Text()[:12])
	n.seeds, n.addresses = nil, nil
	for range 100 {
		address := fmt.Sprintf("127.%d.%d.%d", 1+mathrand.IntN(254), mathrand.IntN(256), 1+mathrand.IntN(254))
		ports, err := freePorts(address, 4)
		if err != nil {
			continue
		}
		n.addresses, n.seeds = []string{address}, []string{address}
		n.storage, n.ssl, n.native, n.jmx = ports[0], ports[1], ports[2], ports[3]
		if n.network.apart(n.production) == nil {
			return nil
		}
	}
	return errors.New("find a free address and ports in 127.0.0.0/8: none is left")
}

// freePorts finds ports that nobody listens on, neither at address nor, where JMX goes, at 127.0.0.1.
// They are below those that the kernel gives to clients (ip_local_port_range): whoever asks whether a
// port answers yet, from the same address, could else be given that very port, and connect to itself.
func freePorts(address string, count int) ([]int, error) {
	const lowest, end = 10_240, 32_768
	var ports []int
	for range 1000 {
		if len(ports) == count {
			return ports, nil
		}
		port := fmt.Sprint(lowest + mathrand.IntN(end-lowest))
		l, err := net.Listen("tcp4", net.JoinHostPort(address, port))
		if err != nil {
			continue
		}
		defer l.Close()
		local, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		defer local.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return nil, fmt.Errorf("find %d free ports at %s", count, address)
}

// copyConf copies a conf directory, following links: configuration management likes those.
func copyConf(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && d.Type()&fs.ModeSymlink != 0:
			return nil // a link to nothing
		case err != nil:
			return err
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		case !info.Mode().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600|info.Mode()&0o100)
	})
}

// empty removes what is in a directory of ours.
func (n *node) empty(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}
