package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/schedule"
)

// snapshotDoc is what `snapshot --json` prints.
type snapshotDoc struct {
	Tag     string  `json:"tag"`
	Began   stamp   `json:"began"`
	Seconds float64 `json:"seconds"`
}

func newSnapshot(a *app) *cobra.Command {
	var tag string
	cmd := &cobra.Command{
		Use:   "snapshot [--tag TAG]",
		Short: "Make the database take a snapshot, and nothing else",
		Long: `Takes a snapshot of all tables and prints its tag. The service stores it and clears it again.

The tag is that of the schedule's slot, the same on every node of a cluster: run it on all of them.`,
		Example: "  sstash snapshot\n  sstash snapshot --tag before-upgrade",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.snapshot(ctx, tag)
		}),
	}
	cmd.Flags().StringVar(&tag, "tag", "", `another tag, behind "`+backup.TagPrefix+`"`)
	return cmd
}

func (a *app) snapshot(ctx context.Context, tag string) error {
	cfg, err := a.nodeConfig()
	if err != nil {
		return err
	}
	s := daemon.Snapshots(cfg)
	if s == nil {
		return usagef("a snapshot needs the key cassandra.nodetool")
	}
	began := a.now()
	if tag == "" {
		tag = schedule.Tag("", slot(cfg.Full, began))
	}
	tag = backup.TagPrefix + strings.TrimPrefix(tag, backup.TagPrefix)
	if err := s.Take(ctx, tag, nil); err != nil {
		return err
	}
	doc := snapshotDoc{tag, stamp(began), a.now().Sub(began).Seconds()}
	return a.print(doc, func(w io.Writer) { fmt.Fprintln(w, tag) })
}

// slot is now where nothing is scheduled.
func slot(f config.Full, now time.Time) time.Time {
	if f.Every <= 0 {
		return now
	}
	return schedule.Full{Every: f.Every, At: time.Duration(f.At) * time.Minute, Spread: f.Spread}.Slot(now)
}
