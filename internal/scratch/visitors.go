package scratch

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
)

// door is where n answers CQL.
func (n *node) door() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(n.addresses[0]), uint16(n.native))
}

// held leaves of sockets those with one of the inodes.
func held(sockets []socket, inodes map[string]bool) (kept []socket) {
	for _, s := range sockets {
		if inodes[s.inode] {
			kept = append(kept, s)
		}
	}
	return kept
}

// checkVisitors tells whether nobody but we is, or lately was, connected to n, which asks nobody for a
// password. table is all the machine's sockets, its the inodes of the JVM's.
//
// We connect from n's own address, which nobody else does by chance, and whoever does it as our user needs
// no connection. At the CQL port the kernel remembers a visit for a minute after it was closed, by both
// addresses; at the other ports, where we never are, visitors are seen while they stay.
func (n *node) checkVisitors(table []socket, its map[string]bool) error {
	own := map[netip.AddrPort]bool{}
	for _, s := range held(table, its) {
		own[s.local] = true
	}
	door, us := n.door(), strconv.Itoa(os.Geteuid())
	for _, s := range table {
		visitor, at, fine := s.remote, s.local, true
		switch port := int(s.local.Port()); {
		case s.listening:
		case s.remote == door:
			visitor, at = s.local, s.remote
			fine = s.local.Addr() == door.Addr() && (s.inode == "0" || s.uid == us)
		case s.local == door: // of a visitor from this address, the other end is in the table, too
			fine = s.remote.Addr() == door.Addr()
		case its[s.inode] && (port == n.jmx || port == n.storage || port == n.ssl):
			fine = own[s.remote]
		}
		if !fine {
			return fmt.Errorf("%w: somebody else, at %s, connected to the scratch node at %s", ErrNotIsolated, visitor, at)
		}
	}
	return nil
}
