package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/scratch"
	"github.com/sstash/sstash/manifest"
)

// The outcomes of a verb that are not errors of a package below.
var (
	errUsage      = errors.New("wrong usage")
	errRefused    = errors.New("refused")
	errIncomplete = errors.New("incomplete")
	errTooOld     = errors.New("too old")
	errNoConfig   = errors.New("no configuration")
)

// marked is an error that is mark, too, without saying so.
type marked struct {
	error
	mark error
}

func (m marked) Unwrap() []error { return []error{m.error, m.mark} }

// usage marks an error as the caller's: nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return marked{err, errUsage}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// exitCode is the one place that knows what errors mean to a script.
func exitCode(err error) int {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return 0
	case is(errUsage, restore.ErrRequest, restore.ErrBadPlan, restore.ErrNoTable, restore.ErrNoPoint, restore.ErrNoCut,
		backup.ErrTag), notBuilt(err):
		return 2
	case is(errRefused, restore.ErrRefused, restore.ErrInUse, history.ErrFenced, history.ErrInUse, backup.ErrIdentity,
		cassandra.ErrSnapshotExists, scratch.ErrNotIsolated, scratch.ErrInUse):
		return 4
	case is(bucket.ErrUnreachable, bucket.ErrDenied):
		return 5
	case is(errTooOld):
		return 6
	case is(errIncomplete, restore.ErrIncomplete):
		return 3
	}
	return 1
}

// notBuilt: the bucket's URL asks for what this build doesn't have. The kernel says "unsupported" too,
// and means something else.
func notBuilt(err error) bool {
	var errno syscall.Errno
	return errors.Is(err, errors.ErrUnsupported) && !errors.As(err, &errno)
}

// complain prints an error and what can be done about it.
func complain(w io.Writer, err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(w, "sstash: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
}

func hint(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "it was interrupted; run it again, it goes on where it was"
	case errors.Is(err, restore.ErrNoCut):
		return "one of just now is known within commit_every (a minute by default): wait, and try again; where no service runs, `sstash backup` looks"
	case errors.Is(err, restore.ErrNoTable), errors.Is(err, restore.ErrNoPoint):
		return "`sstash points` lists what can be restored"
	case errors.Is(err, history.ErrEmpty):
		return "check bucket, cluster and node; `sstash points --cluster` lists the nodes that have backups. Of a new node, the service makes the first at once"
	case errors.Is(err, cassandra.ErrSnapshotExists):
		return "the service stores and clears it; or clear it yourself with nodetool clearsnapshot -t TAG"
	case errors.Is(err, scratch.ErrNotIsolated):
		return "nothing was restored; the key cassandra.scratch must start Cassandra with the configuration that it is given: see \"The scratch node\" in docs/restore.md. --point restores a flush without it"
	case errors.Is(err, restore.ErrNotEmpty):
		return "--as KS.T loads into another table; truncate the table to replace what it holds; --allow-not-empty loads into it as it is"
	case errors.Is(err, restore.ErrNoSpace):
		return "make room and give the same command again: it goes on where it was"
	case errors.Is(err, restore.ErrIncomplete):
		return "`sstash verify --deep` names every damaged object; an earlier point may hold the same tables whole (`sstash points`)"
	case errors.Is(err, manifest.ErrNewer), errors.Is(err, chunker.ErrUnsupported):
		return "install the version of sstash that wrote it, or a later one"
	case errors.Is(err, fs.ErrPermission) && !errors.Is(err, bucket.ErrDenied):
		return "run as the database's own user, who may read and unlink its files, and write where that user may"
	case errors.Is(err, errNoConfig):
		return "`sstash init` writes a configuration; --config names another one; --bucket alone is enough to read backups"
	}
	return daemon.Hint(err)
}
