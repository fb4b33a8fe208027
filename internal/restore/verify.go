package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// Verification compares a plan with what is there. It compares files, not rows.
type Verification struct {
	Tables   []TableVerification `json:"tables"`
	Files    int                 `json:"files"` // read and found right
	Bytes    int64               `json:"bytes"` // of these
	Problems []Problem           `json:"problems"`
}

// OK: everything that was planned is there, or was.
func (v Verification) OK() bool { return len(v.Problems) == 0 }

// TableVerification is what was found of one table.
type TableVerification struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
	SSTables int    `json:"sstables"` // planned
	Found    int    `json:"found"`    // with the contents planned
	// Rewritten are SSTables that were imported, by the stage's journal, and whose Data.db is no longer
	// among the table's files. Compaction does that, and so do TRUNCATE and DROP: files can't tell.
	Rewritten int `json:"rewritten"`
}

// Problem is a file that is not as planned.
type Problem struct {
	Path string `json:"path"`
	What string `json:"what"` // missing, different, extra
}

func (p *Plan) newVerification() Verification {
	v := Verification{Problems: []Problem{}}
	for _, t := range p.Tables {
		v.Tables = append(v.Tables, TableVerification{Keyspace: t.Keyspace, Table: t.Name, SSTables: len(t.SSTables)})
	}
	return v
}

// Verify reads the directory that p was restored to: every file is hashed again, and what is missing,
// different or not planned is listed. It changes nothing.
func (s *Stager) Verify(ctx context.Context, p *Plan) (Verification, error) {
	v := p.newVerification()
	if p.To == "" {
		return v, fmt.Errorf("verify: %w: the plan is for loading into a node", ErrRequest)
	}
	root, err := os.OpenRoot(p.To)
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	defer root.Close()
	var all []*target
	for i, t := range p.Tables {
		all = append(all, p.targets(i, t.Dir(), t.every())...)
	}
	foreign, temporary, err := strangers(root, all)
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	if p.Replay != nil {
		foreign = nil // what was replayed is no two times the same bytes
	}
	for _, name := range append(foreign, temporary...) {
		v.Problems = append(v.Problems, Problem{name, "extra"})
	}
	tell := tally{tell: s.Progress, now: Progress{OfBytes: p.Bytes}}
	found, err := look(ctx, root, nil, all, func(t *target) { tell.add(p.Tables[t.table].Source(), t.Size, 0) })
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	v.add(p, all, found)
	return v, nil
}

// add judges targets by how they were found.
func (v *Verification) add(p *Plan, all []*target, found []standing) {
	lacking := map[*SSTable]bool{}
	for i, t := range all {
		if found[i] == right {
			v.Files++
			v.Bytes += t.Size
			continue
		}
		what := "missing"
		if found[i] == wrong {
			what = "different"
		}
		v.Problems = append(v.Problems, Problem{t.path, what})
		lacking[t.sstable] = true
	}
	for i := range p.Tables {
		for k := range p.Tables[i].SSTables {
			if !lacking[&p.Tables[i].SSTables[k]] {
				v.Tables[i].Found++
			}
		}
	}
}

// Verify looks for the Data.db of every SSTable of p among the files of the live tables. Cassandra
// gives them other names and changes Statistics.db, and compaction replaces them by and by: the
// journal on the stage says which were imported at all.
func (l *Loader) Verify(ctx context.Context, p *Plan) (Verification, error) {
	v := p.newVerification()
	if p.To != "" {
		return v, fmt.Errorf("verify: %w: the plan is for the directory %s", ErrRequest, p.To)
	}
	live, err := l.Session.Live(ctx)
	if err != nil {
		return v, err
	}
	journal, err := l.readJournal()
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	plan, err := p.identity()
	if err != nil {
		return v, err
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		id, ok := liveID(live, t.Target())
		if !ok {
			v.Problems = append(v.Problems, Problem{t.Target().String(), "missing"})
			continue
		}
		found, err := t.find(ctx, l.tableDirs(t.Target(), id), t.every())
		if err != nil {
			return v, fmt.Errorf("verify: %w", err)
		}
		states, _ := journal.loaded(plan, t.Target(), id, len(t.SSTables))
		v.addLive(i, t, found, states)
	}
	return v, nil
}

func (v *Verification) addLive(i int, t *Table, found map[int]bool, states []loadState) {
	for k := range t.SSTables {
		s := &t.SSTables[k]
		switch {
		case found[k]:
			data, _ := s.File(sstable.Data)
			v.Files++
			v.Bytes += data.Size
			v.Tables[i].Found++
		case states[k] == imported:
			v.Tables[i].Rewritten++
		default:
			v.Problems = append(v.Problems, Problem{t.Target().String() + "/" + s.Path(sstable.Data), "missing"})
		}
	}
}

// readJournal opens the journal on the stage; an empty one when there is none.
func (l *Loader) readJournal() (*journal, error) {
	root, err := os.OpenRoot(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &journal{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	j, err := openJournal(root)
	if err != nil {
		return nil, err
	}
	j.close()
	return j, nil
}

// find returns which SSTables are among the files in dirs, by size and hash of their Data.db.
func (t *Table) find(ctx context.Context, dirs []string, which []int) (map[int]bool, error) {
	files, err := liveData(dirs)
	if err != nil {
		return nil, err
	}
	wanted := map[int64]bool{}
	for _, k := range which {
		data, _ := t.SSTables[k].File(sstable.Data)
		wanted[data.Size] = true
	}
	there := map[chunker.Hash]bool{}
	for _, f := range files {
		if !wanted[f.size] {
			continue
		}
		hash, err := hashFile(ctx, f.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted meanwhile
		}
		if err != nil {
			return nil, err
		}
		there[hash] = true
	}
	found := map[int]bool{}
	for _, k := range which {
		data, _ := t.SSTables[k].File(sstable.Data)
		found[k] = there[data.Hash]
	}
	return found, nil
}

func hashFile(ctx context.Context, path string) (chunker.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return chunker.Hash{}, err
	}
	defer f.Close()
	return hashOf(ctx, f)
}
