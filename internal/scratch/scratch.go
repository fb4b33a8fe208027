package scratch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/cassandra"
)

var (
	// ErrNotIsolated: the scratch node could have seen the cluster, or somebody else has connected to it.
	// It is dead, or was never started.
	ErrNotIsolated = errors.New("the scratch node would not be isolated")
	// ErrInUse: another process runs a scratch node in the same directory.
	ErrInUse = errors.New("another scratch node runs in this directory")
	// ErrDamaged: what Fill brought of the log can't be replayed to its end.
	ErrDamaged = errors.New("the commit log is damaged")
	// ErrPrecision: this Cassandra can't stop a replay within a second (before CASSANDRA-19448).
	ErrPrecision = errors.New("this release replays to full seconds only")
)

// Runner starts scratch nodes. Its methods are for one goroutine.
type Runner struct {
	// Command starts a node in the foreground as the stock `cassandra -f` does: it heeds
	// CASSANDRA_CONF, CASSANDRA_LOG_DIR, CASSANDRA_INCLUDE, JVM_EXTRA_OPTS, MAX_HEAP_SIZE and
	// HEAP_NEWSIZE, and becomes the JVM or stays in the process group of its own that it gets.
	Command []string
	// YAML is the production node's cassandra.yaml; the whole directory that it is in is copied.
	YAML string
	// Dir is a directory of ours alone, absolute and no link: made with mode 0700, EMPTIED, and removed in the end. It
	// holds all that a scratch node has. Its file system needs room for what is filled in and for the result.
	Dir string
	// HeapMB is the JVM's heap in MiB, 512 when 0.
	HeapMB int
}

// Job is what a scratch node is to do.
type Job struct {
	// Objects are a schema that has the Tables. Of it, keyspaces, types, tables and views are made, with
	// one replica each, and every column that a table once had: what the log says of it is kept.
	Objects []cassandra.Object
	Tables  []cassandra.TableName
	// Until: mutations of which any cell is newer are left out. Microseconds count. Zero: all are taken.
	Until time.Time
	// Fill puts segments into the directory log under the names that the node gave them, and, where
	// they are to be read too, SSTables into data as <keyspace>/<table>-<id>/.
	Fill func(ctx context.Context, data, log string) error
	// Look is called when all is replayed and the node answers; nil: nobody looks.
	Look func(context.Context, *cassandra.Conn) error
}

// Table is what became of one of the Tables, or of a view of theirs.
type Table struct {
	cassandra.TableName
	ID  string // 32 hex digits
	Dir string // holds its SSTables, if there are any; absolute
}

// Result is what a run left. It is the caller's to Close.
type Result struct {
	Tables    []Table
	Mutations int // that were replayed

	dir  string
	lock *os.File
}

// Close removes everything.
func (r *Result) Close() error {
	defer r.lock.Close()
	return os.RemoveAll(r.dir)
}

// Run carries out one job. Whatever happens, no process is left when it returns, and with an error no
// file either. Of a run that was killed, the next in the same directory ends and removes what is left.
func (r Runner) Run(ctx context.Context, j Job) (*Result, error) {
	lock, err := r.prepare()
	if err != nil {
		return nil, fmt.Errorf("prepare scratch node: %w", err)
	}
	result := &Result{dir: r.Dir, lock: lock}
	if err := r.run(ctx, j, result); err != nil {
		return nil, errors.Join(err, result.Close())
	}
	return result, nil
}

