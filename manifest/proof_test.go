package manifest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// minute is a moment of the day on which these histories happen.
func minute(n int) time.Time {
	return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

// passes is a barrier of that minute, with nothing else in the entry.
func (s *script) passes(at int, not ...Hold) {
	s.t.Helper()
	s.add(Increment, Body{Barrier: &Barrier{At: minute(at), Not: not}})
}

func (s *script) gap(at int, pending []string, gaps ...Gap) {
	s.t.Helper()
	s.add(Increment, Body{AsOf: minute(at), Pending: pending, Gaps: gaps})
}

// whole is a full of users that holds every table, proven through its beginning.
func (s *script) whole(tag string, at int) {
	s.t.Helper()
	s.add(Full, Body{
		Full: &FullPart{Tag: tag, Began: minute(at), After: s.state.After(tag, []string{tag}), All: true, Last: true},
		Tables: []Table{{
			Table: users(), Base: &Base{ID: tag, Complete: true}, Proven: minute(at),
		}},
	})
}

// wantProven: through that minute, -1 for nothing; lag is in the reason, empty when there is none.
func (s *script) wantProven(at int, lag string) {
	s.t.Helper()
	want := time.Time{}
	if at >= 0 {
		want = minute(at)
	}
	c := s.state.Chain(users())
	if !c.Proven.Equal(want) || (lag == "") != (c.Lag == "") || !strings.Contains(c.Lag, lag) {
		s.t.Errorf("after entry %d: proven %v, want %v; lag %q, want %q", s.state.Seq(), c.Proven, want, c.Lag, lag)
	}
}

func (s *script) wantGaps(want string) {
	s.t.Helper()
	var got []string
	for _, g := range s.state.Gaps() {
		got = append(got, fmt.Sprint(g.Seq))
	}
	if strings.Join(got, " ") != want {
		s.t.Errorf("after entry %d: open gaps %v, want %v", s.state.Seq(), got, want)
	}
}

func TestI10_BarriersProveAsLongAsThereIsNoGap(t *testing.T) {
	s := newScript(t)
	s.open()
	s.increment(nil, sst("nb-1-big", "a"))
	s.passes(1)
	s.wantProven(-1, "no snapshot")
	s.whole("one", 10)
	s.wantProven(10, "") // nothing came after it
	s.increment(nil, sst("nb-2-big", "b"))
	s.wantProven(10, "no flush has been proven")
	s.passes(20)
	s.wantProven(20, "")
	s.passes(30, Hold{users(), "nb-3-big: waiting for Data.db"})
	s.wantProven(20, "waiting for Data.db")
	s.passes(40, Hold{sstable.Table{Keyspace: users().Keyspace}, "could not be listed"})
	s.wantProven(20, "could not be listed")
	s.passes(50, Hold{sstable.Table{Keyspace: "other"}, "could not be listed"})
	s.wantProven(50, "")
	s.passes(55, Hold{sstable.Table{Keyspace: users().Keyspace, Name: users().Name}, "off for the table"})
	s.wantProven(50, "off for the table")
	s.passes(45) // the clock was set back
	s.wantProven(50, "")

	s.gap(60, nil, Gap{Why: "the database was restarted"})
	s.wantProven(50, "restarted")
	s.wantGaps("12")
	s.passes(70)
	s.wantProven(50, "gap at 2026-11-22T03:00:00Z: the database was restarted")
	s.whole("two", 80)
	s.wantProven(80, "")
	s.wantGaps("")
	s.passes(90)
	s.wantProven(90, "")
}

// A barrier does not count in the entry that records a gap either: what was noticed happened before.
func TestI10_BarrierBesideAGap(t *testing.T) {
	s := newScript(t)
	s.open()
	s.whole("one", 10)
	s.add(Increment, Body{AsOf: minute(20), Barrier: &Barrier{At: minute(20)}, Gaps: []Gap{{Why: "off"}}})
	s.wantProven(10, "off")
}

// Only a base whose snapshot began after the gap was recorded closes it.
func TestI10_SnapshotFromBeforeTheGap(t *testing.T) {
	s := newScript(t)
	s.open()
	s.whole("one", 10)
	s.gap(30, []string{"two"}, Gap{Why: "restarted"})
	s.add(Full, Body{
		Full:   &FullPart{Tag: "two", Began: minute(20), After: s.state.After("two", nil), All: true, Last: true},
		Tables: []Table{{Table: users(), Base: &Base{ID: "two", Complete: true}, Proven: minute(20)}},
	})
	s.wantProven(20, "restarted")
	s.wantGaps("3")
	s.passes(40)
	s.wantProven(20, "restarted")
	s.whole("three", 50)
	s.wantProven(50, "")
	s.wantGaps("")
}

func TestGapOfATable(t *testing.T) {
	s := newScript(t)
	s.open()
	s.whole("one", 10)
	other := sstable.Table{Keyspace: "ks", Name: "other", ID: users().ID}
	s.gap(20, nil, Gap{Table: &other, Why: "nb-1-big stays incomplete"})
	s.passes(30)
	s.wantProven(30, "")
	s.wantGaps("3")
	own := users()
	partial := sstable.SSTable{Table: own, Stem: "nb-7-big", Files: []sstable.File{
		{Component: "Index.db", Fingerprint: sstable.Fingerprint{Inode: 7}}, {Component: "TOC.txt", Fingerprint: sstable.Fingerprint{Inode: 8}},
	}}
	s.gap(40, nil, Gap{Table: &own, Why: "nb-7-big stays incomplete", Partial: []SSTable{Unstored(partial)}})
	s.wantProven(30, "nb-7-big stays incomplete")
	if g, ok := s.state.Partial(partial); !ok || g.Seq != 5 {
		t.Errorf("the set of entry 5 is found in %v, %v", g, ok)
	}
	grown := partial
	grown.Files = append(grown.Files[:1:1], sstable.File{Component: "Data.db"}, partial.Files[1])
	if _, ok := s.state.Partial(grown); ok {
		t.Error("a set that has grown passes for the one that was recorded")
	}
	// The next full names it as superseded: it is known then, though nothing of it is stored.
	s.add(Full, Body{
		Full:   &FullPart{Tag: "two", Began: minute(50), After: 5, All: true, Last: true},
		Tables: []Table{{Table: own, Base: &Base{ID: "two", Complete: true}, Proven: minute(50), Superseded: []SSTable{Unstored(partial)}}},
	})
	s.wantProven(50, "")
	s.wantGaps("")
	if st, ok := s.state.Match(partial); !ok || !st.Superseded {
		t.Errorf("the superseded set is found as %+v, %v", st, ok)
	}
}

// A table that was created after a whole full has no base, and needs none: it began empty.
func TestTableCreatedAfterTheFull(t *testing.T) {
	made := func(id string) sstable.Table { return sstable.Table{Keyspace: "ks", Name: "young", ID: id} }
	const v1 = "b2637280e58c11f199085b39e1f4c1a0" // 2026-11-21T10:25:51Z
	f := func(id string, began time.Time, want bool) {
		t.Helper()
		s := newScript(t)
		s.open()
		s.add(Full, Body{Full: &FullPart{Tag: "t", Began: began, After: 1, All: true, Last: true}})
		s.add(Increment, Body{Tables: []Table{{Table: made(id), SSTables: []SSTable{sst("nb-1-big", "a")}}}})
		s.add(Increment, Body{Barrier: &Barrier{At: minute(0)}})
		if c := s.state.Chain(made(id)); c.Proven.IsZero() == want || want && !c.Proven.Equal(minute(0)) {
			t.Errorf("id %s, full of %s: proven %v", id, began, c.Proven)
		}
	}
	created := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	f(v1, created, true)
	f(v1, created.Add(48*time.Hour), false)
	f("1b255f4def2540a60000000000000001", created, false) // 6.0: no time in it
	f("", created, false)
}

func TestCompare(t *testing.T) {
	now := Node{Release: "5.0.8", Tokens: []string{"1"}, Generation: 7, Backups: BackupsOn}
	with := func(change func(*Node)) Node {
		n := now
		change(&n)
		return n
	}
	f := func(name string, based bool, before *Node, seen []Node, changed bool, want ...string) {
		t.Helper()
		s := newScript(t)
		s.open()
		if before != nil {
			s.add(Increment, Body{Node: before})
		}
		if based {
			s.whole("t", 1)
		}
		n, gaps := s.state.Compare(seen)
		var got []string
		for _, g := range gaps {
			got = append(got, g.Why)
		}
		if strings.Join(got, "; ") != strings.Join(want, "; ") || (n != nil) != changed {
			t.Errorf("%s: changed to %+v, gaps %q, want %q", name, n, got, want)
		}
	}
	off := with(func(n *Node) { n.Backups = BackupsOff })
	again := with(func(n *Node) { n.Generation++ })
	f("nothing has changed", true, &now, []Node{now, now}, false)
	f("nobody looked", true, &now, nil, false)
	f("the first look, before anything", false, nil, []Node{now}, true)
	f("the first look, behind a full", true, nil, []Node{now}, true, "what the database did before is not known")
	f("an old version recorded it", true, &Node{Release: "5.0.8", Tokens: []string{"1"}}, []Node{now}, true, "what the database did before is not known")
	f("restarted", true, &now, []Node{again}, true, "the database was restarted")
	f("restarted while the first full was on its way", false, &now, []Node{again}, true, "the database was restarted")
	f("upgraded", true, &now, []Node{with(func(n *Node) { n.Release = "5.0.9"; n.Generation++ })}, true, "release 5.0.9 instead of 5.0.8")
	f("moved", true, &now, []Node{with(func(n *Node) { n.Tokens = []string{"2"} })}, true, "other tokens: the ring has changed")
	f("off", true, &now, []Node{off}, true, "incremental backups are off")
	f("still off", true, &off, []Node{off}, false)
	f("on again", true, &off, []Node{now}, true, "incremental backups were off")
	f("off for a while", true, &now, []Node{now, off, now}, true, "incremental backups are off", "incremental backups were off")
	unlinked := with(func(n *Node) { n.Unlinked = []string{"ks.t"} })
	f("off for a table", true, &now, []Node{unlinked}, true)
	f("on for the table", true, &unlinked, []Node{now}, true, "incremental backups of the table were off")
	f("another rack", true, &now, []Node{with(func(n *Node) { n.Rack = "r2" })}, true)
}

// While incremental backups are off, a base proves as much as ever, and nothing after it is proven.
func TestI10_BackupsOff(t *testing.T) {
	s := newScript(t)
	s.open()
	s.whole("one", 10)
	off := Node{Generation: 7, Backups: BackupsOff}
	s.add(Increment, Body{AsOf: minute(20), Node: &off, Gaps: []Gap{{Why: "incremental backups are off"}}})
	s.wantProven(10, "are off")
	s.whole("two", 30)
	s.wantGaps("")
	s.wantProven(30, "incremental backups are off")
}

func TestProofsInAManifest(t *testing.T) {
	table := users()
	m := &Manifest{Header: Header{Kind: Increment, Seq: 1, Base: 1, Time: minute(0)}, Body: Body{
		AsOf: minute(2), Node: &Node{Release: "5.0.8", Generation: 1795255187, Backups: BackupsOn},
		Barrier: &Barrier{At: minute(1), Not: []Hold{{table, "waiting"}, {sstable.Table{Keyspace: "ks"}, "not listed"}}},
		Gaps:    []Gap{{Why: "restarted"}, {Table: &table, Why: "incomplete", Partial: []SSTable{sst("nb-1-big", "a")}}},
	}}
	object, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(object)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("wrote %+v, read %+v, %v", m.Body, back, err)
	}
	f := func(what string, change func(*Body)) {
		t.Helper()
		other := *m
		other.Body.Barrier = &Barrier{Not: []Hold{{Table: table}}}
		other.Body.Gaps = []Gap{{Table: &sstable.Table{Keyspace: "ks", Name: "t"}, Partial: []SSTable{sst("nb-1-big", "a")}}}
		change(&other.Body)
		if _, err := Encode(&other); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	f("a barrier's keyspace", func(b *Body) { b.Barrier.Not[0].Keyspace = ".." })
	f("a barrier's table", func(b *Body) { b.Barrier.Not[0].Name = "../x" })
	f("a gap's table", func(b *Body) { b.Gaps[0].Table.Name = "" })
	f("a gap's set", func(b *Body) { b.Gaps[0].Partial[0].Stem = "../nb" })
	f("a set of no table", func(b *Body) { b.Gaps[0].Table = nil })
}
