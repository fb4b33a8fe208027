package restore

import (
	"errors"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
)

// entry commits an entry that says nothing but when it was made.
func (w *world) entry(kind manifest.Kind, asOf, committed time.Time) {
	w.t.Helper()
	w.time = committed
	body := manifest.Body{AsOf: asOf}
	if kind == manifest.Full {
		body.Full = &manifest.FullPart{Tag: "t", Began: asOf, After: w.seq}
	}
	w.commit(kind, body)
}

func TestSelect(t *testing.T) {
	w := newWorld(t)
	f := func(sel Selector, want uint64) {
		t.Helper()
		s, err := Select(t.Context(), w.reader(), sel)
		if err != nil {
			t.Errorf("%+v: %v", sel, err)
		} else if s.Seq() != want {
			t.Errorf("%+v: point %d, want %d", sel, s.Seq(), want)
		}
	}
	fail := func(sel Selector, want error) {
		t.Helper()
		if _, err := Select(t.Context(), w.reader(), sel); !errors.Is(err, want) {
			t.Errorf("%+v: %v, want %v", sel, err, want)
		}
	}
	fail(Selector{}, history.ErrEmpty)

	w.entry(manifest.Open, at(0), at(0))
	w.entry(manifest.Full, at(1), at(4))
	w.entry(manifest.Increment, at(10), at(10.1))
	w.entry(manifest.Increment, at(20), at(50)) // the bucket was away
	w.entry(manifest.Increment, at(50), at(51))
	w.entry(manifest.Full, at(45), at(52)) // began before the scan that was committed first
	w.entry(manifest.Open, at(80), at(80))
	w.entry(manifest.Increment, at(70), at(81)) // of a copied tree

	f(Selector{}, 8)
	f(Selector{Seq: 3}, 3)
	fail(Selector{Seq: 9}, ErrNoPoint)
	fail(Selector{At: at(-1)}, ErrNoPoint)
	f(Selector{At: at(0)}, 1)
	f(Selector{At: at(1)}, 2) // nothing in the full is later
	f(Selector{At: at(9)}, 2)
	f(Selector{At: at(10)}, 3)
	f(Selector{At: at(19)}, 3)
	f(Selector{At: at(20)}, 4) // though committed at 50
	f(Selector{At: at(47)}, 4) // not the full of 45: entry 5, which it follows, is of 50
	f(Selector{At: at(50)}, 6)
	f(Selector{At: at(69)}, 6) // the open is of 80
	f(Selector{At: at(70)}, 8) // and holds nothing
	f(Selector{At: at(1000)}, 8)
}

// Whatever the clocks did, a point holds no entry that is later than the moment asked for, and the
// next entry is.
func TestI10_SelectNeverLater(t *testing.T) {
	w := newWorld(t)
	for i, m := range []struct{ asOf, committed float64 }{
		{0, 0}, {5, 6}, {7, 40}, {41, 41}, {90, 42}, {30, 43}, {31, 31}, {32, 33}, {60, 61}, {61, 62},
	} {
		kind := manifest.Increment
		if i%4 == 1 {
			kind = manifest.Full
		}
		w.entry(kind, at(m.asOf), at(m.committed))
	}
	for minute := range 100 {
		moment := at(float64(minute))
		s, err := Select(t.Context(), w.reader(), Selector{At: moment})
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= s.Seq(); seq++ {
			m, err := w.reader().Manifest(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			if isLater(m, moment) {
				t.Errorf("at %s: point %d holds entry %d, which is of %s", moment, s.Seq(), seq, Until(m))
			}
		}
	}
}

func TestUntil(t *testing.T) {
	f := func(kind manifest.Kind, timestamps []time.Time, want time.Time) {
		t.Helper()
		m := &manifest.Manifest{Header: manifest.Header{Kind: kind, Time: at(60)}, Body: manifest.Body{AsOf: at(10)}}
		var all []manifest.SSTable
		for _, ts := range timestamps {
			all = append(all, manifest.SSTable{Facts: manifest.Facts{MaxTimestamp: ts.UnixMicro()}})
		}
		m.Body.Tables = []manifest.Table{{SSTables: all}}
		if got := Until(m); !got.Equal(want) {
			t.Errorf("%s %v: %s, want %s", kind, timestamps, got, want)
		}
	}
	f(manifest.Increment, []time.Time{at(11)}, at(10)) // a scan has seen it: it was written before, whatever the client says
	f(manifest.Full, nil, at(10))
	f(manifest.Full, []time.Time{at(9), at(8)}, at(10))
	f(manifest.Full, []time.Time{at(9), at(12), at(11)}, at(12)) // written while the snapshot was taken
	f(manifest.Full, []time.Time{at(600)}, at(10))               // a client whose clock is wrong
	f(manifest.Full, []time.Time{time.UnixMicro(0)}, at(10))
}

// What was collected leaves holes; what is left can be restored.
func TestSelectAcrossHoles(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.entry(manifest.Increment, at(float64(i)), at(float64(i)))
	}
	for _, seq := range []uint64{1, 2, 5, 6} {
		if err := w.bucket.Delete(t.Context(), history.Name(prefix, seq)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Select(t.Context(), w.reader(), Selector{At: at(4)}); !errors.Is(err, history.ErrDamaged) {
		t.Errorf("a chain with a hole: %v, want %v", err, history.ErrDamaged)
	}
	if _, err := Select(t.Context(), w.reader(), Selector{At: at(1)}); !errors.Is(err, ErrNoPoint) {
		t.Errorf("collected: %v, want %v", err, ErrNoPoint)
	}
}
