package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

// State is what a stretch of one node's history says, applied entry by entry in order. It is not
// safe for concurrent use.
type State struct {
	tables map[sstable.Table]*history
	// stored finds an SSTable by the fingerprint of its Data.db.
	stored map[sstable.Fingerprint][]Stored
	newest *Manifest
	schema *Schema
	whole  FullPart        // the newest full that holds every table
	ended  map[string]bool // by tag: whether the full that was begun last has its last part
	before *Schema         // the one before the newest entry
	scans  []scan          // behind every entry but opens, in order
	rolls  []Span
	origin uint64 // the entry that comes first; 0: any
	proofs proofs
}

// scan is what an entry says of the scan behind it.
type scan struct {
	seq     uint64
	kind    Kind
	asOf    time.Time
	pending []string
	weight  int // of the entry
}

// Stored is an SSTable and the manifest that names it, whose Keeps its components refer to.
type Stored struct {
	SSTable
	Table sstable.Table
	From  *Manifest
	// Superseded: seen and named, but not stored.
	Superseded bool

	base *base // that it belongs to; nil when it is an increment
}

// Set is the pack set that holds the component c of s.
func (s Stored) Set(c Component) pack.SetID { return s.From.Keeps[c.Set].Set }

// history is what is known of one table.
type history struct {
	bases      []*base
	finished   map[string]bool // ids of bases whose entries need not be read any more
	increments []Stored
	headless   []Stored // named without a Data.db
}

// base is what a chain begins with: a snapshot, or a cut.
type base struct {
	id       string
	full     FullPart
	seq      uint64 // of the newest part
	complete bool
	proven   time.Time
	cql      string
	sstables []Stored
	final    Why     // of an auto snapshot: no chain begins with it
	ending   *Ending // of a cut; full then holds its place in the order, and nothing else
}

// after is the entry behind which the increments of the chain lie.
func (b *base) after() uint64 {
	if b.ending != nil {
		return b.seq
	}
	return b.full.After
}

// NewState is the state before the first entry.
func NewState() *State {
	return &State{
		tables: map[sstable.Table]*history{},
		stored: map[sstable.Fingerprint][]Stored{},
		ended:  map[string]bool{},
	}
}

// NewStateAfter is the state of a history that begins anew behind entry seq, and refers to nothing
// up to there. Its first entry has no previous hash.
func NewStateAfter(seq uint64) *State {
	s := NewState()
	s.origin = seq + 1
	return s
}

// Apply adds the next entry. Entries must come in order and without gaps.
func (s *State) Apply(m *Manifest) error {
	if s.newest != nil && (m.Seq != s.newest.Seq+1 || m.Previous != s.newest.Sum) {
		return fmt.Errorf("manifest %d does not follow manifest %d", m.Seq, s.newest.Seq)
	}
	s.newest, s.before = m, s.schema
	if m.Body.Schema != nil {
		s.schema = m.Body.Schema
	}
	if f := m.Body.Full; f != nil {
		s.ended[f.Tag] = f.Last
		if f.Last && f.All && f.After >= s.whole.After {
			s.whole = *f
		}
	}
	if m.Kind != Open {
		s.scans = append(s.scans, scan{m.Seq, m.Kind, m.Body.AsOf, m.Body.Pending, m.weight()})
	}
	for _, t := range m.Body.Tables {
		s.applyTable(m, t)
	}
	s.proofs.apply(m)
	s.applyRoll(m)
	return nil
}

func (s *State) applyTable(m *Manifest, t Table) {
	h := s.tables[t.Table]
	if h == nil {
		h = &history{finished: map[string]bool{}}
		s.tables[t.Table] = h
	}
	var b *base
	into := &h.increments
	if t.Base != nil && m.Body.Full != nil {
		b = h.base(t.Base.ID, *m.Body.Full)
		b.seq = m.Seq
		b.complete, b.final = b.complete || t.Base.Complete, t.Base.Final
		if t.Base.SchemaCQL != "" {
			b.cql = t.Base.SchemaCQL
		}
		if !t.Proven.IsZero() {
			b.proven = t.Proven
		}
		into = &b.sstables
	}
	for _, x := range t.SSTables {
		st := Stored{SSTable: x, Table: t.Table, From: m, base: b}
		*into = append(*into, st)
		s.index(st)
	}
	for _, id := range t.Finished {
		h.finished[id] = true
	}
	for _, x := range t.Superseded {
		s.index(Stored{SSTable: x, Table: t.Table, From: m, Superseded: true})
	}
	if t.Cut != nil {
		s.applyCut(m, t)
	}
}

func (h *history) base(id string, f FullPart) *base {
	for _, b := range h.bases {
		if b.id == id {
			return b
		}
	}
	b := &base{id: id, full: f}
	h.bases = append(h.bases, b)
	return b
}

