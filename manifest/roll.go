package manifest

import (
	"fmt"
	"slices"
	"sort"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

// Roll restates a stretch of the history in one entry, so that a reader fetches that instead of each of
// them. What it restates stays as it is, and says the same. To a reader that doesn't know rolls it is an
// increment that holds nothing.
type Roll struct {
	From uint64 `json:"from"` // the first entry of the stretch
	To   uint64 `json:"to"`   // the last one
	// Entries are those of the stretch but for fulls and others that are large, which are read one by one.
	Entries []Rolled `json:"entries"`
	// Before are the rolls before this one that the newest state still needs, oldest first.
	Before []Span `json:"before,omitempty"`
}

// Rolled is one entry as a roll restates it.
type Rolled struct {
	Header Header `json:"header"` // without Keeps
	// Keeps are the entry's, as indexes into those of the roll, which keeps alive what they keep.
	Keeps []int        `json:"keeps,omitempty"`
	Body  Body         `json:"body"`
	Sum   chunker.Hash `json:"sum"`
}

// Span says which entries the roll with number Seq restates.
type Span struct {
	Seq  uint64 `json:"seq"`
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// NextRoll says what the next roll should be: of the stretch from..to, which is at most so many entries
// long, it restates entries that take about maxBytes of JSON together. Fulls, and entries that take more
// than a 16th of that, are not among them: each is worth a GET of its own, and counts as a 16th, for who
// reads the stretch holds it. So a stretch is shorter than most, and than what there is, only from 16
// entries on: there are far fewer rolls than entries.
func (s *State) NextRoll(most uint64, maxBytes int) (from, to uint64, entries []uint64) {
	from = s.Unrolled()
	to = from - 1
	at := sort.Search(len(s.scans), func(i int) bool { return s.scans[i].seq >= from })
	large := maxBytes / 16
	for left := maxBytes; to < s.Seq() && to+1-from < most; to++ {
		var sc scan // none of an open
		if at < len(s.scans) && s.scans[at].seq == to+1 {
			sc = s.scans[at]
			at++
		}
		if left -= min(sc.weight, large); left < 0 {
			break
		}
		if sc.kind != Full && sc.weight <= large {
			entries = append(entries, to+1)
		}
	}
	return from, to, entries
}

// weight is about how many bytes the body takes as JSON, known without making it. A roll counts as
// nothing, for another one does not restate what it holds.
func (m *Manifest) weight() (n int) {
	const table, set, component = 200, 350, 180 // as measured
	for _, t := range m.Body.Tables {
		n += table
		for _, x := range slices.Concat(t.SSTables, t.Superseded) {
			n += set + len(x.Components)*component
		}
	}
	if m.Body.Schema != nil {
		for _, cql := range m.Body.Schema.Statements {
			n += len(cql)
		}
	}
	return n
}

// NewRoll makes the body and the pack sets of a roll of the stretch from..to, which restates entries.
// AsOf and Pending are those of the last scan before the roll, which has none of its own.
func (s *State) NewRoll(from, to uint64, entries []*Manifest, before []Span) (Body, []Keep) {
	r := &Roll{From: from, To: to, Before: before}
	body := Body{Roll: r}
	if n := len(s.scans); n > 0 {
		body.AsOf, body.Pending = s.scans[n-1].asOf, s.scans[n-1].pending
	}
	var keeps []Keep
	at := map[pack.SetID]int{}
	for _, m := range entries {
		e := Rolled{Header: m.Header, Body: m.Body, Sum: m.Sum}
		e.Header.Keeps = nil
		if m.Body.Roll != nil {
			e.Body.Roll = nil // another roll: it holds nothing itself
			r.Entries = append(r.Entries, e)
			continue
		}
		for _, k := range m.Keeps {
			i, ok := at[k.Set]
			if !ok {
				i = len(keeps)
				at[k.Set] = i
				keeps = append(keeps, k)
			}
			e.Keeps = append(e.Keeps, i)
		}
		r.Entries = append(r.Entries, e)
	}
	return body, keeps
}

// Unroll returns the entries that the roll m restates, in order, as they were decoded.
func (m *Manifest) Unroll() []*Manifest {
	if m.Body.Roll == nil {
		return nil
	}
	all := make([]*Manifest, len(m.Body.Roll.Entries))
	for i, e := range m.Body.Roll.Entries {
		all[i] = &Manifest{Header: e.Header, Body: e.Body, Sum: e.Sum}
		for _, k := range e.Keeps {
			all[i].Keeps = append(all[i].Keeps, m.Keeps[k])
		}
	}
	return all
}

// Rolls are the rolls of the stretch, oldest first.
func (s *State) Rolls() []Span { return s.rolls }

// Unrolled is the first entry that is needed and that no roll restates.
func (s *State) Unrolled() uint64 {
	from := s.Base()
	if n := len(s.rolls); n > 0 {
		from = max(from, s.rolls[n-1].To+1)
	}
	return from
}

func (s *State) applyRoll(m *Manifest) {
	if r := m.Body.Roll; r != nil {
		s.rolls = append(slices.Clone(r.Before), Span{m.Seq, r.From, r.To})
	}
}

// maxSpan bounds what a hostile span makes a reader allocate: entries in one roll.
const maxSpan = 1 << 16

func (m *Manifest) validateRoll() error {
	r := m.Body.Roll
	if r == nil {
		return nil
	}
	if m.Kind != Increment {
		return corrupt("a roll in an entry of kind %q", m.Kind)
	}
	for _, s := range append(slices.Clone(r.Before), Span{m.Seq, r.From, r.To}) {
		if s.From == 0 || s.To < s.From || s.To >= s.Seq || s.To-s.From >= maxSpan {
			return corrupt("a roll of entries %d to %d", s.From, s.To)
		}
	}
	last := r.From - 1
	for _, e := range r.Entries {
		if e.Header.Seq <= last || e.Header.Seq > r.To || e.Body.Roll != nil || len(e.Header.Keeps) > 0 {
			return corrupt("entry %d in a roll of %d to %d", e.Header.Seq, r.From, r.To)
		}
		last = e.Header.Seq
		for _, k := range e.Keeps {
			if k < 0 || k >= len(m.Keeps) {
				return corrupt("entry %d in a roll keeps pack set %d of %d", e.Header.Seq, k, len(m.Keeps))
			}
		}
	}
	for _, x := range m.Unroll() {
		if err := x.validate(); err != nil {
			return fmt.Errorf("entry %d in a roll: %w", x.Seq, err)
		}
	}
	return nil
}
