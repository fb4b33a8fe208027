package cassandra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
)

func TestPeersAndSchemaAgreement(t *testing.T) {
	ring := cassandratest.NewRing(t, 2, cassandratest.Options{})
	ctx := t.Context()
	before := connections(t, ring[1].Address) // cassandratest's own, if any
	conn, err := Dial(ctx, Options{Address: ring[0].CQL})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	self, err := conn.Identity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	peers, err := conn.Peers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(peers) != 1 {
		t.Fatalf("peers: %+v", peers)
	}
	p := peers[0]
	if p.Address != ring[1].Address || len(p.HostID) != 36 || p.HostID == self.HostID || p.DC != self.DC || p.Rack != self.Rack || p.Release != self.Release || len(p.Tokens) != 1 {
		t.Errorf("peer %+v of %+v", p, self)
	}

	if to := connections(t, ring[1].Address); to > before {
		t.Errorf("%d connections to the other node", to-before)
	}
	if to := connections(t, ring[0].Address); to == 0 {
		t.Error("connections aren't found")
	}

	ring[1].Kill()
	if err := conn.Exec(ctx, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := conn.AwaitSchemaAgreement(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "node "+ring[1].Address+" has schema") {
		t.Errorf("a node is down: %v", err)
	}
	if err := ring[1].StartAgain(ctx); err != nil {
		t.Fatal(err)
	}
	long, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := conn.AwaitSchemaAgreement(long); err != nil {
		t.Errorf("the node is back: %v", err)
	}
}

// connections counts the established TCP connections to a node's CQL port.
func connections(t *testing.T, address string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	ip := net.ParseIP(address).To4()
	const established = "01"
	remote := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], 9042)
	n := 0
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); f[2] == remote && f[3] == established {
			n++
		}
	}
	return n
}
