package scratch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
)

const (
	// startTimeout is how long a JVM may take to appear; what comes then may be a long replay.
	startTimeout = time.Minute
	// stopTimeout is how long draining may take, before it is killed.
	stopTimeout = time.Minute
)

// serve starts the node, hands a connection to use (nil: nobody wants it) and lets it drain and end. It
// is watched from its first moment; what is left of it when ctx ends, or anything fails, is killed.
func (n *node) serve(ctx context.Context, options []string, use func(context.Context, *cassandra.Conn) error) error {
	p, err := n.start(n.extraOptions(options))
	if err != nil {
		return err
	}
	defer p.kill()
	conn, err := n.await(ctx, p)
	if err != nil {
		return n.explain(err)
	}
	defer conn.Close()
	if use != nil {
		if err := use(ctx, conn); err != nil {
			return n.explain(err)
		}
	}
	if err := n.inspect(p); err != nil {
		return err
	}
	return n.explain(p.stop(ctx))
}

// process is a child with a group of its own, which does not outlive us however we end.
type process struct {
	cmd   *exec.Cmd
	extra []string      // the JVM's options, as we gave them
	done  chan struct{} // closed when the child has ended
	jvm   int           // its pid; 0: not seen yet
	open  time.Time     // when its CQL port was first seen
}

func (n *node) start(extra []string) (*process, error) {
	out, err := os.Create(n.output())
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(n.Command[0], n.Command[1:]...)
	cmd.Env, cmd.Dir = n.environ(extra), n.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, extra: extra, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that forked ends: it lives as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", n.Command[0], err)
	}
	return p, nil
}

// await returns when the node answers CQL, having looked all the while whether it is isolated.
func (n *node) await(ctx context.Context, p *process) (*cassandra.Conn, error) {
	deadline := time.Now().Add(startTimeout)
	for {
		if err := n.inspect(p); err != nil {
			return nil, err
		}
		if p.jvm == 0 && time.Now().After(deadline) {
			return nil, fmt.Errorf("no Cassandra in its process group after %s: the command of cassandra.scratch must stay in the foreground", startTimeout)
		}
		if p.jvm != 0 {
			conn, err := n.connect(ctx, p)
			if conn != nil || err != nil {
				return conn, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-p.done:
			return nil, fmt.Errorf("it ended by itself: %s", p.cmd.ProcessState)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// inspect tells whether what runs is isolated, as far as it has come.
func (n *node) inspect(p *process) error {
	if p.jvm == 0 {
		pid, args, err := findJVM(p.cmd.Process.Pid)
		if err != nil || pid == 0 {
			return err
		}
		if err := n.checkCommand(args, p.extra); err != nil {
			return err
		}
		p.jvm = pid
	}
	sockets, err := socketsOf(p.jvm)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil // it has ended
	}
	if err != nil {
		return fmt.Errorf("%w: can't look at its sockets: %w", ErrNotIsolated, err)
	}
	return n.checkSockets(sockets)
}

// connect connects when the node answers, and asks it who it is. Neither result: not yet.
func (n *node) connect(ctx context.Context, p *process) (*cassandra.Conn, error) {
	address := net.JoinHostPort(n.addresses[0], strconv.Itoa(n.native))
	probe, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // not yet
	}
	probe.Close()
	if p.open.IsZero() {
		p.open = time.Now()
	}
	conn, err := cassandra.Dial(ctx, cassandra.Options{Address: address})
	switch {
	case err != nil && time.Since(p.open) > startTimeout:
		return nil, err
	case err != nil:
		return nil, nil //nolint:nilnil // the port is there a moment before the answers
	}
	if err := n.checkAlone(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, n.inspect(p)
}

func (n *node) checkAlone(ctx context.Context, conn *cassandra.Conn) error {
	id, err := conn.Identity(ctx)
	if err != nil {
		return err
	}
	if id.Cluster != n.cluster {
		return fmt.Errorf("%w: it says that it is of cluster %q", ErrNotIsolated, id.Cluster)
	}
	peers, err := conn.Peers(ctx)
	if err == nil && len(peers) > 0 {
		err = fmt.Errorf("%w: it knows %d other nodes, %s among them", ErrNotIsolated, len(peers), peers[0].Address)
	}
	return err
}

// stop lets the node drain.
func (p *process) stop(ctx context.Context) error {
	_ = syscall.Kill(p.jvm, syscall.SIGTERM) // it can only be gone already
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stopTimeout):
		return fmt.Errorf("it did not end within %s", stopTimeout)
	}
}

// kill ends the whole group, and returns when the child is gone.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // likewise
	<-p.done
}

func (n *node) output() string { return filepath.Join(n.logs(), "output") }

var completePattern = regexp.MustCompile(`Log replay complete, (\d+) replayed mutations`)

// replayed reads in the node's log how the replay went. A mutation that is damaged ends it in most
// segments; in the newest one Cassandra takes it for the trace of a crash, says so, and goes on
// (CommitLogReplayer.shouldSkipSegmentOnError). What was fetched ends where a sync did, so it is not.
func (n *node) replayed() (mutations int, err error) {
	said, err := os.ReadFile(n.output())
	if err != nil {
		return 0, err
	}
	if damage := bytes.Count(said, []byte("Ignoring commit log replay error")); damage > 0 {
		return 0, n.explain(fmt.Errorf("%w: %d times, Cassandra could not read a mutation", ErrDamaged, damage))
	}
	if bytes.Contains(said, []byte("No commitlog files found")) {
		return 0, nil
	}
	m := completePattern.FindSubmatch(said)
	if m == nil {
		return 0, n.explain(errors.New("it does not say how the replay ended"))
	}
	return strconv.Atoi(string(m[1]))
}

// explain adds the end of what the node printed.
func (n *node) explain(err error) error {
	if err == nil || errors.Is(err, ErrNotIsolated) || errors.Is(err, context.Canceled) || errors.Is(err, ErrPrecision) {
		return err
	}
	const most = 4 << 10
	said, readErr := os.ReadFile(n.output())
	if readErr != nil || len(said) == 0 {
		return err
	}
	said = said[max(0, len(said)-most):]
	return fmt.Errorf("%w; it said last:\n%s", err, strings.ToValidUTF8(strings.TrimSpace(string(said)), ""))
}
