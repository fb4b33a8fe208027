package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/config"
)

// Linux, include/uapi/linux/ioprio.h.
const (
	ioprioWhoProcess = 1
	ioprioClassIdle  = 3
	ioprioClassShift = 13

	// uncounted is what Go does not count as its memory: the pages of the program and of the cache.
	uncounted = 40 << 20
)

// yield makes the process a good neighbour of the database: as many cores and as much memory as the
// configuration admits, the CPU after others, the disk when nobody else wants it.
func yield(l config.Limits) error {
	runtime.GOMAXPROCS(min(runtime.NumCPU(), int(math.Ceil(l.CPU))))
	limitMemory(l.Memory)
	if l.Nice == 0 {
		return nil
	}
	// Both priorities belong to threads; those that come later inherit them.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("lower priority: %w", err)
	}
	var errs []error
	for _, t := range threads {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			errs = append(errs, lower(tid, l.Nice))
		}
	}
	return errors.Join(errs...)
}

// limitMemory makes the garbage collector work harder rather than let the process take more.
func limitMemory(n config.Bytes) { debug.SetMemoryLimit(int64(n) - uncounted) }

func lower(tid, niceness int) error {
	// The system call answers 20 - nice.
	if now, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && 20-now < niceness {
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, niceness); err != nil {
			return fmt.Errorf("set nice: %w", err)
		}
	}
	_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), ioprioClassIdle<<ioprioClassShift)
	if errno != 0 {
		return fmt.Errorf("set I/O class: %w", errno)
	}
	return nil
}