func (s *State) index(st Stored) {
	if c, ok := st.Component(sstable.Data); ok {
		s.stored[c.Fingerprint()] = append(s.stored[c.Fingerprint()], st)
		return
	}
	h := s.tables[st.Table]
	h.headless = append(h.headless, st)
}

// Newest is the last entry applied, nil before the first.
func (s *State) Newest() *Manifest { return s.newest }

// Seq is the number of the last entry applied, 0 before the first.
func (s *State) Seq() uint64 {
	switch {
	case s.newest != nil:
		return s.newest.Seq
	case s.origin > 0:
		return s.origin - 1
	}
	return 0
}

// Schema is the newest schema, nil when none was ever recorded.
func (s *State) Schema() *Schema { return s.schema }

// Whole is the full that holds every table the node had, of the newest snapshot when there are
// several; its Tag is empty when there is none.
func (s *State) Whole() FullPart { return s.whole }

// Ended tells whether the newest full under tag has its last part.
func (s *State) Ended(tag string) bool { return s.ended[tag] }

// Begun tells whether there are parts of a full under tag, and its last is still to come.
func (s *State) Begun(tag string) bool {
	ended, known := s.ended[tag]
	return known && !ended
}

// Base is the lowest entry that is still needed: what Header.Base of the next entry must say.
func (s *State) Base() uint64 {
	base := max(s.origin, 1)
	if s.newest != nil {
		base = max(base, s.newest.Base)
	}
	if s.whole.Tag != "" {
		base = max(base, s.whole.After+1)
	}
	return base
}

// Find returns what is known of the SSTable whose Data.db has this fingerprint, oldest first.
func (s *State) Find(data sstable.Fingerprint) []Stored { return s.stored[data] }

// Match returns the newest entry that holds exactly the files of set, found where set was found:
// the same names with the same fingerprints (I8). Files that the entry has and the set has not, do
// not matter: a set that is being pruned shrinks. Of bases only the newest counts: a chain
// need not have another.
func (s *State) Match(set sstable.SSTable) (Stored, bool) {
	data, ok := set.File(sstable.Data)
	known := s.stored[data.Fingerprint]
	if h := s.tables[set.Table]; h != nil && !ok {
		known = slices.Concat(h.increments, h.headless) // it was linked in part
	}
	for _, st := range slices.Backward(known) {
		if st.base != nil && st.base != s.tables[st.Table].newest() {
			continue
		}
		if st.Table == set.Table && st.Index == set.Index && st.Stem == set.Stem && st.holds(set.Files) {
			return st, true
		}
	}
	return Stored{}, false
}

func (s SSTable) holds(files []sstable.File) bool {
	for _, f := range files {
		c, ok := s.Component(f.Component)
		if !ok || c.Fingerprint() != f.Fingerprint {
			return false
		}
	}
	return true
}

// BaseDone tells whether the base of that id is complete, and which of its SSTables are stored, as
// far as that need be known of one that is complete.
func (s *State) BaseDone(t sstable.Table, id string) (done bool, stored []Stored) {
	if h := s.tables[t]; h != nil {
		for _, b := range h.bases {
			if b.id == id {
				return b.complete, b.sstables
			}
		}
		return h.finished[id], nil
	}
	return false, nil
}

// After is the newest entry whose scan ended before the snapshot called tag began, 0 when there is
// none: what FullPart.After of that snapshot's bases must say. A full that has begun keeps its value.
func (s *State) After(tag string, bases []string) uint64 {
	for _, h := range s.tables {
		for _, b := range h.bases {
			if b.full.Tag == tag && slices.Contains(bases, b.id) {
				return b.full.After
			}
		}
	}
	for _, sc := range slices.Backward(s.scans) {
		if !slices.Contains(sc.pending, tag) && !slices.Contains(sc.pending, Unseen) {
			return sc.seq
		}
	}
	return 0
}

// AsOf is the moment that the newest entry but opens describes; zero when there is none.
func (s *State) AsOf() time.Time {
	if len(s.scans) == 0 {
		return time.Time{}
	}
	return s.scans[len(s.scans)-1].asOf
}

// Fresh tells whether there is no entry yet but opens.
func (s *State) Fresh() bool { return len(s.scans) == 0 }

// Tables lists every table that the stretch mentions, by name.
func (s *State) Tables() []sstable.Table {
	ts := make([]sstable.Table, 0, len(s.tables))
	for t := range s.tables {
		ts = append(ts, t)
	}
	slices.SortFunc(ts, CompareTables)
	return ts
}

// CompareTables orders tables by keyspace, name and id.
func CompareTables(a, b sstable.Table) int {
	return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}
