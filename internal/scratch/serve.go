package scratch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	// startTimeout is how long a JVM may take to appear, and an open port to give answers.
	startTimeout = time.Minute
	// readyTimeout is how long a node with nothing to replay may take to open its port, and replayRate,
	// in bytes a second, is far below what any machine replays.
	readyTimeout = 10 * time.Minute
	replayRate   = 256 << 10
	// stopTimeout is how long draining may take, before it is killed.
	stopTimeout = time.Minute
	// inspectEvery is how often it is looked at.
	inspectEvery = 25 * time.Millisecond
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
	err = n.watch(ctx, p, func(ctx context.Context) error {
		if use != nil {
			if err := use(ctx, conn); err != nil {
				return err
			}
		}
		return p.stop(ctx)
	})
	if err == nil {
		err = n.inspect(p) // who came last
	}
	return n.explain(err)
}

// watch lets do run while the node is inspected. What does not pass is killed, do is told by its
// context, and that is the error.
func (n *node) watch(ctx context.Context, p *process, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over, verdict := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			if err := n.inspect(p); err != nil {
				p.kill()
				cancel(err)
				verdict <- err
				return
			}
			select {
			case <-over:
				verdict <- nil
				return
			case <-time.After(inspectEvery):
			}
		}
	}()
	err := do(ctx)
	close(over)
	if bad := <-verdict; bad != nil {
		return bad
	}
	return err
}

// process is a child with a group of its own. When sstash is killed, the child is too, but not what a
// child that is a mere wrapper has started: that is left to the next run (endLeft).
type process struct {
	cmd   *exec.Cmd
	extra []string      // the JVM's options, as we gave them
	done  chan struct{} // closed when the child has ended
	jvm   int           // its pid; 0: not seen yet
	open  time.Time     // when its CQL port was first seen
	limit time.Duration // how long it may take to open that
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
	p := &process{cmd: cmd, extra: extra, done: make(chan struct{}), limit: readyTimeout + replayTime(n.log())}
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

// replayTime is how long the replay of a directory of segments takes at most.
func replayTime(dir string) time.Duration {
	var bytes int64
	entries, _ := os.ReadDir(dir) // what can't be read can't be replayed
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return time.Duration(bytes/replayRate) * time.Second
}

// await returns when the node answers CQL, having looked all the while whether it is isolated.
func (n *node) await(ctx context.Context, p *process) (*cassandra.Conn, error) {
	began := time.Now()
	for {
		if err := n.inspect(p); err != nil {
			return nil, err
		}
		if p.open.IsZero() && time.Since(began) > p.limit {
			return nil, fmt.Errorf("its CQL port was not open after %s", p.limit)
		}
		if p.jvm == 0 && time.Since(began) > startTimeout {
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
		case <-time.After(inspectEvery):
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
	its, err := inodesOf(p.jvm)
	var table []socket
	if err == nil {
		table, err = socketTable(p.jvm)
	}
	if err != nil && ended(p.jvm) {
		its = nil
		table, err = socketTable(os.Getpid())
	}
	if err != nil {
		return fmt.Errorf("%w: can't look at its sockets: %w", ErrNotIsolated, err)
	}
	return errors.Join(n.checkSockets(held(table, its)), n.checkVisitors(table, its))
}

// connect connects when the node answers, and asks it who it is. Neither result: not yet.
func (n *node) connect(ctx context.Context, p *process) (*cassandra.Conn, error) {
	door := n.door()
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(door.Addr(), 0)) // see checkVisitors
	probe, err := (&net.Dialer{LocalAddr: from, Timeout: time.Second}).DialContext(ctx, "tcp", door.String())
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // not yet
	}
	probe.Close()
	if p.open.IsZero() {
		p.open = time.Now()
	}
	conn, err := cassandra.Dial(ctx, cassandra.Options{Address: door.String(), From: door.Addr()})
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

// explain adds what the node printed: from its first error on, or the end of it.
func (n *node) explain(err error) error {
	if err == nil || errors.Is(err, ErrNotIsolated) || errors.Is(err, context.Canceled) || errors.Is(err, ErrPrecision) {
		return err
	}
	const most = 4 << 10
	said, readErr := os.ReadFile(n.output())
	if readErr != nil || len(said) == 0 {
		return err
	}
	if i := bytes.Index(said, []byte("\nERROR")); i >= 0 {
		said = said[i+1 : min(len(said), i+1+most)]
	}
	said = said[max(0, len(said)-most):]
	return fmt.Errorf("%w; it said:\n%s", err, strings.ToValidUTF8(strings.TrimSpace(string(said)), ""))
}
