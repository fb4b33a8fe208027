package scratch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// visitor is where this test binary, started as somebody else, is to connect to.
const visitor = "SSTASH_TEST_VISIT"

// fakeJVM has the command line of a Cassandra, and does nothing.
const fakeJVM = `sh -c 'echo up; while :; do sleep 1; done' sh "$JVM_EXTRA_OPTS" -cp "$CASSANDRA_CONF" org.apache.cassandra.service.CassandraDaemon`

// startFake starts a script in place of Cassandra, and waits for its JVM.
func startFake(t *testing.T, script string) (*node, *process) {
	t.Helper()
	dir := t.TempDir()
	n := &node{Runner: Runner{Command: []string{"sh", "-c", script}, Dir: dir}}
	if err := n.identify(); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{n.conf(), n.logs(), n.log()} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, err := n.start([]string{n.configOption()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	for p.jvm == 0 {
		if err := n.inspect(p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	return n, p
}

// listen answers at the CQL port of a node, as its JVM would.
func listen(t *testing.T, n *node) {
	t.Helper()
	l, err := net.Listen("tcp", n.door().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // until the other side goes
				_, _ = c.Read(make([]byte, 1))
				c.Close()
			}()
		}
	}()
}

// A scratch node asks nobody for a password: it dies when somebody else connects, and when somebody has.
func TestWatchEndsWhatSomebodyElseConnectsTo(t *testing.T) {
	if address := os.Getenv(visitor); address != "" {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("connected\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is closed
		c.Close()
		return
	}
	n, p := startFake(t, "exec "+fakeJVM)
	listen(t, n)
	for range 3 { // as we do
		c, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.door().Addr(), 0))}).Dial("tcp", n.door().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := n.inspect(p); err != nil {
			t.Fatalf("our own connection: %v", err)
		}
		c.Close()
		if err := n.inspect(p); err != nil {
			t.Fatalf("our own connection, closed: %v", err)
		}
	}

	visit := exec.Command(os.Args[0], "-test.run=^TestWatchEndsWhatSomebodyElseConnectsTo$")
	visit.Env = append(os.Environ(), visitor+"="+n.door().String())
	in, err := visit.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := visit.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = n.watch(t.Context(), p, func(ctx context.Context) error {
		if err := visit.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, ErrNotIsolated) {
		t.Errorf("with somebody else's connection: %v, want %v", err, ErrNotIsolated)
	}
	select {
	case <-p.done:
	default:
		t.Error("what somebody else connects to runs on")
	}
	if _, err := out.Read(make([]byte, 100)); err != nil { // it has connected, so it says so
		t.Fatal(err)
	}
	in.Close()
	if err := visit.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := n.inspect(p); !errors.Is(err, ErrNotIsolated) {
		t.Errorf("after somebody else's connection: %v, want %v", err, ErrNotIsolated)
	}
}

func TestCheckVisitors(t *testing.T) {
	n := &node{jmx: 4711, network: network{addresses: []string{"127.9.9.9"}, native: 4712, storage: 4713, ssl: 4714}}
	its, us := map[string]bool{"1": true}, os.Geteuid()
	f := func(fine bool, rows ...string) {
		t.Helper()
		var table []socket
		for _, row := range rows {
			r := strings.Fields(row)
			table = append(table, socket{local: netip.MustParseAddrPort(r[0]), remote: netip.MustParseAddrPort(r[1]), inode: r[2], uid: strconv.Itoa(us)})
			if r[2] == "3" { // somebody else's
				table[len(table)-1].uid = strconv.Itoa(us + 1)
			}
		}
		if err := n.checkVisitors(table, its); (err == nil) != fine {
			t.Errorf("%q: %v", rows, err)
		}
	}
	f(true, "127.9.9.9:50000 127.9.9.9:4712 2", "127.9.9.9:4712 127.9.9.9:50000 1") // ours
	f(true, "127.9.9.9:50000 127.9.9.9:4712 0", "127.9.9.9:4712 127.9.9.9:50000 1") // ours, closed
	f(true, "127.9.9.9:4712 127.9.9.9:50000 0")                                     // ours, closed by it
	f(false, "127.9.9.9:50000 127.9.9.9:4712 3")                                    // from that address, but another user
	f(false, "127.0.0.1:50000 127.9.9.9:4712 3")
	f(false, "127.0.0.1:50000 127.9.9.9:4712 2") // an agent that runs as our user
	f(false, "127.0.0.1:50000 127.9.9.9:4712 0")
	f(false, "127.9.9.9:4712 127.0.0.1:50000 0")
	f(false, "127.0.0.1:4711 127.0.0.1:50000 1", "127.0.0.1:50000 127.0.0.1:4711 3") // JMX
	f(false, "0.0.0.0:4711 10.0.0.1:50000 1")
	f(false, "127.9.9.9:4713 127.0.0.1:50000 1")
	f(true, "127.0.0.1:4711 127.0.0.1:50000 1", "127.0.0.1:50000 127.0.0.1:4711 1") // with itself
	f(true, "10.0.0.1:4711 10.0.0.2:443 3")                                         // another's port of that number
	f(true, "127.0.0.1:50000 127.0.0.1:9042 3")                                     // production
}

// A node that neither ends nor opens its port is not waited for for good.
func TestAwaitEnds(t *testing.T) {
	n, p := startFake(t, "exec "+fakeJVM)
	p.limit = time.Millisecond
	if _, err := n.await(t.Context(), p); err == nil || !strings.Contains(err.Error(), "was not open after") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(n.log(), "CommitLog-7-1.log"), make([]byte, 3*replayRate), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := replayTime(n.log()); got != 3*time.Second {
		t.Errorf("%s for a replay", got)
	}
}

// When sstash is killed, its child is too, but not what a child that is a wrapper has started.
func TestPrepareEndsWhatWasLeft(t *testing.T) {
	n, p := startFake(t, fakeJVM+"; exit 1")
	if p.jvm == p.cmd.Process.Pid {
		t.Fatal("the shell is no wrapper")
	}
	if err := p.cmd.Process.Kill(); err != nil { // as Pdeathsig
		t.Fatal(err)
	}
	<-p.done
	if ended(p.jvm) {
		t.Fatal("the JVM has ended with the wrapper")
	}
	other := exec.Command("sleep", "1000") // names a directory of another node
	other.Env = append(os.Environ(), "CASSANDRA_CONF="+n.conf()+"2")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	lock, err := n.prepare()
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if !ended(p.jvm) {
		t.Error("the JVM of an earlier run runs on")
	}
	nobodyLeft(t, n.Dir+"/")
	if ended(other.Process.Pid) {
		t.Error("another's process was ended")
	}
}
