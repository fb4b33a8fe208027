package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/internal/status"
)

// DrillOptions are what a drill needs besides a configuration.
type DrillOptions struct {
	Tables []string // "KS" or "KS.T"; empty: one is drawn
	Dir    string   // absolute: gets a directory of ours for the while; empty: the state directory
	// Progress is told how far the fetching has come; nil for nobody.
	Progress func(restore.Progress)
}

// drillFile remembers the last drill in the state directory. Like all local state it may vanish (I5).
const drillFile = "drill.json"

// Drill restores the newest point of tables into a scratch node and reads every row. The outcome, good or
// bad, is kept for status, unless ctx ended first or tables were named that can't be drilled.
func Drill(ctx context.Context, c config.Config, o DrillOptions) (restore.Drilled, error) {
	began := time.Now()
	d, err := drill(ctx, c, o)
	wrong := errors.Is(err, restore.ErrRequest) || errors.Is(err, restore.ErrNoTable)
	if ctx.Err() != nil || wrong && len(o.Tables) > 0 {
		return d, err
	}
	kept := status.Drill{Time: began.UTC(), OK: err == nil, ProvenUntil: d.ProvenUntil, Seconds: d.Seconds, Tables: []status.DrilledTable{}}
	if err != nil {
		kept.Error = err.Error()
	}
	for _, t := range d.Tables {
		kept.Tables = append(kept.Tables, status.DrilledTable{Keyspace: t.Keyspace, Table: t.Table, Rows: t.Rows, Digest: t.Digest.String()})
	}
	return d, errors.Join(err, keepDrill(c.State, kept))
}

func drill(ctx context.Context, c config.Config, o DrillOptions) (d restore.Drilled, err error) {
	if err := CanReplay(c); err != nil {
		return d, fmt.Errorf("%w: %w", restore.ErrRequest, err)
	}
	who, err := Identify(ctx, c)
	if err != nil {
		return d, err
	}
	prefix, err := config.Prefix(who.Cluster, who.HostID)
	if err != nil {
		return d, err
	}
	b, err := bucketurl.Open(ctx, c.Bucket)
	if err != nil {
		return d, err
	}
	reader := &history.Reader{Bucket: b, Prefix: prefix}
	state, err := restore.Select(ctx, reader, restore.Selector{})
	if err != nil {
		return d, err
	}
	r := restore.Request{Tables: o.Tables, Now: time.Now()}
	if r.Later, err = restore.SchemaAt(ctx, reader, state, time.Time{}); err != nil {
		return d, err
	}
	p, err := restore.Build(state, prefix, r)
	if err == nil && len(o.Tables) == 0 {
		r.Tables, err = draw(p, int64(c.Drill.UpTo))
		if err == nil {
			p, err = restore.Build(state, prefix, r)
		}
	}
	if err != nil {
		return d, err
	}
	log, err := commitlog.Read(ctx, b, prefix)
	if err != nil {
		return d, err
	}
	cuts := func(ctx context.Context, since time.Time) (map[sstable.Table]time.Time, error) {
		return restore.CutsSince(ctx, reader, state, since)
	}
	if err := p.Refine(ctx, restore.Exact{Log: log, Cuts: cuts}); err != nil {
		return d, err
	}
	if o.Dir == "" {
		o.Dir = c.State
	}
	s := restore.Stager{Bucket: b, Progress: o.Progress, Replayer: &restore.Replayer{Log: log, Command: c.Cassandra.Scratch, YAML: c.Cassandra.YAML}}
	return s.Drill(ctx, p, filepath.Join(o.Dir, "sstash-drill"))
}

// draw picks a table of a plan that is not too large; 0: none is.
func draw(p *restore.Plan, upTo int64) ([]string, error) {
	var all []string
	for _, t := range p.Tables {
		if !t.View && !strings.HasPrefix(t.Keyspace, "system") && len(t.SSTables) > 0 && (upTo == 0 || t.Bytes() <= upTo) {
			all = append(all, t.Source().String())
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("draw a table: none of at most %d bytes: %w", upTo, restore.ErrNoTable)
	}
	return []string{all[rand.IntN(len(all))]}, nil
}

// CanReplay says why no scratch node can be started on this machine; nil when one can.
func CanReplay(c config.Config) error {
	if c.Cassandra.YAML == "" || len(c.Cassandra.Scratch) == 0 {
		return errors.New("no Cassandra is configured here that could replay the commit log (keys cassandra.yaml and cassandra.scratch)")
	}
	if _, err := exec.LookPath(c.Cassandra.Scratch[0]); err != nil {
		return fmt.Errorf("no Cassandra is at hand that could replay the commit log (key cassandra.scratch): %w", err)
	}
	return nil
}

// LastDrill is the last drill on this machine; nil when none is remembered.
func LastDrill(state string) *status.Drill {
	var d status.Drill
	b, err := os.ReadFile(filepath.Join(state, drillFile))
	if err != nil || json.Unmarshal(b, &d) != nil {
		return nil
	}
	return &d
}

func keepDrill(state string, d status.Drill) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	path := filepath.Join(state, drillFile)
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := errors.Join(os.MkdirAll(state, 0o750), os.WriteFile(temp, b, 0o640)); err != nil {
		return fmt.Errorf("keep the drill's result: %w", err)
	}
	return os.Rename(temp, path)
}

// drills runs one every now and then, beside everything else.
func (s *Service) drills(ctx context.Context) {
	every := s.Config.Drill.Every
	if every <= 0 {
		return
	}
	s.background.Go(func() {
		wait := every
		if last := LastDrill(s.Config.State); last != nil {
			wait = max(drillSettle, min(last.Time.Add(every).Sub(s.Now()), every))
		}
		for ; sleep(ctx, wait) == nil; wait = every {
			d, err := Drill(ctx, s.Config, DrillOptions{})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.Log.Error("drill failed", "error", err)
			}
			for _, t := range d.Tables {
				s.Log.Info("drilled", "table", t.Keyspace+"."+t.Table, "rows", t.Rows, "proven_until", d.ProvenUntil, "seconds", d.Seconds)
			}
		}
	})
}

// drillSettle is how long a service has been up before its first drill.
const drillSettle = 10 * time.Second
