package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// Stager restores to a directory.
type Stager struct {
	Bucket bucket.Bucket
	// Gets is how many GETs run at a time, 6 when 0. Each takes up to 8 MiB of memory, and
	// 20 MiB for each of the cores.
	Gets int
	// FileMode is the mode of files, 0640 when 0; directories get it with x where r is. Owner is who
	// they will belong to, nil for whoever we are; only root may give files away. A database that
	// runs as another user must be able to read them, and for an import to move them.
	FileMode fs.FileMode
	Owner    *Owner
	// Force replaces files that are in the way, and doesn't mind others beside them.
	Force bool
	// Replayer is needed for plans with a Replay.
	Replayer *Replayer
	// Progress is told now and then, by one goroutine at a time; nil for nobody.
	Progress func(Progress)
}

// Stage restores p to the directory p.To, making it where it is missing. What is there already and
// right is kept, so a run that was cut short is finished by the next. When only damage kept it from
// restoring everything, the error is ErrIncomplete. The report is right with every error.
func (s *Stager) Stage(ctx context.Context, p *Plan) (Report, error) {
	began := time.Now()
	r := p.newReport()
	err := s.stage(ctx, p, r)
	r.Seconds = time.Since(began).Seconds()
	return *r, err
}

func (s *Stager) stage(ctx context.Context, p *Plan, r *Report) error {
	if p.To == "" {
		return fmt.Errorf("%w: the plan is for loading into a node", ErrRequest)
	}
	d, err := s.open(p.To)
	if err != nil {
		return err
	}
	defer d.close()
	f := s.filling(p, d, r)
	log, err := f.replay(ctx)
	if err != nil {
		return fmt.Errorf("restore to %s: %w", p.To, err)
	}
	err = f.all(ctx, log)
	return errors.Join(err, log.close())
}

// all places every file of the plan, and what was replayed.
func (f *filling) all(ctx context.Context, log *replayed) error {
	p, r := f.plan, f.report
	var all []*target
	for i, t := range p.Tables {
		all = append(all, p.targets(i, t.Dir(), t.every())...)
	}
	if err := f.fill(ctx, all); err != nil {
		return fmt.Errorf("restore to %s: %w", p.To, err)
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		whole := f.whole(t, t.every())
		r.Tables[i].count(t, whole)
		r.Tables[i].Damaged = len(t.SSTables) - len(whole)
		r.intact(t, len(whole))
		if err := f.addLog(log, i, t.Dir()); err != nil {
			return fmt.Errorf("restore to %s: %w", p.To, err)
		}
	}
	if len(r.Damaged) > 0 {
		return fmt.Errorf("restore to %s: %w: %s", p.To, ErrIncomplete, r.damage())
	}
	return f.dir.forget()
}

// addLog adds what was replayed of table i to dir.
func (f *filling) addLog(log *replayed, i int, dir string) error {
	from, err := log.of(&f.plan.Tables[i])
	if err != nil || from == "" {
		return err
	}
	sstables, bytes, err := f.adopt(from, dir)
	f.report.Tables[i].SSTables += sstables
	f.report.Tables[i].Bytes += bytes
	return err
}

// every lists the indexes of all SSTables.
func (t Table) every() []int {
	all := make([]int, len(t.SSTables))
	for i := range all {
		all[i] = i
	}
	return all
}

// targets are the files of some SSTables of table i, to be placed in dir.
func (p *Plan) targets(i int, dir string, sstables []int) []*target {
	var all []*target
	for _, k := range sstables {
		s := &p.Tables[i].SSTables[k]
		for j := range s.Files {
			f := &s.Files[j]
			all = append(all, &target{
				File: f, set: p.Sets[f.Set], path: path.Join(dir, s.Path(f.Name)), table: i, sstable: s,
			})
		}
	}
	return all
}

// filling is one restore into one directory.
type filling struct {
	*Stager
	plan   *Plan
	dir    *directory
	report *Report
	tally  tally
	lost   map[*SSTable][]string // components that are damaged
	// private: the directory is ours, and what we don't want there is removed.
	private bool
}

func (s *Stager) filling(p *Plan, d *directory, r *Report) *filling {
	return &filling{
		Stager: s, plan: p, dir: d, report: r, lost: map[*SSTable][]string{},
		tally: tally{tell: s.Progress, now: Progress{OfBytes: p.Bytes}},
	}
}

// fill brings targets into the directory. What is damaged is in f.lost and in the report.
func (f *filling) fill(ctx context.Context, targets []*target) error {
	need, err := f.survey(ctx, targets)
	if err != nil {
		return err
	}
	if err := f.dir.room(need); err != nil {
		return err
	}
	gets := f.Gets
	if gets < 1 {
		gets = 6
	}
	from := newFetcher(f.Bucket, f.plan.Prefix, gets)
	before := f.report.BytesFetched
	to := f.placer()
	to.done = func(t *target, n int64) { f.tally.add(f.plan.Tables[t.table].Source(), n, before+from.fetched.Load()) }
	err = to.place(ctx, from, need)
	f.report.BytesFetched += from.fetched.Load()
	return err
}

func (f *filling) placer() *placer {
	return &placer{
		root: f.dir.root, journal: f.dir.journal, owner: f.Owner, mode: f.mode(),
		dirs: map[string]bool{}, open: map[*target]*placing{}, damaged: f.damaged,
	}
}

func (s *Stager) mode() fs.FileMode {
	if s.FileMode == 0 {
		return 0o640
	}
	return s.FileMode.Perm()
}

func (f *filling) damaged(t *target, object string, err error) {
	f.lost[t.sstable] = append(f.lost[t.sstable], t.Name)
	table := f.plan.Tables[t.table]
	f.report.Damaged = append(f.report.Damaged, Damage{
		Keyspace: table.Keyspace, Table: table.Name, ID: table.ID, File: t.sstable.Path(t.Name), Object: object, What: err.Error(),
	})
}

// whole returns those of some SSTables of t of which nothing is damaged.
func (f *filling) whole(t *Table, sstables []int) []int {
	return slices.DeleteFunc(slices.Clone(sstables), func(k int) bool { return len(f.lost[&t.SSTables[k]]) > 0 })
}

// count adds SSTables that were placed, or loaded.
func (r *TableReport) count(t *Table, sstables []int) {
	for _, k := range sstables {
		r.SSTables++
		r.Bytes += t.SSTables[k].Bytes()
	}
}

// intact notes with the damage of t how much of it is not damaged.
func (r *Report) intact(t *Table, sstables int) {
	for i := range r.Damaged {
		if d := &r.Damaged[i]; d.Keyspace == t.Keyspace && d.Table == t.Name && d.ID == t.ID {
			d.Intact = sstables
		}
	}
}

// tally adds up progress.
type tally struct {
	mu   sync.Mutex
	tell func(Progress)
	now  Progress
}

func (t *tally) add(table Name, bytes, fetched int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Table = table
	t.now.Bytes += bytes
	t.now.Fetched = max(t.now.Fetched, fetched)
	if t.tell != nil {
		t.tell(t.now)
	}
}

// dirsOf lists the directories of targets, parents before what is in them.
func dirsOf(targets []*target) []string {
	seen := map[string]bool{}
	for _, t := range targets {
		seen[path.Dir(t.path)] = true
	}
	dirs := make([]string, 0, len(seen))
	for d := range seen {
		dirs = append(dirs, d)
	}
	slices.Sort(dirs)
	return dirs
}
