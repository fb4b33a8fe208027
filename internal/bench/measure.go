package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cost is what a command took, with everything that it started.
type cost struct {
	wall time.Duration
	cpu  time.Duration // user and system
	rss  int64         // peak of the largest process, bytes; 0 when it is less than our own
	read int64         // bytes that it asked the kernel for, from files, pipes and the network
}

// measure runs a command at the priority that sstash gives itself, so that none has an advantage on a
// busy machine.
func measure(ctx context.Context, argv ...string) (cost, error) {
	floor, err := forgetPeak()
	if err != nil {
		return cost{}, err
	}
	unix.Sync() // what was written before is not this command's
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "10", "ionice", "-c", "3"}, argv...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	read, ioErr := readAtEnd(cmd.Process.Pid)
	err = cmd.Wait()
	c := cost{wall: time.Since(began), read: read}
	if err = errors.Join(err, ioErr); err != nil {
		return c, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, &out)
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; rss > floor {
		c.rss = rss
	}
	return c, nil
}

// forgetPeak makes our own peak memory what we use now, and returns it. A process inherits its
// parent's peak when it is started (Linux, exec_mmap).
func forgetPeak() (int64, error) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, fmt.Errorf("reset peak memory: %w", err)
	}
	kib, err := procField("/proc/self/status", "VmHWM:")
	return kib << 10, err
}

// readAtEnd waits until the process has ended, but leaves it a zombie, and returns what its counters
// say then.
func readAtEnd(pid int) (int64, error) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return procField(fmt.Sprintf("/proc/%d/io", pid), "rchar:")
}

// procField reads a number from a file of /proc.
func procField(path, name string) (int64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseInt(strings.Fields(value)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: no %s", path, name)
}

// warm reads everything below dir, so that all begin with the same page cache.
func warm(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
		return err
	})
}

// sum is how many bytes the files below dir have, each once.
func sum(dir string) (bytes int64, err error) {
	seen := map[uint64]bool{}
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if inode := info.Sys().(*syscall.Stat_t).Ino; !seen[inode] {
			seen[inode] = true
			bytes += info.Size()
		}
		return nil
	})
	return bytes, err
}
