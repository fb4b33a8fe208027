package restore

import (
	"errors"
	"slices"
	"testing"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
)

const gone = "truncated-1795255200000-orders"

// cut commits a cut of orders and what comes before it.
func (w *world) cut(c manifest.Cut, all ...sst) {
	w.t.Helper()
	stored, keep := w.store(all...)
	w.commit(manifest.KindCut, manifest.Body{AsOf: c.At, Tables: []manifest.Table{{Table: orders, SSTables: stored, Cut: &c}}}, keep)
}

// final commits a part of an auto snapshot.
func (w *world) final(after uint64, complete bool, all ...sst) {
	w.t.Helper()
	stored, keep := w.store(all...)
	w.commit(manifest.Full, manifest.Body{
		AsOf: w.time, Full: &manifest.FullPart{Tag: gone, After: after, Last: complete},
		Tables: []manifest.Table{{
			Table: orders, Base: &manifest.Base{ID: "f", Complete: complete, Final: manifest.Truncated, SchemaCQL: create(orders)}, SSTables: stored,
		}},
	}, keep)
}

// A history in which orders was truncated twice, with a full between the two and another behind.
func twice(t *testing.T) *world {
	w := newWorld(t)
	x := func(stem string, seed uint64) sst { return data(orders, stem, seed, 100) }
	w.full("one", at(0), 0, x("nb-1-big", 1))
	w.time = at(10)
	w.increment(x("nb-2-big", 2))
	w.cut(manifest.Cut{Why: manifest.Truncated, At: at(11), After: 2}, x("nb-3-big", 3))
	w.time = at(20)
	w.base = 4
	w.full("two", at(20), 3, x("nb-4-big", 4))
	w.time = at(30)
	w.increment(x("nb-5-big", 5))
	w.final(5, false, x("nb-6-big", 6))
	w.cut(manifest.Cut{Why: manifest.Truncated, At: at(31), After: 5, Tag: gone})
	w.time = at(40)
	w.base = 8
	w.full("three", at(40), 7, sst{table: orders}, data(users, "nb-1-big", 9, 100))
	w.final(5, true, x("nb-7-big", 7))
	w.time = at(50)
	w.increment(x("nb-8-big", 8))
	return w
}

func TestFindCut(t *testing.T) {
	w := twice(t)
	f := func(sel CutSelector, final bool, want ...string) {
		t.Helper()
		sel.Table = Name{"shop", "orders"}
		e, err := FindCut(t.Context(), w.reader(), sel)
		if err != nil {
			t.Fatalf("%+v: %v", sel, err)
		}
		var got []string
		for _, st := range e.Last.SSTables {
			got = append(got, st.Stem)
		}
		if len(got) != len(want) || e.Final != final {
			t.Fatalf("%+v: %q, final set %v; want %q", sel, got, e.Final, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%+v: %q, want %q", sel, got, want)
			}
		}
	}
	f(CutSelector{Why: manifest.Truncated}, true, "nb-6-big", "nb-7-big")
	f(CutSelector{Why: manifest.Truncated, At: at(35)}, true, "nb-6-big", "nb-7-big")
	f(CutSelector{Why: manifest.Truncated, At: at(12)}, false, "nb-1-big", "nb-2-big", "nb-3-big")
	f(CutSelector{Why: manifest.Truncated, At: at(-100)}, false, "nb-1-big", "nb-2-big", "nb-3-big")

	fail := func(r *history.Reader, sel CutSelector, want error) {
		t.Helper()
		if _, err := FindCut(t.Context(), r, sel); !errors.Is(err, want) {
			t.Errorf("%+v: %v, want %v", sel, err, want)
		}
	}
	fail(w.reader(), CutSelector{Table: Name{"shop", "orders"}, Why: manifest.Dropped}, ErrNoCut)
	fail(w.reader(), CutSelector{Table: Name{"shop", "users"}, Why: manifest.Truncated}, ErrNoCut)
	fail(newWorld(t).reader(), CutSelector{Table: Name{"shop", "users"}, Why: manifest.Truncated}, history.ErrEmpty)
}

// The last state comes back byte for byte.
func TestRestoreBeforeCut(t *testing.T) {
	w := twice(t)
	e, err := FindCut(t.Context(), w.reader(), CutSelector{Table: Name{"shop", "orders"}, Why: manifest.Truncated})
	if err != nil {
		t.Fatal(err)
	}
	p := w.plan(Request{To: t.TempDir(), Before: &e, Now: at(60)})
	if _, err := (&Stager{Bucket: w.bucket}).Stage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{}
	expect(want, data(orders, "nb-6-big", 6, 100), "nb-6-big")
	expect(want, data(orders, "nb-7-big", 7, 100), "nb-7-big")
	equal(t, p.To, want)
	if !p.ProvenUntil.Equal(at(31)) || !p.Point.Time.Equal(at(31)) {
		t.Errorf("proven until %s, point of %s", p.ProvenUntil, p.Point.Time)
	}

	p = w.plan(Request{To: t.TempDir(), Tables: []string{"shop.orders"}, Now: at(60)})
	if got := p.Tables[0]; len(got.SSTables) != 1 || got.SSTables[0].Stem != "nb-8-big" || got.Base != "three" {
		t.Errorf("after it: planned %+v", got)
	}
}

// A moment between a TRUNCATE and the scan that noticed it: the point before still has the rows, and the
// plan has not.
func TestCutsAhead(t *testing.T) {
	w := newWorld(t)
	w.full("one", at(0), 0, data(orders, "nb-1-big", 1, 100), data(users, "nb-1-big", 2, 100))
	w.time = at(10)
	w.increment(data(users, "nb-2-big", 3, 100))
	w.time = at(15)
	w.increment(data(users, "nb-4-big", 5, 100)) // the cut waits for a set that comes before it
	w.commit(manifest.Increment, manifest.Body{AsOf: at(15), Roll: &manifest.Roll{From: 1, To: 2}})
	w.cut(manifest.Cut{Why: manifest.Truncated, At: at(11), After: 2})
	w.increment(data(users, "nb-3-big", 4, 100))
	f := func(minute float64, want ...Name) {
		t.Helper()
		s, err := Select(t.Context(), w.reader(), Selector{At: at(minute)})
		if err != nil {
			t.Fatal(err)
		}
		ahead, err := CutsAhead(t.Context(), w.reader(), s, at(minute))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(s, prefix, Request{Now: at(20), Ahead: ahead})
		if err != nil {
			t.Fatal(err)
		}
		var got []Name
		for _, table := range p.Tables {
			got = append(got, table.Source())
		}
		if !slices.Equal(got, want) {
			t.Errorf("at %v: planned %v, want %v", minute, got, want)
		}
	}
	o, u := Name{"shop", "orders"}, Name{"shop", "users"}
	f(10, o, u)
	f(10.9, o, u)
	f(11, u)
	f(14, u)
	f(15, u)
}
