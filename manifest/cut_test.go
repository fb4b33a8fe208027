package manifest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

const gone = "truncated-1795255200000-users"

func cutAt(minute int) time.Time { return time.Date(2026, 11, 22, 2, minute, 0, 0, time.UTC) }

// cut adds the entry of a cut; before are SSTables that are stored with it.
func (s *script) cut(c Cut, before ...SSTable) {
	s.t.Helper()
	s.add(KindCut, Body{AsOf: c.At, Tables: []Table{{Table: users(), SSTables: before, Cut: &c}}})
}

// final stores the auto snapshot whose place in the order is after.
func (s *script) final(tag string, why Why, after uint64, ssts ...SSTable) {
	s.t.Helper()
	s.add(Full, Body{Full: &FullPart{Tag: tag, After: after, Last: true}, Tables: []Table{{
		Table: users(), Base: &Base{ID: tag, Complete: true, Final: why}, SSTables: ssts,
	}}})
}

func (s *script) wantLast(want ...string) {
	s.t.Helper()
	all := s.state.Endings("shop", "users")
	if len(all) == 0 {
		s.t.Fatal("there is no ending")
	}
	var got []string
	for _, st := range all[len(all)-1].Last.SSTables {
		got = append(got, st.Stem)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the last state is %v, want %v", got, want)
	}
}

func TestCutBeginsANewChain(t *testing.T) {
	s := newScript(t)
	s.open()
	s.full("daily", "d", true, true, true, sst("nb-1-big", "a"))
	s.increment(nil, sst("nb-2-big", "b"))
	s.increment(nil, sst("nb-3-big", "c")) // flushed after the TRUNCATE, which nobody had noticed yet
	s.cut(Cut{Why: Truncated, At: cutAt(1), After: 3, Lives: []SSTable{sst("nb-3-big", "c")}}, sst("nb-4-big", "d"))
	s.wantChain("nb-3-big@5")
	s.increment(nil, sst("nb-5-big", "e"))
	s.wantChain("nb-3-big@5", "nb-5-big@6")
	s.wantLast("nb-1-big", "nb-2-big", "nb-4-big")
	if c := s.state.Chain(users()); c.Tag != "" || c.Cut == nil || !c.Cut.At.Equal(cutAt(1)) {
		t.Errorf("the chain begins with %q, %v", c.Tag, c.Cut)
	}
}

// A table that was truncated is still the one that the snapshots before it describe.
func TestSchemaOutlivesCut(t *testing.T) {
	s := newScript(t)
	s.open()
	for i, cql := range []string{"first", "second", ""} {
		base := &Base{ID: cql, Complete: true, SchemaCQL: cql}
		s.add(Full, Body{Full: &FullPart{Tag: "daily", After: uint64(i), Last: true}, Tables: []Table{{Table: users(), Base: base}}})
	}
	s.cut(Cut{Why: Truncated, At: cutAt(1), After: 4})
	if c := s.state.Chain(users()); c.Cut == nil || c.SchemaCQL != "second" {
		t.Errorf("after the cut: %q", c.SchemaCQL)
	}
}

// The final set is the last state, whether it comes before its cut is recorded, or after, and no chain
// begins with it.
func TestFinalSet(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := newScript(t)
		s.open()
		s.increment(nil, sst("nb-1-big", "a"))
		if first {
			s.final(gone, Truncated, 2, sst("nb-9-big", "all"))
			s.wantChain("nb-1-big@2")
		}
		s.cut(Cut{Why: Truncated, At: cutAt(1), After: 2, Tag: gone}, sst("nb-2-big", "b"))
		if !first {
			s.wantLast("nb-1-big", "nb-2-big")
			s.final(gone, Truncated, 2, sst("nb-9-big", "all"))
		}
		s.wantLast("nb-9-big")
		s.increment(nil, sst("nb-3-big", "c"))
		s.wantChain("nb-3-big@5")
		if all := s.state.Endings("shop", "users"); len(all) != 1 || !all[0].Final || !all[0].Last.Proven.Equal(cutAt(1)) {
			t.Errorf("%+v", all)
		}
	}
}

