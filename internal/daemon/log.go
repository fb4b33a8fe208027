package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
)

// logLate is how far the log may be behind before a person must know. A node without any writes says
// nothing for five minutes where they can't be seen coming; then it writes its own estimates.
const logLate = 15 * time.Minute

// logState is what the tail of the commit log last said.
type logState struct {
	commitlog.Report
	warning string // empty when all is well
}

// CommitLogDir is where the node writes its commit log; empty when nothing says where.
func CommitLogDir(c config.Config) (string, error) {
	if c.CommitLog.Directory != "" || c.Cassandra.YAML == "" {
		return c.CommitLog.Directory, nil
	}
	s, err := cassandra.ReadYAML(c.Cassandra.YAML)
	if err != nil && !errors.Is(err, cassandra.ErrNoDataDirectories) {
		return "", err
	}
	return s.CommitLog, nil
}

// tailBeside stores the commit log while passes go on. Where another sstash does, it stops the service.
func (s *Service) tailBeside(ctx context.Context, stop context.CancelCauseFunc) {
	if s.Config.CommitLog.Every <= 0 {
		return
	}
	dir, err := CommitLogDir(s.Config)
	if err == nil && dir == "" && s.Config.Cassandra.YAML == "" {
		return // a copied tree: there is no node that writes one
	}
	if err == nil && dir == "" {
		err = errors.New("cassandra.yaml does not say where it is: set commit_log.directory")
	}
	if err != nil {
		s.tailed(commitlog.Report{Err: err})
		return
	}
	seq, nonce := s.Uploader.History.Opened()
	tail := &commitlog.Tail{
		Dir: dir, Spool: s.Config.CommitLog.Spool, Every: s.Config.CommitLog.Every,
		Bucket: s.Bucket, Prefix: s.Uploader.Prefix,
		Identity: commitlog.Identity{Cluster: s.Cluster, HostID: s.HostID, Open: seq, Nonce: nonce},
		Ask:      func(ctx context.Context) (commitlog.Mode, error) { return LogMode(ctx, s.Config) }, Report: s.tailed,
	}
	s.background.Go(func() {
		if err := tail.Run(ctx); err != nil {
			stop(fmt.Errorf("%w: %w", history.ErrFenced, err))
		}
	})
}

// LogMode asks the database how it syncs its commit log.
func LogMode(ctx context.Context, c config.Config) (m commitlog.Mode, err error) {
	if c.Cassandra.CQL == "" {
		return m, errors.New("set cassandra.cql")
	}
	conn, err := Dial(ctx, c)
	if err != nil {
		return m, err
	}
	defer conn.Close()
	l, err := conn.CommitLog(ctx)
	if err != nil {
		return m, err
	}
	m.Waits = l.Sync == "batch" || l.Sync == "group"
	m.Mapped = slices.Contains([]string{"", "mmap", "legacy"}, l.DiskAccess)
	return m, nil
}

// tailed logs, counts and shows what a look at the commit log did.
func (s *Service) tailed(r commitlog.Report) {
	warning := ""
	switch {
	case r.Err != nil && !errors.Is(r.Err, context.Canceled):
		warning = "commit log: " + r.Err.Error()
	case !r.Until.IsZero() && s.Now().Sub(r.Until) > logLate:
		warning = "commit log: nothing is proven after " + r.Until.Format(time.RFC3339)
	}
	s.board.tailed(logState{r, warning})
	s.metrics.tail(r)
	if warning != "" {
		for _, err := range s.board.freshErrors([]error{errors.New(warning)}) {
			s.Log.Warn("commit log", "error", err, "hint", Hint(r.Err))
		}
	}
	if r.Unasked != nil {
		for _, err := range s.board.freshErrors([]error{r.Unasked}) {
			s.Log.Warn("commit log: what is idle can't be told from what is not synced", "error", err)
		}
	}
	if r.Gap == "" {
		return
	}
	s.Log.Warn("commit log: restores to the microsecond begin anew", "why", r.Gap)
	// What is not in the log any more is to be in an SSTable soon.
	s.flushSoon.Store(true)
	s.wakeUp()
}

func (b *board) tailed(l logState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = l
}

// Log is what the tail of the commit log last said.
func (b *board) Log() commitlog.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Report
}
