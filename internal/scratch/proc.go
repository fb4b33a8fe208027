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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// socket is one of TCP.
type socket struct {
	local, remote netip.AddrPort
	listening     bool
	inode         string // "0": nobody holds it (any more)
	uid           string // whose it is, if somebody holds it
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

// ended tells whether a process has no memory any more, though the last of it may still be there.
func ended(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || len(line) == 0
}

// inodesOf lists the sockets that a process holds, by inode.
func inodesOf(pid int) (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return held, nil
}

// socketTable lists the TCP sockets of the network that a process is in, whoever holds them, and those
// that are closed but not forgotten: for a minute by the end that closed first (TIME_WAIT).
func socketTable(pid int) ([]socket, error) {
	var found []socket
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if table == "tcp6" && errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[0] == "sl" {
				continue
			}
			local, err1 := parseEndpoint(f[1])
			remote, err2 := parseEndpoint(f[2])
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			found = append(found, socket{local, remote, f[3] == "0A", f[9], f[7]}) // TCP_LISTEN
		}
	}
	return found, nil
}

// parseEndpoint reads "0100007F:1B58": words of the address in the machine's byte order, the port in
// the usual one (proc(5), /proc/net/tcp). IPv4 within IPv6, as a JVM has it, is IPv4.
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
	return netip.AddrPortFrom(ip.Unmap(), uint16(p)), nil
}

// endLeft kills what an earlier run left running of a scratch node in dir, because sstash was killed: all
// that was given its configuration, by the environment as whatever was started for it, or by an
// argument as the JVM. It returns when they are gone.
func endLeft(dir string) error {
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(10 * time.Millisecond) {
		left, err := leftIn(dir)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("an earlier scratch node in %s, processes %d, can't be ended", dir, left)
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d of an earlier scratch node: %w", pid, err)
			}
		}
	}
}

// leftIn lists the processes of a scratch node in dir. Those that have ended have neither arguments nor
// environment; the environment of other users' processes can't be read.
func leftIn(dir string) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	n := &node{Runner: Runner{Dir: dir}}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		arguments, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environment, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		for v := range strings.SplitSeq(string(arguments)+"\x00"+string(environment), "\x00") {
			if v == n.configOption() || v == "CASSANDRA_CONF="+n.conf() {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids, nil
}
