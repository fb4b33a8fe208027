package manifest

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

// rolled is a roll of an increment, a full and a cut, and those as they are decoded.
func rolled(t *testing.T) (*Manifest, []*Manifest) {
	t.Helper()
	var entries []*Manifest
	for i, kind := range []Kind{Increment, Full, KindCut} {
		m := example()
		m.Seq, m.Kind, m.Keeps[0].Set = uint64(i+3), kind, pack.SetID{byte(i / 2)} // the first two share one
		if kind != Full {
			m.Body.Full, m.Body.Tables[0].Base = nil, nil
		}
		if kind == KindCut {
			m.Body.Tables[0].Cut = &Cut{Why: Dropped, At: cutAt(1), After: 2}
		}
		object, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = Decode(object); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, m)
	}
	r := example()
	r.Seq, r.Kind = 6, Increment
	s := NewStateAfter(2)
	for _, m := range entries {
		s.scans = append(s.scans, scan{m.Seq, m.Kind, m.Body.AsOf, m.Body.Pending, m.weight()})
	}
	r.Body, r.Keeps = s.NewRoll(3, 5, []*Manifest{entries[0], entries[2]}, []Span{{Seq: 2, From: 1, To: 1}})
	return r, entries
}

func TestNextRoll(t *testing.T) {
	f := func(weights string, from, to uint64, want ...uint64) {
		t.Helper()
		s := NewState()
		for i, c := range weights {
			seq := uint64(i + 1)
			s.newest = &Manifest{Header: Header{Seq: seq}}
			switch c {
			case 'o': // an open leaves no scan
			case 'f':
				s.scans = append(s.scans, scan{seq: seq, kind: Full, weight: 1})
			default:
				s.scans = append(s.scans, scan{seq: seq, kind: Increment, weight: int(c - '0')})
			}
		}
		s.rolls = []Span{{Seq: 3, From: 1, To: 1}}
		if f, n, got := s.NextRoll(20, 32); f != from || n != to || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v of %d to %d, want %v of %d to %d", weights, got, f, n, want, from, to)
		}
	}
	f("000", 2, 3, 2, 3)
	f("0o1f2o", 2, 6, 2, 3, 5, 6)
	f("03f3", 2, 4) // large ones are left out
	f("0000000000000000000000000", 2, 21, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
	f("03333333333333333333", 2, 17) // and end a roll as well
	f("02222222222222222232", 2, 17, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
}

// What an entry is taken to weigh is about what it does.
func TestWeight(t *testing.T) {
	m := example()
	m.Body.Full = nil
	for range 10 {
		m.Body.Tables[0].SSTables = append(m.Body.Tables[0].SSTables, m.Body.Tables[0].SSTables[0])
	}
	body, err := json.Marshal(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := m.weight(); n < len(body)/2 || n > 2*len(body) {
		t.Errorf("%d, and it takes %d bytes", n, len(body))
	}
}

func TestRoll(t *testing.T) {
	m, entries := rolled(t)
	object, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(object)
	if err != nil {
		t.Fatal(err)
	}
	got, want := back.Unroll(), []*Manifest{entries[0], entries[2]}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(back.Keeps) != 2 || back.Kind != Increment || len(back.Body.Tables) != 0 || !back.Body.AsOf.Equal(entries[2].Body.AsOf) {
		t.Errorf("to who doesn't know rolls it is %+v", back)
	}
	if e := entries[0]; e.Unroll() != nil {
		t.Error("an increment restates something")
	}
}

func TestHostileRollsAreRefused(t *testing.T) {
	f := func(what string, want error, change func(*Roll)) {
		t.Helper()
		m, _ := rolled(t)
		m.Format = Format
		change(m.Body.Roll)
		if _, err := Decode(raw(t, m)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("none", nil, func(*Roll) {})
	f("of itself", chunker.ErrCorrupt, func(r *Roll) { r.To = 6 })
	f("of nothing", chunker.ErrCorrupt, func(r *Roll) { r.From = 6 })
	f("out of order", chunker.ErrCorrupt, func(r *Roll) { r.Entries[1].Header.Seq = 3 })
	f("beyond its end", chunker.ErrCorrupt, func(r *Roll) { r.Entries[1].Header.Seq = 7 })
	f("a set that is not there", chunker.ErrCorrupt, func(r *Roll) { r.Entries[0].Keeps[0] = 2 })
	f("a roll in a roll", chunker.ErrCorrupt, func(r *Roll) { r.Entries[0].Body.Roll = &Roll{} })
	f("a hostile name", chunker.ErrCorrupt, func(r *Roll) { r.Entries[0].Body.Tables[0].SSTables[0].Stem = "../x" })
	f("an entry that must be understood", ErrNewer, func(r *Roll) { r.Entries[0].Header.Critical = []string{"merge"} })
	f("all there could ever be", chunker.ErrCorrupt, func(r *Roll) { r.Before[0].To = 1 << 40 })
	f("before its beginning", chunker.ErrCorrupt, func(r *Roll) { r.Before[0].From = 2 })
	f("an unknown kind", ErrNewer, func(r *Roll) { r.Entries[0].Header.Kind = "merge" })
}
