package restore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
)

// errDamaged: a table is not loaded because SSTables of it are damaged.
var errDamaged = errors.New("not loaded: SSTables are damaged")

// table loads one table. What is wrong with the table alone is in its report.
func (r *loading) table(ctx context.Context, i int) error {
	t, report := &r.plan.Tables[i], &r.report.Tables[i]
	if _, ok := r.live[t.Target()]; !ok {
		report.Error = "not loaded: it is not there, and no CQL was recorded that makes it; make it by hand, and run again"
		return nil
	}
	if err := r.recognize(ctx, i); err != nil {
		return err
	}
	var todo []int
	for k, state := range r.states[i] {
		if state == imported {
			report.count(t, []int{k})
			r.tally.add(t.Source(), t.SSTables[k].Bytes(), 0)
		} else {
			todo = append(todo, k)
		}
	}
	cut := batches(t.SSTables, todo, r.loader.BatchBytes)
	if len(t.SSTables) == 0 {
		cut = [][]int{nil} // the log may have something
	}
	for n, batch := range cut {
		err := r.batch(ctx, i, batch, n == len(cut)-1)
		var refused *cassandra.ImportError
		if errors.As(err, &refused) || errors.Is(err, errDamaged) {
			report.Error = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recognize settles what an earlier run called import for and did not see the end of: SSTables that
// are all live by now were imported, others are staged again. Should that load one twice, no harm is
// done.
func (r *loading) recognize(ctx context.Context, i int) error {
	t, states := &r.plan.Tables[i], r.states[i]
	var open []int
	for k, state := range states {
		if state == importing {
			open = append(open, k)
		}
	}
	if len(open) == 0 {
		return nil
	}
	found, err := t.find(ctx, r.loader.tableDirs(t.Target(), r.live[t.Target()]), open)
	if err != nil {
		return err
	}
	for _, k := range open {
		if !found[k] {
			return nil
		}
	}
	for _, k := range open {
		states[k] = imported
	}
	return r.note(i, imported, open)
}

// batches cuts SSTables into runs of at most limit bytes, or a single one. 0: one run.
func batches(all []SSTable, which []int, limit int64) [][]int {
	var runs [][]int
	var held int64
	for _, k := range which {
		n := all[k].Bytes()
		if len(runs) == 0 || limit > 0 && held+n > limit {
			runs, held = append(runs, nil), 0
		}
		held += n
		runs[len(runs)-1] = append(runs[len(runs)-1], k)
	}
	return runs
}

// batch stages SSTables of table i, with the last of them what was replayed of it, and imports them in
// one call.
func (r *loading) batch(ctx context.Context, i int, batch []int, last bool) error {
	t, report := &r.plan.Tables[i], &r.report.Tables[i]
	n := t.Target()
	dir := path.Join(n.Keyspace, n.Table) // import up to 4.1.4 wants it so (CASSANDRA-19401)
	targets := r.plan.targets(i, dir, batch)
	if len(targets) == 0 {
		if err := r.dir.root.RemoveAll(dir); err != nil { // of a run that was cut short
			return err
		}
	}
	if err := r.fill(ctx, targets); err != nil {
		return fmt.Errorf("stage %s: %w", n, err)
	}
	whole, err := r.sortOut(t, targets, batch)
	report.Damaged += len(batch) - len(whole)
	r.report.intact(t, len(t.SSTables)-report.Damaged)
	if err != nil {
		return err
	}
	loaded := len(whole)
	if last {
		before := report.SSTables
		if err := r.addLog(r.log, i, dir); err != nil {
			return fmt.Errorf("stage %s: %w", n, err)
		}
		loaded += report.SSTables - before
	}
	if loaded == 0 {
		return nil
	}
	if err := r.note(i, importing, whole); err != nil {
		return err
	}
	err = r.loader.Tool.Import(ctx, n.Keyspace, n.Table, []string{filepath.Join(r.loader.Dir, dir)}, r.loader.Flags)
	if err != nil {
		return err
	}
	report.count(t, whole)
	if err := r.note(i, imported, whole); err != nil {
		return err
	}
	return r.dir.root.RemoveAll(dir)
}

// sortOut returns the SSTables of a batch that can be loaded, and takes what is left of others off the
// stage. Components that Cassandra makes anew may be missing.
func (r *loading) sortOut(t *Table, targets []*target, batch []int) ([]int, error) {
	loadable := map[*SSTable]bool{}
	var whole []int
	for _, k := range batch {
		s := &t.SSTables[k]
		if lost := r.lost[s]; len(lost) > 0 {
			if !r.loader.AllowDamaged {
				return r.whole(t, batch), fmt.Errorf("%w: %s; the others wait in %s", errDamaged, s.Stem, r.loader.Dir)
			}
			if !s.opensWithout(lost) {
				continue
			}
		}
		loadable[s] = true
		whole = append(whole, k)
	}
	for _, g := range targets {
		if !loadable[g.sstable] {
			if err := r.dir.root.RemoveAll(g.path); err != nil {
				return nil, err
			}
		}
	}
	return whole, nil
}

// opensWithout tells whether Cassandra can open the SSTable when some components are missing.
func (s *SSTable) opensWithout(lost []string) bool {
	gone := map[string]bool{}
	for _, name := range lost {
		gone[name] = true
	}
	var have []string
	for _, f := range s.Files {
		if !gone[f.Name] {
			have = append(have, f.Name)
		}
	}
	n, _ := sstable.ParseName(s.Stem + "-" + sstable.Data)
	required, _ := sstable.Missing(n.Format, have, nil)
	return len(required) == 0
}

func (r *loading) note(i int, state loadState, sstables []int) error {
	n := r.plan.Tables[i].Target()
	return r.dir.journal.add(record{Load: &loadRecord{Plan: r.id, Table: n, ID: r.live[n], State: state, SSTables: sstables}})
}
