// Package cassandratest runs real Apache Cassandra 5.0.8 nodes for tests, the
// demo and the benchmarks: it starts, stops, kills and restarts them. The
// product never imports it.
//
// A node is a JVM with everything it owns in one directory:
//
//	bin/          cassandra, nodetool, sstableloader: executables for this node
//	conf/         cassandra.yaml, logback.xml
//	data1, data2  data directories
//	commitlog, hints, saved_caches, cdc_raw
//	logs/         system.log: everything the JVM printed, over all its starts
//	home, tmp     of the JVMs
//
// Each node has an address of its own in 127.0.0.0/8 and the usual ports on it
// (7000 storage, 7199 JMX, 9042 CQL), so nodes of any number of processes run
// side by side. Linux only: it relies on that network and on Pdeathsig.
//
// The settings favour short lives on small machines, never at the price of what
// a backup can observe: fsync, schema flushes and the commit log are as in
// production. Incremental backups and auto_snapshot are on.
package cassandratest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// startTimeout bounds a start, which takes 2 s on an idle machine.
const startTimeout = 2 * time.Minute

// Options describe a node. The zero value of every field but Dir will do.
type Options struct {
	// Dir is the node's directory, made if missing. A node that finds the data
	// of an earlier one there takes them over.
	Dir string
	// Address in 127.0.0.0/8; a free one is chosen if empty.
	Address string
	// Seeds are addresses of nodes of the ring to join; the node itself if empty.
	Seeds []string
	// Tokens are the node's own; {0} if empty. Nodes never bootstrap.
	Tokens []int64
	// ClusterName is "cassandratest" if empty.
	ClusterName string
	// Config is merged over the generated cassandra.yaml: a nil value removes a
	// key. Directories and addresses must stay as they are.
	Config map[string]any
	// JVMArgs are more arguments of each start, such as -Dcassandra.x=y.
	JVMArgs []string
	// HeapMB, at least 128, is 384 if 0.
	HeapMB int
}

// Node is one node, running or not. Its fields don't change; one goroutine at a
// time may call its methods.
type Node struct {
	Dir       string
	Address   string
	CQL       string // host:port
	YAML      string // path of cassandra.yaml
	DataDirs  []string
	CommitLog string // directory
	Log       string // path of system.log

	jvmArgs []string
	process *process // nil unless started
}

// Start makes a node, starts it and waits until it answers CQL. The node ends
// with this process at the latest, not with ctx, which bounds only the wait.
//
// The first start on a machine downloads Cassandra (Jars) and records class
// data that make later starts a third faster: some 10 s more.
func Start(ctx context.Context, o Options) (*Node, error) {
	lib, java, err := Jars(ctx)
	if err != nil {
		return nil, err
	}
	archives, err := classData(ctx, lib, java)
	if err != nil {
		return nil, err
	}
	n, err := newNode(o, machine{lib: lib, java: java, archives: archives})
	if err != nil {
		return nil, err
	}
	if err := n.StartAgain(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// StartAgain starts a node that was stopped or killed and waits until it answers
// CQL. If it doesn't, the error ends with the tail of its log, and it is killed.
func (n *Node) StartAgain(ctx context.Context) error {
	if n.PID() != 0 {
		return errors.New("start cassandra: it is running")
	}
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	n.process, err = startProcess(append(n.Cassandra(), n.jvmArgs...), log)
	if err != nil {
		return fmt.Errorf("start cassandra: %w", err)
	}
	if err := n.awaitCQL(ctx); err != nil {
		n.Kill()
		return fmt.Errorf("start cassandra: %w\n%s", err, n.LogTail())
	}
	return nil
}

// awaitCQL returns when the node answers a query.
func (n *Node) awaitCQL(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("no answer to CQL in time"))
	defer cancel()
	for {
		if listening(n.CQL) {
			session, err := n.Session()
			if err == nil {
				session.Close()
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.process.done:
			return fmt.Errorf("process ended: %v", n.process.cmd.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop asks the node to end and waits until it has: it drains, so what was
// written is in SSTables then. If ctx ends first the node is killed.
func (n *Node) Stop(ctx context.Context) error {
	if n.PID() == 0 {
		return errors.New("stop cassandra: it is not running")
	}
	n.process.signal(syscall.SIGTERM)
	select {
	case <-n.process.done:
		return nil
	case <-ctx.Done():
		n.Kill()
		return fmt.Errorf("stop cassandra: %w", context.Cause(ctx))
	}
}

// Kill ends the node with SIGKILL and waits until it is gone. A node that isn't
// running stays so. With the default, periodic commit log a node forgets what it
// acknowledged in its last 100 ms (PeriodicCommitLogService, 4.0+).
func (n *Node) Kill() {
	if n.PID() == 0 {
		return
	}
	n.process.signal(syscall.SIGKILL)
	<-n.process.done
}

// Restart stops the node and starts it again.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	return n.StartAgain(ctx)
}

// PID is the process id of the JVM, 0 if the node isn't running.
func (n *Node) PID() int {
	if n.process == nil || n.process.over() {
		return 0
	}
	return n.process.cmd.Process.Pid
}

// Session is a gocql.Session that can always be closed.
type Session struct{ *gocql.Session }

// Close doesn't wait: gocql's Close never returns when it meets the control
// connection coming back after a restart (2.1.2: refreshDebouncer.refreshNow
// after stop).
func (s *Session) Close() { go s.Session.Close() }

// Session connects to this node, and to no other of its ring. It reconnects
// after a restart of the node. The caller closes it.
func (n *Node) Session() (*Session, error) {
	cluster := gocql.NewCluster(n.Address)
	cluster.HostFilter = gocql.WhiteListHostFilter(n.Address)
	cluster.Timeout = 30 * time.Second
	cluster.ReconnectInterval = time.Second
	session, err := cluster.CreateSession()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.CQL, err)
	}
	return &Session{session}, nil
}

// Cassandra is a command that starts a node in the foreground: this one, or
// another if CASSANDRA_CONF names a directory with another cassandra.yaml. It
// stands in for the stock `cassandra -f` (see bin/cassandra).
func (n *Node) Cassandra() []string {
	return []string{filepath.Join(n.Dir, "bin", "cassandra"), "-f"}
}

// Nodetool is a command that talks to this node, to be followed by nodetool's
// arguments.
func (n *Node) Nodetool() []string {
	return []string{filepath.Join(n.Dir, "bin", "nodetool")}
}

// SSTableLoader is a command to be followed by sstableloader's arguments, which
// name the node.
func (n *Node) SSTableLoader() []string {
	return []string{filepath.Join(n.Dir, "bin", "sstableloader")}
}

// RunNodetool runs nodetool and returns its standard output; standard error is
// in the error.
func (n *Node) RunNodetool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.Nodetool()[0], args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("nodetool %q: %w\n%s%s", args, err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// LogTail is the end of the node's log.
func (n *Node) LogTail() string {
	const size = 8 << 10
	log, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	if len(log) > size {
		log = log[len(log)-size:]
		log = log[bytes.IndexByte(log, '\n')+1:]
	}
	return string(log)
}
