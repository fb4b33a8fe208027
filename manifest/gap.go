package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// Gap says that SSTables may be missing among the increments up to this entry: something was noticed
// with which a flush may not have been linked. It lasts until a base whose snapshot began after this
// entry: barriers between prove nothing for the table.
type Gap struct {
	Table *sstable.Table `json:"table,omitempty"` // nil: every table; without an id: any of that name
	Why   string         `json:"why"`
	// Partial are sets that stayed incomplete, as they were seen. The next base supersedes them.
	Partial []SSTable `json:"partial,omitempty"`
}

func (g Gap) concerns(t sstable.Table) bool {
	return g.Table == nil || *g.Table == t || *g.Table == sstable.Table{Keyspace: t.Keyspace, Name: t.Name}
}

// OpenGap is a gap and when it was noticed.
type OpenGap struct {
	Gap
	Seq     uint64
	Noticed time.Time
}

// String says it as people read it.
func (g OpenGap) String() string {
	return fmt.Sprintf("gap at %s: %s", g.Noticed.Format(time.RFC3339), g.Why)
}

const whyOff = "incremental backups are off"

// Node is who the database last said it was, nil when that was never recorded.
func (s *State) Node() *Node { return s.proofs.node }

// Gaps are those that no base has closed yet, oldest first.
func (s *State) Gaps() (open []OpenGap) {
	for _, g := range s.proofs.gaps {
		after := s.whole.After
		if g.Table != nil {
			if h := s.tables[*g.Table]; h != nil && h.newest() != nil {
				after = max(after, h.newest().full.After)
			}
		}
		if g.Seq > after {
			open = append(open, g)
		}
	}
	return open
}

// Partial is the newest gap that names the set, which has not grown since.
func (s *State) Partial(set sstable.SSTable) (OpenGap, bool) {
	for _, g := range slices.Backward(s.proofs.gaps) {
		for _, p := range g.Partial {
			if *g.Table == set.Table && p.Index == set.Index && p.Stem == set.Stem && p.holds(set.Files) {
				return g, true
			}
		}
	}
	return OpenGap{}, false
}

// Compare tells what may have made holes since the history last recorded who the node is, from how it
// was found to be since, oldest first. changed is the newest, when that must be recorded. In a history
// that has not begun there is nothing to miss.
//
//   - A restart: Cassandra, killed between committing a flush and linking it, loads the SSTable at the
//     next start and never links it (seen on 5.0.8).
//   - Incremental backups that were off. Of a single table (5.0) only once they are on again: until then
//     barriers don't hold for it.
//   - Other tokens, another release: what came with them did not all come by flushes.
func (s *State) Compare(seen []Node) (changed *Node, gaps []Gap) {
	before := s.proofs.node
	for _, now := range seen {
		if before != nil && reflect.DeepEqual(*before, now) {
			continue
		}
		changed = &now
		if before != nil || !s.Fresh() {
			gaps = append(gaps, between(before, now)...)
		}
		before = changed
	}
	return changed, gaps
}

// between compares two looks; before is nil when nobody has looked.
func between(before *Node, now Node) (gaps []Gap) {
	add := func(format string, args ...any) { gaps = append(gaps, Gap{Why: fmt.Sprintf(format, args...)}) }
	if before == nil {
		before = &Node{Release: now.Release, Tokens: now.Tokens}
	}
	switch {
	case before.Release != now.Release:
		add("release %s instead of %s", now.Release, before.Release)
	case before.Generation == 0:
		add("what the database did before is not known")
	case before.Generation != now.Generation:
		add("the database was restarted")
	}
	if !slices.Equal(before.Tokens, now.Tokens) {
		add("other tokens: the ring has changed")
	}
	switch {
	case now.Backups == BackupsOff && before.Backups != BackupsOff:
		add(whyOff)
	case now.Backups == BackupsOn && before.Backups == BackupsOff:
		add("incremental backups were off")
	}
	for _, name := range before.Unlinked {
		if !slices.Contains(now.Unlinked, name) {
			keyspace, table, _ := strings.Cut(name, ".")
			gaps = append(gaps, Gap{Table: &sstable.Table{Keyspace: keyspace, Name: table}, Why: "incremental backups of the table were off"})
		}
	}
	return gaps
}

// Unstored names a set by its files.
func Unstored(set sstable.SSTable) SSTable {
	named := SSTable{Index: set.Index, Stem: set.Stem}
	for _, f := range set.Files {
		named.Components = append(named.Components, Component{
			Name: f.Component, Size: f.Size, FS: f.FS, Inode: f.Inode, Mtime: f.Mtime,
		})
	}
	return named
}
