package main

import (
	"context"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// refine makes a plan exact, as far as the commit log and the Cassandra that is at hand allow.
func (v *restoreVerb) refine(ctx context.Context, p *restore.Plan, s source, state *manifest.State, at time.Time) error {
	log, err := commitlog.Read(ctx, s.Reader.Bucket, s.Reader.Prefix)
	if err != nil {
		return err
	}
	cfg, err := v.config()
	if err != nil {
		return err
	}
	cuts := func(ctx context.Context, since time.Time) (map[sstable.Table]time.Time, error) {
		return restore.CutsSince(ctx, s.Reader, state, since)
	}
	return p.Refine(ctx, restore.Exact{Log: log, At: at, Cuts: cuts, Segments: v.segments, Cannot: daemon.CanReplay(cfg)})
}

// replayer reads what is stored of the commit log, for a plan that may be of another day.
func (v *restoreVerb) replayer(ctx context.Context, b bucket.Bucket, p *restore.Plan) (*restore.Replayer, error) {
	cfg, err := v.config()
	if err == nil && !p.Replay.Segments {
		err = usage(daemon.CanReplay(cfg))
	}
	if err != nil {
		return nil, err
	}
	log, err := commitlog.Read(ctx, b, p.Prefix)
	return &restore.Replayer{Log: log, Command: cfg.Cassandra.Scratch, YAML: cfg.Cassandra.YAML}, err
}
