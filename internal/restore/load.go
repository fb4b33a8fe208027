package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
)

// Session is the CQL connection to the node: *cassandra.Conn.
type Session interface {
	Identity(context.Context) (cassandra.Identity, error)
	Live(context.Context) (cassandra.Live, error)
	Replay(context.Context, cassandra.ReplayPlan) ([]cassandra.ReplayTable, error)
}

// Tool is cassandra.Nodetool. Import may take hours: no timeout belongs on it.
type Tool interface {
	Flush(ctx context.Context, keyspace string, tables ...string) error
	Import(ctx context.Context, keyspace, table string, dirs []string, o cassandra.ImportOptions) error
}

// Loader restores into a running node. It is for one goroutine.
type Loader struct {
	// Stager is how files are staged. When it names no Owner and we are root, it is that of the first
	// data directory: import moves the files as the database's user. Force means nothing here.
	Stager
	Session Session
	Tool    Tool
	// DataDirs are the node's.
	DataDirs []string
	// Dir is the stage: an absolute path, a directory of ours, where Cassandra doesn't look, on the file
	// system of the data directories, so that import moves rather than copies.
	Dir string
	// BatchBytes splits tables that are larger into several imports; 0: none. Between two imports of
	// one table old values and deleted rows may show.
	BatchBytes int64
	// Flags are those of import.
	Flags cassandra.ImportOptions
	// Replication, by keyspace, replaces that of the schema where a keyspace has to be made.
	Replication map[string]cassandra.Replication
	// AllowNotEmpty loads into tables that hold data; what is newer there wins.
	AllowNotEmpty bool
	// AllowDamaged loads what is left of a table when some of its SSTables can't be restored.
	AllowDamaged bool
}

// Load restores p into the node: schema first, then table after table. A run that was cut short is
// finished by the next. Tables that can't be loaded don't hold up the others; the error is then
// ErrIncomplete. The report is right with every error.
func (l *Loader) Load(ctx context.Context, p *Plan) (Report, error) {
	began := time.Now()
	r := p.newReport()
	err := l.load(ctx, p, r)
	r.Seconds = time.Since(began).Seconds()
	return *r, err
}

func (l *Loader) load(ctx context.Context, p *Plan, r *Report) error {
	if p.To != "" {
		return fmt.Errorf("%w: the plan is for the directory %s", ErrRequest, p.To)
	}
	id, err := l.Session.Identity(ctx)
	if err != nil {
		return err
	}
	if err := checkNode(p, id); err != nil {
		return err
	}
	s := l.Stager
	if s.Owner == nil {
		if s.Owner, err = l.owner(); err != nil {
			return err
		}
	}
	d, err := s.open(l.Dir)
	if err != nil {
		return err
	}
	defer d.close()
	if err := l.warnFilesystem(r); err != nil {
		return err
	}
	run := &loading{filling: s.filling(p, d, r), loader: l, live: map[Name]string{}, states: map[int][]loadState{}}
	run.private = true
	if err := run.prepare(ctx); err != nil {
		return err
	}
	if run.log, err = run.replay(ctx); err != nil {
		return err
	}
	for i := range p.Tables {
		if err = run.table(ctx, i); err != nil {
			break
		}
	}
	if err := errors.Join(err, run.log.close()); err != nil {
		return err
	}
	return run.finish()
}

// finish ends a run that came to its end. Only when everything is loaded, another run of the same
// plan starts anew.
func (r *loading) finish() error {
	for _, t := range r.report.Tables {
		if t.Error != "" {
			return fmt.Errorf("load %s.%s: %w: %s", t.Keyspace, t.Table, ErrIncomplete, t.Error)
		}
	}
	if len(r.report.Damaged) > 0 {
		return fmt.Errorf("load: %w: %s", ErrIncomplete, r.report.damage())
	}
	for i := range r.plan.Tables {
		if err := r.note(i, finished, nil); err != nil {
			return err
		}
	}
	return r.dir.journal.compact()
}

// owner is that of the data directories, where we may give files away.
func (l *Loader) owner() (*Owner, error) {
	if os.Geteuid() != 0 || len(l.DataDirs) == 0 {
		return nil, nil
	}
	info, err := os.Stat(l.DataDirs[0])
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, nil
	}
	return &Owner{int(st.Uid), int(st.Gid)}, nil
}

// warnFilesystem: import renames within a file system, and copies across.
func (l *Loader) warnFilesystem(r *Report) error {
	var stage, data syscall.Stat_t
	if err := syscall.Stat(l.Dir, &stage); err != nil {
		return fmt.Errorf("look at %s: %w", l.Dir, err)
	}
	for _, dir := range l.DataDirs {
		if err := syscall.Stat(dir, &data); err != nil {
			return fmt.Errorf("look at %s: %w", dir, err)
		}
		if data.Dev != stage.Dev {
			r.Warnings = append(r.Warnings, Warning{Kind: WarnFilesystem, Text: fmt.Sprintf(
				"%s is on another file system than the stage %s: import copies to it, and needs room on both", dir, l.Dir)})
		}
	}
	return nil
}
