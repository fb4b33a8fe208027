package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ToolError is a nodetool call that ended with another exit code than 0, or on
// a signal (ExitCode -1).
type ToolError struct {
	Verb     string
	ExitCode int
	Output   string // the end of what it printed, stderr first, without stack traces
}

func (e *ToolError) Error() string {
	const most = 2 << 10
	output := strings.ReplaceAll(e.Output, "\n", "; ")
	switch {
	case output == "":
		output = "it printed nothing"
	case len(output) > most:
		output = "…" + strings.ToValidUTF8(output[len(output)-most:], "")
	}
	return fmt.Sprintf("nodetool %s: exit code %d: %s", e.Verb, e.ExitCode, output)
}

// keepOutput is how much of each stream is kept: more than any answer that is
// parsed here.
const keepOutput = 64 << 10

// run calls nodetool and returns its trimmed stdout.
func (n Nodetool) run(ctx context.Context, args ...string) (string, error) {
	if len(n.Argv) == 0 {
		return "", errors.New("run nodetool: no command configured")
	}
	if n.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, n.Timeout, fmt.Errorf("no answer within %s: %w", n.Timeout, context.DeadlineExceeded))
		defer cancel()
	}
	argv := slices.Concat(n.Argv, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// nodetool is a script that may not exec its JVM: end the group, and don't
	// wait for a grandchild that kept the pipes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var stdout, stderr tail
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return strings.TrimSpace(stdout.String()), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("nodetool %s: %w", args[0], context.Cause(ctx))
	case errors.As(err, &exit):
		return "", &ToolError{Verb: args[0], ExitCode: exit.ExitCode(), Output: complaint(stderr.String(), stdout.String())}
	}
	return "", fmt.Errorf("run nodetool: %w", err)
}

// complaint joins what the streams say, stderr first: nodetool reports wrong
// usage and refused connections on stdout, exceptions on stderr.
func complaint(streams ...string) string {
	var said []string
	for _, s := range streams {
		s, _, _ = strings.Cut(s, "-- StackTrace --")
		s = strings.ReplaceAll(s, "See 'nodetool help' or 'nodetool help <command>'.", "")
		if s = strings.TrimSpace(s); s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, "\n")
}

// tail keeps the last keepOutput bytes written to it.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - keepOutput; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string { return t.buf.String() }
