// Command sstash backs up databases made of SSTables, continuously, and restores them. docs/cli.md
// is the contract of its verbs, JSON keys and exit codes.
//
// One file per verb: flags and printing. What a verb does is in the packages under internal/.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sstash/sstash/internal/config"
)

// version is set by the linker; a build without it says what the module system knows.
var version string

func main() {
	limitMemory(config.Default().Limits.Memory) // whatever the verb
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends us the hard way
	code := execute(ctx, &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(),
		terminal: term.IsTerminal(int(os.Stderr.Fd())), now: time.Now, yield: yield,
	}, os.Args[1:])
	os.Exit(code)
}
