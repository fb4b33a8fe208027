package manifest

import (
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// Why says what ended a table's chain. Readers refuse what they don't know.
type Why string

const (
	Truncated Why = "truncate"
	Dropped   Why = "drop"
	// Ended: one of the two. The tags of Cassandra before 3.10 don't say which.
	Ended Why = "truncate or drop"
)

// Is tells whether w may be what was asked for.
func (w Why) Is(asked Why) bool { return w == asked || w == Ended }

// Cut says that a table was truncated or dropped. The SSTables that its entry, of kind cut, names for
// the table were still written before it, and so was all that earlier entries name but Lives. The
// table's chain begins anew with Lives and what later entries name; see the package comment.
type Cut struct {
	Why Why `json:"why"`
	// At, by the node's clock: what was written later survived.
	At time.Time `json:"at"`
	// After orders the cut among the table's bases, as FullPart.After does.
	After uint64 `json:"after"`
	// Tag is that of the auto snapshot, which holds the table's last state: the final set. It is stored
	// as a base that is marked Final, in entries that may come later. Empty: none was seen, and the
	// last state is what the chain holds up to here.
	Tag string `json:"tag,omitempty"`
	// Lives are SSTables that earlier entries name and that were written after the cut, before it was
	// noticed.
	Lives []SSTable `json:"lives,omitempty"`
}

// criticalCut is the name in Header.Critical of an entry with a final set: who doesn't know cuts would
// begin a chain with it.
const criticalCut = "cut"

func critical(b Body) []string {
	for _, t := range b.Tables {
		if t.Cut != nil || t.Base != nil && t.Base.Final != "" {
			return []string{criticalCut}
		}
	}
	return nil
}

// Ending is what a history says of a cut.
type Ending struct {
	Table sstable.Table
	Why   Why
	At    time.Time
	Tag   string // of the auto snapshot; empty: none was seen
	// Seq is the entry that records the cut; 0 where only the final set tells of it, because it happened
	// before the history began.
	Seq uint64
	// Schema is the newest one before the cut; nil where none is known.
	Schema *Schema
	// Last is the table's last state: the final set where Final, else what the chain held.
	Last  Chain
	Final bool
	// From is the lowest entry that holds a part of the final set: where the state begins behind it,
	// Last lacks SSTables.
	From uint64
}

// applyCut makes the chain of t begin anew. What t names besides is in the chain already.
func (s *State) applyCut(m *Manifest, t Table) {
	h := s.tables[t.Table]
	c := t.Cut
	var lives []Stored
	for _, x := range c.Lives {
		lives = append(lives, Stored{SSTable: x, Table: t.Table, From: m})
	}
	now := s.Chain(t.Table)
	now.SSTables = without(now.SSTables, lives)
	b := h.recorded(*c)
	if b == nil {
		b = &base{complete: true, ending: &Ending{
			Table: t.Table, Why: c.Why, At: c.At, Schema: s.before, Last: now,
		}}
		if !now.Proven.After(c.At) {
			b.proven = now.Proven // all of it was removed: nothing is missing
		}
		h.bases = append(h.bases, b)
	} else { // the same cut once more: what was found since
		last := &b.ending.Last
		last.SSTables = unique(append(without(last.SSTables, lives), now.SSTables...))
	}
	b.full = FullPart{After: c.After, Began: c.At}
	b.seq, b.sstables = m.Seq, lives
	b.ending.Seq = m.Seq
	if c.Tag != "" {
		b.ending.Tag = c.Tag
	}
	for i := range b.sstables {
		b.sstables[i].base = b
		s.index(b.sstables[i])
	}
}

// recorded is the cut as an earlier entry recorded it.
func (h *history) recorded(c Cut) *base {
	for _, b := range h.bases {
		if b.ending != nil && b.ending.Why == c.Why && b.ending.At.Equal(c.At) {
			return b
		}
	}
	return nil
}

// without leaves SSTables out, by their content.
func without(all, out []Stored) []Stored {
	if len(out) == 0 {
		return all
	}
	drop := map[identity]bool{}
	for _, st := range out {
		drop[st.identity()] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(st Stored) bool { return drop[st.identity()] })
}

// identity tells an SSTable of a table from others: the same name with another content is another one
// (I9).
type identity struct {
	index, stem string
	data        chunker.Hash
}

func (s SSTable) identity() identity {
	data, _ := s.Component(sstable.Data)
	return identity{s.Index, s.Stem, data.Hash}
}

// cutBefore is the newest cut that is older than what the chain begins with, nil when there is none.
// What was stored before it is in no chain since.
func (h *history) cutBefore(start *base) (cut *base) {
	for _, b := range h.bases {
		if b.ending != nil && b != start && start.newer(b) && (cut == nil || b.seq > cut.seq) {
			cut = b
		}
	}
	return cut
}

// Endings are the cuts of all tables of that name, oldest first.
func (s *State) Endings(keyspace, name string) (all []Ending) {
	for t, h := range s.tables {
		if t.Keyspace != keyspace || t.Name != name {
			continue
		}
		known := map[string]bool{}
		for _, b := range h.bases {
			if b.ending == nil {
				continue
			}
			known[b.ending.Tag] = true
			e := *b.ending
			if f := h.final(e.Tag); f != nil {
				e.end(f)
			}
			all = append(all, e)
		}
		for _, b := range h.bases {
			if b.final == "" || !b.complete || known[b.full.Tag] {
				continue
			}
			e := Ending{Table: t, Why: b.final, At: b.full.Began, Tag: b.full.Tag}
			e.end(b)
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Ending) int { return a.At.Compare(b.At) })
	return all
}

// end makes the final set the last state. It holds all that was acknowledged before the cut, for
// Cassandra flushes before it takes it.
func (e *Ending) end(f *base) {
	e.Last = Chain{
		Table: e.Table, Tag: f.full.Tag, Began: f.full.Began, BaseSeq: f.seq, SchemaCQL: f.cql,
		SSTables: unique(f.sstables), Proven: e.At,
	}
	e.Final, e.From = true, f.full.After+1
}

// final is the auto snapshot of that tag, nil unless all of it is stored.
func (h *history) final(tag string) *base {
	for _, b := range h.bases {
		if b.final != "" && b.complete && b.full.Tag == tag {
			return b
		}
	}
	return nil
}

// HasCut tells whether the history records the cut whose auto snapshot has that tag.
func (s *State) HasCut(t sstable.Table, tag string) bool {
	h := s.tables[t]
	return h != nil && slices.ContainsFunc(h.bases, func(b *base) bool { return b.ending != nil && b.ending.Tag == tag })
}

// LastCut is the newest cut of t that is recorded.
func (s *State) LastCut(t sstable.Table) (newest Ending, ok bool) {
	if h := s.tables[t]; h != nil {
		for _, b := range h.bases {
			if b.ending != nil && !b.ending.At.Before(newest.At) {
				newest, ok = *b.ending, true
			}
		}
	}
	return newest, ok
}

// Cuts tells whether c would end the chain of t: whether it is newer than what that begins with.
func (s *State) Cuts(t sstable.Table, c Cut) bool {
	h := s.tables[t]
	if h == nil || h.newest() == nil {
		return true
	}
	return (&base{full: FullPart{After: c.After, Began: c.At}}).newer(h.newest())
}

// CutAfter is what Cut.After must say of a cut of t that no snapshot tells of: the newest entry whose
// scan of backups/ ended before the moment. Only here does the clock decide.
func (s *State) CutAfter(t sstable.Table, moment time.Time) (after uint64) {
	for _, sc := range slices.Backward(s.scans) {
		if sc.kind == Increment && sc.asOf.Before(moment) {
			after = sc.seq
			break
		}
	}
	if h := s.tables[t]; h != nil {
		for _, b := range h.bases {
			if b.full.Began.Before(moment) {
				after = max(after, b.full.After)
			}
		}
	}
	return after
}

func (m *Manifest) validateCut(t Table) error {
	if t.Base != nil && !knownEnd(t.Base.Final) && t.Base.Final != "" {
		return fmt.Errorf("final set of a %q: %w", t.Base.Final, ErrNewer)
	}
	c := t.Cut
	if c == nil {
		return nil
	}
	switch {
	case m.Kind != KindCut || t.Base != nil:
		return corrupt("table %s.%s is cut in an entry of kind %q", t.Keyspace, t.Name, m.Kind)
	case !knownEnd(c.Why):
		return fmt.Errorf("table %s.%s is cut by a %q: %w", t.Keyspace, t.Name, c.Why, ErrNewer)
	case c.After >= m.Seq:
		return corrupt("table %s.%s is cut after entry %d", t.Keyspace, t.Name, c.After)
	}
	for _, x := range c.Lives {
		if err := m.validateSSTable(x, true); err != nil {
			return err
		}
	}
	return nil
}

func knownEnd(w Why) bool { return w == Truncated || w == Dropped || w == Ended }