// prepare locks the directory, ends what runs of an earlier node in it, and empties it.
func (r Runner) prepare() (*os.File, error) {
	if len(r.Command) == 0 {
		return nil, errors.New("no command is configured (cassandra.scratch)")
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, err
	}
	// What a link leads to is not ours to empty, and whoever else owns it could change what we start.
	lock, err := os.OpenFile(r.Dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := lock.Stat()
	if err == nil && !ownedBy(info, os.Geteuid()) {
		err = fmt.Errorf("%s belongs to another user", r.Dir)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s: %w", r.Dir, ErrInUse)
	}
	if err := endLeft(r.Dir); err != nil {
		lock.Close()
		return nil, err
	}
	err = lock.Chmod(0o700)
	entries, readErr := os.ReadDir(r.Dir)
	err = errors.Join(err, readErr)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.Dir, e.Name())))
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func ownedBy(info fs.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

func (r Runner) run(ctx context.Context, j Job, result *Result) error {
	n, err := r.configure(j)
	if err != nil {
		return fmt.Errorf("configure scratch node: %w", err)
	}
	err = n.serve(ctx, nil, func(ctx context.Context, conn *cassandra.Conn) error {
		var err error
		result.Tables, err = n.create(ctx, conn, j)
		return err
	})
	if err != nil {
		return fmt.Errorf("make tables in scratch node: %w", err)
	}
	if err := n.empty(n.log()); err != nil { // of the tables' own making
		return err
	}
	if err := j.Fill(ctx, n.data(), n.log()); err != nil {
		return err
	}
	var list []string
	for _, t := range result.Tables {
		list = append(list, t.String())
	}
	// The replay ends with a flush of what it touched (Cassandra CommitLogReplayer.blockForWrites),
	// and only then the node answers.
	err = n.serve(ctx, []string{"-Dcassandra.replayList=" + strings.Join(list, ",")}, j.Look)
	if err == nil {
		result.Mutations, err = n.replayed()
	}
	if err != nil {
		return fmt.Errorf("replay in scratch node: %w", err)
	}
	return nil
}

// create makes the tables of a job, and finds their directories.
func (n *node) create(ctx context.Context, conn *cassandra.Conn, j Job) ([]Table, error) {
	id, err := conn.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if !replaysTo(id.Release, j.Until) {
		return nil, fmt.Errorf("cassandra %s: %w; it takes 4.0.14, 4.1.7 or 5.0", id.Release, ErrPrecision)
	}
	live, err := conn.Live(ctx)
	if err != nil {
		return nil, err
	}
	objects := bare(j.Objects)
	plan, err := cassandra.PlanReplay(objects, live, cassandra.ReplayOptions{Tables: j.Tables, Replication: single(objects)})
	if err != nil {
		return nil, err
	}
	for i := range plan.Steps {
		plan.Steps[i].Statements = append(plan.Steps[i].Statements, still(plan.Steps[i])...)
	}
	made, err := conn.Replay(ctx, plan)
	if err != nil {
		return nil, err
	}
	var tables []Table
	for _, t := range made {
		if t.WantedID == "" || t.LiveID != t.WantedID {
			return nil, fmt.Errorf("%s was made with id %q instead of %q: the log would not know it", t.TableName, t.LiveID, t.WantedID)
		}
		tables = append(tables, Table{t.TableName, t.LiveID, filepath.Join(n.data(), t.Keyspace, t.Name+"-"+t.LiveID)})
	}
	return tables, nil
}

// bare leaves of a schema what the log can write to. An ALTER TABLE … DROP would make a replay pass
// over what the log holds for that column, so it is left out; the columns stand in the CREATE.
func bare(objects []cassandra.Object) (kept []cassandra.Object) {
	for _, o := range objects {
		switch o.Kind {
		case cassandra.KindTable, cassandra.KindView:
			o.Statements = o.Statements[:1]
		case cassandra.KindKeyspace, cassandra.KindType:
		default:
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

// single gives every keyspace one replica: this ring has one node, and none of the datacenters.
func single(objects []cassandra.Object) map[string]cassandra.Replication {
	all := map[string]cassandra.Replication{}
	for _, o := range objects {
		name := o.Keyspace
		if o.Kind == cassandra.KindKeyspace {
			name = o.Name
		}
		all[name] = cassandra.Replication{"class": "SimpleStrategy", "replication_factor": "1"}
	}
	return all
}

// still turns off the compaction of a table. It would purge tombstones that are older than
// gc_grace_seconds by now, and what they delete may stand in SSTables that this node does not have.
func still(o cassandra.Object) []string {
	what := "TABLE"
	switch o.Kind {
	case cassandra.KindView:
		what = "MATERIALIZED VIEW"
	case cassandra.KindTable:
	default:
		return nil
	}
	return []string{fmt.Sprintf("ALTER %s %s.%s WITH compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}",
		what, cassandra.Quote(o.Keyspace), cassandra.Quote(o.Name))}
}

// replaysTo tells whether a release stops a replay at that very microsecond: CASSANDRA-19448.
func replaysTo(release string, t time.Time) bool {
	if t.IsZero() || t.Nanosecond() == 0 {
		return true
	}
	var major, minor, patch int
	if n, _ := fmt.Sscanf(release, "%d.%d.%d", &major, &minor, &patch); n < 2 {
		return false
	}
	switch {
	case major == 4 && minor == 0:
		return patch >= 14
	case major == 4:
		return patch >= 7
	}
	return major >= 5
}

// SSTables lists the Data.db of a table.
func (t Table) SSTables() ([]string, error) {
	entries, err := os.ReadDir(t.Dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-Data.db") && !strings.HasSuffix(e.Name(), "+TermsData.db") {
			found = append(found, filepath.Join(t.Dir, e.Name()))
		}
	}
	slices.Sort(found)
	return found, nil
}