// A snapshot that began after the cut begins a chain, but what lies before the cut is not in it, even
// if that was stored after the snapshot had begun.
func TestBaseAfterCut(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.cut(Cut{Why: Truncated, At: cutAt(1), After: 2}, sst("nb-2-big", "b"))
	s.increment([]string{"daily"}, sst("nb-3-big", "c"))
	s.add(Full, Body{Full: &FullPart{Tag: "daily", After: 2, Began: cutAt(2), All: true, Last: true}, Tables: []Table{{
		Table: users(), Base: &Base{ID: "d", Complete: true}, SSTables: []SSTable{sst("nb-3-big", "c")},
	}}})
	s.increment(nil, sst("nb-4-big", "d"))
	s.wantChain("nb-3-big@5", "nb-4-big@6")
	if c := s.state.Chain(users()); c.Tag != "daily" {
		t.Errorf("the chain begins with %q", c.Tag)
	}
}

// A snapshot that began before the cut and is stored after it changes nothing.
func TestBaseBeforeCut(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.cut(Cut{Why: Dropped, At: cutAt(5), After: 2})
	s.add(Full, Body{Full: &FullPart{Tag: "late", After: 2, Began: cutAt(2), Last: true}, Tables: []Table{{
		Table: users(), Base: &Base{ID: "d", Complete: true}, SSTables: []SSTable{sst("nb-1-big", "a")},
	}}})
	s.wantChain()
}

// What is found of a cut later is said with the same cut once more.
func TestCutOnceMore(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.cut(Cut{Why: Dropped, At: cutAt(1), After: 2})
	s.cut(Cut{Why: Dropped, At: cutAt(1), After: 2}, sst("nb-2-big", "b"))
	s.wantLast("nb-1-big", "nb-2-big")
	s.wantChain()
	s.cut(Cut{Why: Dropped, At: cutAt(1), After: 2, Tag: "dropped-1795255200000-users"})
	all := s.state.Endings("shop", "users")
	if len(all) != 1 || all[0].Tag == "" || all[0].Seq != 5 {
		t.Errorf("%+v", all)
	}
	s.wantLast("nb-1-big", "nb-2-big")
}

// Proof goes on over a cut: what was proven was removed.
func TestI10_ProvenOverCut(t *testing.T) {
	s := newScript(t)
	s.open()
	s.add(Full, Body{Full: &FullPart{Tag: "t", All: true, Last: true}, Tables: []Table{{
		Table: users(), Base: &Base{ID: "x", Complete: true}, Proven: cutAt(1),
	}}})
	s.cut(Cut{Why: Truncated, At: cutAt(2), After: 2})
	if c := s.state.Chain(users()); !c.Proven.Equal(cutAt(1)) {
		t.Errorf("proven %s", c.Proven)
	}
	s.cut(Cut{Why: Truncated, At: cutAt(0), After: 3}) // the clock was set back
	if c := s.state.Chain(users()); !c.Proven.IsZero() {
		t.Errorf("proven %s, which is after the cut", c.Proven)
	}
}

func TestCutsAreRefusedByWhoDoesNotKnowThem(t *testing.T) {
	m := example()
	m.Kind, m.Body.Full = KindCut, nil
	m.Body.Tables[0].Base = nil
	m.Body.Tables[0].Cut = &Cut{Why: Truncated, At: cutAt(1), After: 2, Tag: gone, Lives: m.Body.Tables[0].SSTables}
	object, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(object)
	if err != nil || !slices.Equal(back.Critical, []string{"cut"}) || back.Body.Tables[0].Cut.Tag != gone {
		t.Errorf("%+v, %v", back, err)
	}
	f := func(what string, want error, change func(*Table)) {
		t.Helper()
		m := *m
		table := m.Body.Tables[0]
		c := *table.Cut
		table.Cut = &c
		change(&table)
		m.Body.Tables = []Table{table}
		if _, err := Decode(raw(t, &m)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("unknown reason", ErrNewer, func(t *Table) { t.Cut.Why = "burnt" })
	f("unknown final set", ErrNewer, func(t *Table) { t.Base, t.Cut = &Base{Final: "burnt"}, nil })
	f("a base too", chunker.ErrCorrupt, func(t *Table) { t.Base = &Base{} })
	f("after itself", chunker.ErrCorrupt, func(t *Table) { t.Cut.After = m.Seq })
	f("hostile stem", chunker.ErrCorrupt, func(t *Table) {
		t.Cut.Lives = []SSTable{{Stem: "../x", Components: []Component{{Name: "Data.db", List: pack.ListRef{}}}}}
	})
}
