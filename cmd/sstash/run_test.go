package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/status"
)

// serviceManager is what the service tells the service manager.
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &serviceManager{t, conn}
}

// await reads until a message begins with want, and fails when one begins with never.
func (s *serviceManager) await(want, never string) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := s.conn.Read(b)
		if err != nil {
			s.t.Fatalf("wait for %s: %v", want, err)
		}
		message := string(b[:n])
		if never != "" && strings.HasPrefix(message, never) {
			s.t.Fatalf("%s came before %s", message, want)
		}
		if strings.HasPrefix(message, want) {
			return
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func statusOf(t *testing.T, address string) (s status.Status) {
	t.Helper()
	s, err := askService(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The service starts, is reloaded with a wrong configuration and with a right one, and stops.
func TestRun(t *testing.T) {
	c := newCLI(t)
	manager := newServiceManager(t)
	first, second := freeAddress(t), freeAddress(t)
	dirs := c.tree("")
	configure := func(listen string) {
		c.configure(dirs, "")
		b, err := os.ReadFile(c.path("sstash.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		c.write("sstash.yaml", strings.Replace(string(b), `listen: ""`, "listen: "+listen, 1))
	}
	configure(first)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan result, 1)
	go func() { done <- c.runContext(ctx, "run", "--log-format", "json") }()
	manager.await("READY=1", "STOPPING=1")
	for deadline := time.Now().Add(time.Minute); statusOf(t, first).QueueFiles > 0 || statusOf(t, first).Seq < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("not covered: %+v", statusOf(t, first))
		}
		time.Sleep(20 * time.Millisecond)
	}
	var doc statusDoc
	r := c.want(0, "status", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &doc.Status); err != nil || !doc.Service || !doc.OK {
		t.Errorf("status of the service: %+v, %v", doc.Status, err)
	}
	c.want(4, "backup") // the service holds the state directory

	hangup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	c.write("sstash.yaml", "bukcet: x\n")
	hangup()
	manager.await("RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1")
	manager.await("READY=1", "STOPPING=1")
	statusOf(t, first)

	configure(second)
	hangup()
	manager.await("RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1")
	manager.await("READY=1", "STOPPING=1")
	statusOf(t, second)
	if _, err := http.Get("http://" + first + "/status"); err == nil {
		t.Error("the old address still answers")
	}

	stop()
	manager.await("STOPPING=1", "")
	if r := <-done; r.code != 0 || !strings.Contains(r.stderr, "the old one stays") {
		t.Errorf("run: exit code %d\n%s", r.code, r.stderr)
	}
}

// A configuration that is right and does not work is left again.
func TestRunGoesBack(t *testing.T) {
	c := newCLI(t)
	manager := newServiceManager(t)
	dirs := c.empty()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan result, 1)
	go func() { done <- c.runContext(ctx, "run") }()
	manager.await("READY=1", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c.configure(dirs, "")
	b, err := os.ReadFile(c.path("sstash.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{c.path("bucket"): c.path("unmounted/bucket"), `listen: ""`: "listen: " + taken.Addr().String()} {
		c.write("sstash.yaml", strings.Replace(string(b), from, to, 1))
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		manager.await("RELOADING=1", "STOPPING=1")
		manager.await("READY=1", "STOPPING=1")
	}
	stop()
	if r := <-done; r.code != 0 || strings.Count(r.stderr, "back to the old one") != 2 {
		t.Errorf("run: exit code %d\n%s", r.code, r.stderr)
	}
}

func TestWatchdog(t *testing.T) {
	manager := newServiceManager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	c := newCLI(t)
	c.empty()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan result, 1)
	go func() { done <- c.runContext(ctx, "run") }()
	manager.await("WATCHDOG=1", "")
	stop()
	if r := <-done; r.code != 0 {
		t.Errorf("run: exit code %d\n%s", r.code, r.stderr)
	}
}

// A backup that was started by hand ends, and then the service begins.
func TestRunWaits(t *testing.T) {
	manager := newServiceManager(t)
	c := newCLI(t)
	c.empty()
	cache, err := history.OpenCache(c.path("state"), "file://"+c.path("bucket"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan result, 1)
	go func() { done <- c.runContext(ctx, "run") }()
	manager.await("STATUS=waiting for another sstash", "READY=1")
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	manager.await("READY=1", "")
	stop()
	if r := <-done; r.code != 0 {
		t.Errorf("run: exit code %d\n%s", r.code, r.stderr)
	}
}
