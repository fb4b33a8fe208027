package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/scratch"
	"github.com/sstash/sstash/internal/sstable"
)

// Replayer is what a plan with a Replay is carried out with.
type Replayer struct {
	Log Log
	// Command and YAML are those of scratch.Runner.
	Command []string
	YAML    string
}

// scratchName is the directory of the scratch node, below the one that is restored to: what it leaves
// is moved from there, not copied.
const scratchName = ".sstash-scratch"

// replayed are the tables of a scratch node that has replayed the log; nil: nothing is to be replayed.
type replayed struct {
	*scratch.Result
}

// replay turns what the plan wants of the log into SSTables.
func (f *filling) replay(ctx context.Context) (*replayed, error) {
	want := f.plan.Replay
	if want == nil {
		return nil, nil //nolint:nilnil // that is an answer
	}
	if f.Replayer == nil {
		return nil, fmt.Errorf("%w: the plan replays the commit log, and there is no Cassandra at hand for that", ErrRequest)
	}
	if want.Segments {
		return nil, f.segments(ctx)
	}
	objects, err := f.plan.objects()
	if err != nil {
		return nil, fmt.Errorf("replay the commit log: %w", err)
	}
	job := scratch.Job{
		Objects: objects, Until: want.Until,
		Fill: func(ctx context.Context, _, log string) error {
			f.report.BytesFetched += want.Bytes
			return f.Replayer.Log.Fetch(ctx, want.From, want.To, log)
		},
	}
	for _, n := range want.Tables {
		if !f.plan.isView(n) { // views come with their tables
			job.Tables = append(job.Tables, cassandra.TableName{Keyspace: n.Keyspace, Name: n.Table})
		}
	}
	run := scratch.Runner{Command: f.Replayer.Command, YAML: f.Replayer.YAML, Dir: filepath.Join(f.dir.root.Name(), scratchName)}
	result, err := run.Run(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("replay the commit log: %w", err)
	}
	f.report.Mutations = result.Mutations
	return &replayed{result}, nil
}

// Where the log goes that a database is to replay by itself. No keyspace has a dot in its name.
const (
	segmentsName   = "commitlog.d"
	propertiesName = "commitlog_archiving.properties"
)

// segments places the log, and Cassandra's configuration that replays it to the moment.
func (f *filling) segments(ctx context.Context) error {
	want := f.plan.Replay
	if err := f.placer().mkdir(segmentsName); err != nil {
		return placeError("make directory", segmentsName, err)
	}
	dir := filepath.Join(f.dir.root.Name(), segmentsName)
	if err := f.Replayer.Log.Fetch(ctx, want.From, want.To, dir); err != nil {
		return fmt.Errorf("fetch the commit log: %w", err)
	}
	f.report.BytesFetched += want.Bytes
	path := filepath.Join(f.dir.root.Name(), propertiesName)
	if err := os.WriteFile(path, []byte(scratch.Archiving(want.Until, dir)), f.mode()); err != nil {
		return placeError("write", propertiesName, err)
	}
	return syncUp(f.dir.root, segmentsName)
}

func (p *Plan) isView(n Name) bool {
	return slices.ContainsFunc(p.Tables, func(t Table) bool { return t.View && t.Source() == n })
}

// close removes what is left of the scratch node.
func (r *replayed) close() error {
	if r == nil {
		return nil
	}
	return r.Close()
}

// of is the directory with the SSTables that were replayed of a table, empty when there are none.
func (r *replayed) of(t *Table) (string, error) {
	if r == nil {
		return "", nil
	}
	for _, made := range r.Tables {
		if made.ID != t.ID {
			continue
		}
		found, err := made.SSTables()
		if err != nil || len(found) == 0 {
			return "", err
		}
		return made.Dir, nil
	}
	return "", nil
}

// adopt moves the SSTables in from to a directory below ours, under numbers above those that are there,
// and returns how many there are and their bytes.
func (f *filling) adopt(from, to string) (sstables int, bytes int64, err error) {
	p := f.placer()
	if err := p.mkdir(to); err != nil {
		return 0, 0, placeError("make directory", to, err)
	}
	number, err := highest(f.dir.root, to)
	if err != nil {
		return 0, 0, err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, 0, err
	}
	stems := map[string]string{} // old → new
	for _, e := range entries {
		n, ok := sstable.ParseName(e.Name())
		if !ok || n.Temporary || e.IsDir() {
			continue
		}
		stem := e.Name()[:len(e.Name())-len(n.Component)-1]
		if stems[stem] == "" {
			number++
			if stems[stem], err = renumber(stem, number); err != nil {
				return 0, 0, err
			}
		}
		name := path.Join(to, stems[stem]+"-"+n.Component)
		size, err := f.move(filepath.Join(from, e.Name()), name)
		if err != nil {
			return 0, 0, placeError("place", name, err)
		}
		bytes += size
	}
	return len(stems), bytes, syncUp(f.dir.root, to)
}

// highest is the highest number of an SSTable in a directory.
func highest(root *os.Root, dir string) (number int64, err error) {
	entries, err := fs.ReadDir(root.FS(), dir)
	for _, e := range entries {
		n, ok := sstable.ParseName(e.Name())
		if id, err := strconv.ParseInt(n.ID, 10, 64); ok && err == nil {
			number = max(number, id)
		}
	}
	return number, err
}

// move gives a file that is durable its owner, its mode and its name. The journal has the name first: a
// run that goes on removes it, and replays anew.
func (f *filling) move(from, to string) (int64, error) {
	info, err := os.Stat(from)
	if err != nil {
		return 0, err
	}
	err = f.dir.journal.add(record{Replayed: to})
	err = errors.Join(err, os.Chmod(from, f.mode()))
	if f.Owner != nil {
		err = errors.Join(err, os.Chown(from, f.Owner.UID, f.Owner.GID))
	}
	if err == nil {
		err = os.Rename(from, filepath.Join(f.dir.root.Name(), to))
	}
	return info.Size(), err
}
