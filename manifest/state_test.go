package manifest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

// script builds a history entry by entry.
type script struct {
	t     *testing.T
	state *State
}

func newScript(t *testing.T) *script { return &script{t, NewState()} }

func (s *script) add(kind Kind, body Body) {
	s.t.Helper()
	m := &Manifest{Header: Header{
		Format: 1, Kind: kind, Seq: s.state.Seq() + 1, Base: s.state.Base(),
		Keeps: []Keep{{Set: pack.SetID{byte(s.state.Seq() + 1)}}},
	}, Body: body}
	if prev := s.state.Newest(); prev != nil {
		m.Previous = prev.Sum
	}
	m.Sum = chunker.Sum([]byte(fmt.Sprint(m.Seq)))
	if err := s.state.Apply(m); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) open() { s.add(Open, Body{}) }

func (s *script) increment(pending []string, ssts ...SSTable) {
	s.add(Increment, Body{Pending: pending, Tables: []Table{{Table: users(), SSTables: ssts}}})
}

func (s *script) full(tag, id string, complete, all, last bool, ssts ...SSTable) {
	s.t.Helper()
	s.fullWhile(nil, tag, id, complete, all, last, ssts...)
}

func (s *script) fullWhile(pending []string, tag, id string, complete, all, last bool, ssts ...SSTable) {
	s.t.Helper()
	part := &FullPart{Tag: tag, After: s.state.After(tag, []string{id}), All: all, Last: last}
	s.add(Full, Body{Full: part, Pending: pending, Tables: []Table{{
		Table: users(), Base: &Base{ID: id, Complete: complete}, SSTables: ssts,
	}}})
}

func sst(stem, content string) SSTable {
	return SSTable{Stem: stem, Components: []Component{
		{Name: "Data.db", Size: int64(len(content)), Hash: chunker.Sum([]byte(content)), Inode: uint64(len(content))*1000 + uint64(content[0])},
		{Name: "Statistics.db", Hash: chunker.Sum([]byte("stats of " + content))},
	}}
}

func (s *script) wantChain(want ...string) {
	s.t.Helper()
	var got []string
	for _, st := range s.state.Chain(users()).SSTables {
		got = append(got, fmt.Sprintf("%s@%d", st.Stem, st.From.Seq))
	}
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("chain %v, want %v", got, want)
	}
}

func TestChain(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.wantChain("nb-1-big@2")
	// The scan behind 3 saw the snapshot that is stored as 4: what 3 holds may be newer than it.
	s.increment([]string{"daily"}, sst("nb-2-big", "b"))
	s.full("daily", "x", true, true, true, sst("nb-1-big", "a"))
	s.wantChain("nb-1-big@4", "nb-2-big@3")
	s.increment(nil, sst("nb-3-big", "c"))
	s.wantChain("nb-1-big@4", "nb-2-big@3", "nb-3-big@5")
	if got := s.state.Base(); got != 3 {
		t.Errorf("base %d, want 3: the first entry after what the full supersedes", got)
	}
}

// A writer that restarts writes an open, which says nothing about snapshots: the order of a
// snapshot that was pending before must survive it.
func TestAfterSurvivesRestart(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.increment([]string{"daily"}, sst("nb-2-big", "b"))
	s.open()
	s.full("daily", "x", true, false, true, sst("nb-1-big", "a"))
	s.wantChain("nb-1-big@5", "nb-2-big@3")
}

func TestBaseInParts(t *testing.T) {
	s := newScript(t)
	s.open()
	s.full("daily", "x", false, true, false, sst("nb-1-big", "a"))
	if c := s.state.Chain(users()); c.Tag != "" {
		t.Errorf("a base that is not complete counts: %+v", c)
	}
	s.increment([]string{"daily"}, sst("nb-9-big", "z"))
	s.full("daily", "x", true, true, true, sst("nb-2-big", "b"))
	s.wantChain("nb-1-big@2", "nb-2-big@4", "nb-9-big@3")
}

