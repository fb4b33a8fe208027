package cassandra

import (
	"net"
	"sync"
	"testing"
	"time"
)

// The driver's own Close hangs when it meets a control connection that comes back
// after an outage, so these are closed at different moments of that.
func TestCloseAfterAnOutage(t *testing.T) {
	n := startNode(t)
	r := startRelay(t, n.CQL)
	conns := make([]*Conn, 20)
	var dialed sync.WaitGroup
	for i := range conns {
		dialed.Go(func() {
			var err error
			if conns[i], err = Dial(t.Context(), Options{Address: r.Addr().String()}); err != nil {
				t.Error(err)
			}
		})
	}
	if dialed.Wait(); t.Failed() {
		t.FailNow()
	}
	r.interrupt(2 * time.Second) // the first attempt to come back, made at once, has failed by then
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range conns {
			c.Close()
			time.Sleep(50 * time.Millisecond)
		}
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("Close hangs")
	}
}

// relay passes connections on to a node, and the node's answers with a delay.
type relay struct {
	net.Listener
	node string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func startRelay(t *testing.T, node string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, node: node}
	t.Cleanup(func() { l.Close(); r.set(true) })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.relay(conn)
		}
	}()
	return r
}

func (r *relay) relay(client net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		client.Close()
		return
	}
	node, err := net.Dial("tcp", r.node)
	if err != nil {
		client.Close()
		return
	}
	r.conns = append(r.conns, client, node)
	go pass(node, client, 0)
	go pass(client, node, 20*time.Millisecond)
}

func pass(to, from net.Conn, delay time.Duration) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(delay)
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// interrupt ends all connections, and any new one, for d.
func (r *relay) interrupt(d time.Duration) {
	r.set(true)
	time.Sleep(d)
	r.set(false)
}

func (r *relay) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}
