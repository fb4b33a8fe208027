package scratch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// socket is one of TCP.
type socket struct {
	local, remote netip.AddrPort
	listening     bool
}

// findJVM finds the process of a group that runs Cassandra, 0 if there is none (yet).
func findJVM(group int) (pid int, args []string, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || groupOf(pid) != group {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		for _, a := range args {
			// The whole argument: a script may have it within one.
			if a == "org.apache.cassandra.service.CassandraDaemon" {
				return pid, args, nil
			}
		}
	}
	return 0, nil, nil
}

// groupOf is the process group of a process, 0 if it is gone: proc(5), stat, the fields behind the name,
// which may hold anything.
func groupOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 3 {
		return 0
	}
	group, _ := strconv.Atoi(fields[2])
	return group
}

// socketsOf lists the TCP sockets that a process holds.
func socketsOf(pid int) ([]socket, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	mine := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var found []socket
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || !mine[f[9]] {
				continue
			}
			local, err1 := parseEndpoint(f[1])
			remote, err2 := parseEndpoint(f[2])
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			found = append(found, socket{local, remote, f[3] == "0A"}) // TCP_LISTEN
		}
	}
	return found, nil
}

// parseEndpoint reads "0100007F:1B58": words of the address in the machine's byte order, the port in
// the usual one (proc(5), /proc/net/tcp).
func parseEndpoint(s string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("read socket address %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	ip, ok := netip.AddrFromSlice(b)
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("read socket address %q", s)
	}
	return netip.AddrPortFrom(ip, uint16(p)), nil
}
