package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// host says on what machine, with what programs, the measurements were made. dir is where the data
// are.
func host(binary, dir string) ([]string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	memory, err := procField("/proc/meminfo", "MemTotal:")
	if err != nil {
		return nil, err
	}
	fs, err := firstLine("stat", "-f", "-c", "%T", dir)
	if err != nil {
		return nil, err
	}
	facts := []string{fmt.Sprintf("%s, %d cores, %s of memory; Linux %s, %s; data, buckets and repositories on one %s file system",
		processor(), runtime.NumCPU(), humanize.IBytes(uint64(memory)<<10), unix.ByteSliceToString(u.Release[:]), runtime.GOARCH, fs)}
	for _, argv := range [][]string{{binary, "version"}, {"restic", "version"}, {"cp", "--version"}} {
		if line, err := firstLine(argv...); err == nil {
			facts = append(facts, line)
		}
	}
	return facts, nil
}

// processor is its name, where the kernel knows one.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown processor"
}

func firstLine(argv ...string) (string, error) {
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", argv[0], err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// load is the machine's load averages.
func load() string {
	content, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(content))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}
