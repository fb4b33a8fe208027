package backup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/cassandra"
)

// isTool tells whether nodetool failed.
func isTool(err error) bool {
	var failed *cassandra.ToolError
	return errors.As(err, &failed)
}

// tool is nodetool: a shell script that hands its arguments to the simulated database and exits with
// what it says.
type tool struct {
	argv []string
	db   *database

	mu    sync.Mutex
	calls int
	at    int // which call goes wrong, from 1; 0: none
	how   trouble
}

type trouble int

const (
	none   trouble = iota
	before         // exit code 1, no effect
	half           // exit code 1, a part of the effect
	after          // exit code 1, the whole effect
)

func newTool(t *testing.T, db *database) *tool {
	dir := db.mkdir("nodetool")
	in, out, script := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "nodetool")
	n := &tool{argv: []string{"/bin/sh", script}, db: db}
	db.must(os.WriteFile(script, fmt.Appendf(nil, "echo \"$*\" >%s\nread code <%s\nexit $code\n", in, out), 0o755))
	db.must(errors.Join(unix.Mkfifo(in, 0o600), unix.Mkfifo(out, 0o600)))
	// Read and write, so that neither end ever waits for the other to open.
	requests, err := os.OpenFile(in, os.O_RDWR, 0)
	db.must(err)
	answers, err := os.OpenFile(out, os.O_RDWR, 0)
	db.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(requests); lines.Scan(); {
			fmt.Fprintln(answers, n.call(strings.Fields(lines.Text())))
		}
	}()
	t.Cleanup(func() {
		requests.Close()
		answers.Close()
		<-done
	})
	return n
}

// goWrong makes the call that is so many calls from now go wrong, and returns how many there were.
func (n *tool) goWrong(at int, how trouble) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at, n.how = n.calls+at, how
	return n.calls
}

func (n *tool) begin() trouble {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.calls++; n.calls == n.at {
		return n.how
	}
	return none
}

// call runs "snapshot -t TAG" or "clearsnapshot -t TAG" and returns the exit code.
func (n *tool) call(args []string) int {
	verb, tag := args[0], args[2]
	how := n.begin()
	if how == before {
		return 1
	}
	of := []int{}
	if how == half {
		of = []int{0}
	}
	if verb == "snapshot" {
		n.db.snapshot(tag, of...)
	} else {
		n.db.clear(tag, of...)
	}
	if how != none {
		return 1
	}
	return 0
}
