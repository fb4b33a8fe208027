package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
)

// Sstash runs the real program with one configuration.
type Sstash struct {
	Binary string
	Config string   // path
	Env    []string // added to ours
	Listen string
	Log    io.Writer // what the service prints; may be nil

	cmd  *exec.Cmd
	done chan error
}

// Setup is the configuration of a test: short intervals, one bucket.
type Setup struct {
	Dir         string // gets sstash.yaml and the state directory
	Bucket      string
	CommitEvery time.Duration
	FullEvery   string // "7d"; "0" for never
	Extra       string // more lines of YAML
}

// Configure writes a configuration for node.
func Configure(binary string, node *cassandratest.Node, s Setup) (*Sstash, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listen := l.Addr().String()
	l.Close()
	if s.FullEvery == "" {
		s.FullEvery = "7d"
	}
	if s.CommitEvery == 0 {
		s.CommitEvery = time.Second
	}
	nodetool, err := json.Marshal(node.Nodetool())
	if err != nil {
		return nil, err
	}
	scratch, err := json.Marshal(node.Cassandra())
	if err != nil {
		return nil, err
	}
	yaml := fmt.Sprintf(`bucket: %s
cassandra: {yaml: %s, nodetool: %s, cql: "%s", scratch: %s}
state: %s
listen: %s
full: {every: %s, spread: 0s}
flush_every: 0
commit_every: %s
commit_log: {every: 0s}
watch: {settle: 500ms, patience: 30s, rescan: 5s}
limits: {nice: 0}
%s
`, s.Bucket, node.YAML, nodetool, node.CQL, scratch, filepath.Join(s.Dir, "state"), listen, s.FullEvery, s.CommitEvery, s.Extra)
	config := filepath.Join(s.Dir, "sstash.yaml")
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	return &Sstash{Binary: binary, Config: config, Listen: listen}, os.WriteFile(config, []byte(yaml), 0o640)
}

// Start runs the service.
func (s *Sstash) Start() error {
	s.cmd = exec.Command(s.Binary, "run", "--config", s.Config)
	s.cmd.Env = append(os.Environ(), s.Env...)
	s.cmd.Stdout, s.cmd.Stderr = s.Log, s.Log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	s.done = done
	go func() { done <- s.cmd.Wait() }()
	return nil
}

// Kill is kill -9: nothing is told, nothing is written.
func (s *Sstash) Kill() {
	_ = s.cmd.Process.Kill() // gone already is as good
	s.done <- <-s.done       // for the next one who asks
}

// Stop is SIGTERM, and how the service ends.
func (s *Sstash) Stop(ctx context.Context) error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.Wait(ctx)
}

// Wait waits until the service ends by itself.
func (s *Sstash) Wait(ctx context.Context) error {
	select {
	case err := <-s.done:
		s.done <- err // for the next one who asks
		return err
	case <-ctx.Done():
		s.Kill()
		return ctx.Err()
	}
}

// Command runs a verb to its end and returns what it printed to stdout.
func (s *Sstash) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Binary, append(args, "--config", s.Config)...)
	cmd.Env = append(os.Environ(), s.Env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("sstash %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// JSON runs a verb with --json and decodes what it printed.
func (s *Sstash) JSON(ctx context.Context, into any, args ...string) error {
	out, err := s.Command(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Status asks the running service.
func (s *Sstash) Status(ctx context.Context) (status.Status, error) {
	var st status.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Listen+"/status", nil)
	if err != nil {
		return st, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// Until waits until the service says what want wants to hear.
func (s *Sstash) Until(ctx context.Context, want func(status.Status) bool) (status.Status, error) {
	var last status.Status
	for {
		st, err := s.Status(ctx)
		if err == nil {
			if last = st; want(st) {
				return st, nil
			}
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("the service says %+v: %w", last, ctx.Err())
		case err := <-s.done:
			s.done <- err
			return last, fmt.Errorf("the service ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