// An older snapshot that is stored late does not replace a newer one.
func TestLateSnapshotIsNotTheNewest(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment([]string{"old"}, sst("nb-1-big", "a"))
	s.fullWhile([]string{"old"}, "new", "n", true, false, true, sst("nb-1-big", "a"))
	s.full("old", "o", true, false, true, sst("nb-0-big", "y"))
	if c := s.state.Chain(users()); c.Tag != "new" {
		t.Errorf("chain begins with %q, want new", c.Tag)
	}
}

// I9: a name that comes back with other content is another SSTable; the same content with a
// rewritten Statistics.db is the same one.
func TestI9_IdentityIsContent(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.increment(nil, sst("nb-1-big", "b"))
	s.wantChain("nb-1-big@2", "nb-1-big@3")
	repaired := sst("nb-1-big", "a")
	repaired.Components[1].Hash = chunker.Sum([]byte("repaired"))
	s.increment(nil, repaired)
	s.wantChain("nb-1-big@4", "nb-1-big@3")
}

func TestMatchComparesEveryFile(t *testing.T) {
	s := newScript(t)
	s.open()
	x := sst("nb-1-big", "a")
	s.increment(nil, x)
	set := sstable.SSTable{Table: users(), Stem: "nb-1-big"}
	for _, c := range x.Components {
		set.Files = append(set.Files, sstable.File{Component: c.Name, Fingerprint: c.Fingerprint()})
	}
	f := func(what string, want bool, change func(*sstable.SSTable)) {
		t.Helper()
		other := set
		other.Files = append([]sstable.File(nil), set.Files...)
		change(&other)
		if _, got := s.state.Match(other); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("the very same", true, func(*sstable.SSTable) {})
	f("partly pruned", true, func(o *sstable.SSTable) { o.Files = o.Files[:1] })
	f("without Data.db", true, func(o *sstable.SSTable) { o.Files = o.Files[1:] })
	f("one more file", false, func(o *sstable.SSTable) { o.Files = append(o.Files, sstable.File{Component: "SI_x.db"}) })
	f("other inode", false, func(o *sstable.SSTable) { o.Files[1].Inode++ })
	f("other size", false, func(o *sstable.SSTable) { o.Files[1].Size++ })
	f("other time", false, func(o *sstable.SSTable) { o.Files[1].Mtime++ })
	f("other filesystem", false, func(o *sstable.SSTable) { o.Files[0].FS++ })
	f("other stem", false, func(o *sstable.SSTable) { o.Stem = "nb-2-big" })
	f("other table", false, func(o *sstable.SSTable) { o.Table.ID = "00" })
	f("index directory", false, func(o *sstable.SSTable) { o.Index = ".idx" })
}

func TestProvenIsTheBases(t *testing.T) {
	s := newScript(t)
	s.open()
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	s.increment(nil, sst("nb-1-big", "a"))
	if c := s.state.Chain(users()); !c.Proven.IsZero() {
		t.Errorf("I10: increments without a base prove %v", c.Proven)
	}
	s.add(Full, Body{Full: &FullPart{Tag: "t", After: 2}, Tables: []Table{{
		Table: users(), Base: &Base{ID: "x", Complete: true}, Proven: at,
	}}})
	if c := s.state.Chain(users()); !c.Proven.Equal(at) {
		t.Errorf("proven %v, want %v", c.Proven, at)
	}
}

func TestApplyRefusesWhatDoesNotFollow(t *testing.T) {
	s := newScript(t)
	s.open()
	for _, m := range []*Manifest{
		{Header: Header{Seq: 3, Previous: s.state.Newest().Sum}},
		{Header: Header{Seq: 2, Previous: chunker.Sum([]byte("another history"))}},
		{Header: Header{Seq: 1, Previous: s.state.Newest().Sum}},
	} {
		if err := s.state.Apply(m); err == nil {
			t.Errorf("manifest %d was accepted after 1", m.Seq)
		}
	}
}
