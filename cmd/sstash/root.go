package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/config"
)

// app is one invocation: what it reads from and writes to, and the flags that every verb has.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	terminal       bool // stderr is one
	now            func() time.Time
	yield          func(config.Limits) error // makes room for the database

	configFile, bucketURL string
	json, quiet           bool
	logLevel              slog.Level
	logFormat             string

	started bool // a verb runs: what goes wrong from here on is not the command line
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, a *app, args []string) int {
	root := newRoot(a) //nolint:contextcheck // cobra hands the context to the verb
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usage(err)
	}
	complain(a.stderr, err)
	return exitCode(err)
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "sstash",
		Short: "Continuous backup of Apache Cassandra, with safe cleaning and restores",
		Long: `sstash watches a database node's backups/ and snapshots/, stores what is new in a bucket, unlinks what
is durable, and restores tables, keyspaces and nodes.

Times are RFC 3339, "2026-11-22 14:03", "14:03", "10m ago" or "latest"; without a zone they are UTC.
Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 done but incomplete, 4 refused by a
guard, 5 bucket unreachable or denied, 6 too old.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", "", "configuration file (default $SSTASH_CONFIG or "+config.DefaultPath+")")
	f.StringVar(&a.bucketURL, "bucket", "", "bucket URL, instead of the configuration's")
	f.BoolVar(&a.json, "json", false, "print one JSON document")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, and only errors in the log")
	f.TextVar(&a.logLevel, "log-level", slog.LevelInfo, "from this `level` on: debug, info, warn or error")
	f.StringVar(&a.logFormat, "log-format", "text", "text or json")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.logFormat != "text" && a.logFormat != "json" {
			return fmt.Errorf("--log-format %q is neither text nor json", a.logFormat)
		}
		return nil
	}
	root.AddCommand(
		newInit(a), newDoctor(a), newRun(a), newBackup(a), newSnapshot(a), newStatus(a), newPoints(a),
		newRestore(a), newDrill(a), newSchema(a), newVerify(a), newLinks(a), newVersion(a),
	)
	return root
}

// verb is what a cobra command runs.
func (a *app) verb(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		a.started = true
		return run(c.Context(), args)
	}
}

// logger writes to stderr: lines for people, or JSON for machines that collect logs.
func (a *app) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: a.logLevel}
	if a.quiet {
		o.Level = slog.LevelError
	}
	if a.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}
