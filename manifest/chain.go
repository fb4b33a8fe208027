package manifest

import (
	"cmp"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// Chain is what restores one table at one entry of the history.
type Chain struct {
	Table sstable.Table
	// Tag, Began and BaseSeq describe the base; Tag is empty when the table has none. Then nothing is
	// proven, unless the chain begins with a Cut.
	Tag     string
	Began   time.Time
	BaseSeq uint64
	// SchemaCQL is the base's or, where the base came with none, that of the newest snapshot that did.
	SchemaCQL string
	Cut       *Ending
	// SSTables are the base's and then the increments', each content once.
	SSTables   []Stored
	Increments int
	// Proven: everything acknowledged before it is in SSTables. Zero: not known.
	Proven time.Time
	// Lag is why Proven is not what the newest barrier proves; empty when it is.
	Lag string
}

// Chain builds the chain of t at the newest entry. The newest base is the one whose chain goes on
// after the newest entry: the order of snapshots, whenever they were stored.
func (s *State) Chain(t sstable.Table) Chain {
	c := Chain{Table: t}
	h := s.tables[t]
	if h == nil {
		h = &history{} // it may be so new that nothing of it is stored
	}
	var after, noticed uint64
	var all []Stored
	newest := h.newest()
	switch {
	case newest != nil:
		after, noticed, c.Cut = newest.after(), newest.full.After, newest.ending
		cut := h.cutBefore(newest)
		if cut != nil && cut.seq > after {
			after, all = cut.seq, append(all, cut.sstables...)
		}
		all = append(all, h.beside(newest, cut)...)
		c.Tag, c.Began, c.BaseSeq, c.SchemaCQL = newest.full.Tag, newest.full.Began, newest.seq, newest.cql
		c.Proven = newest.proven
		all = append(all, newest.sstables...)
	case s.whole.All && CreatedAfter(t, s.whole.Began):
		after, noticed, c.Proven = s.whole.After, s.whole.After, s.whole.Began // it began empty
	}
	for _, st := range h.increments {
		if st.From.Seq > after {
			all = append(all, st)
			c.Increments++
		}
	}
	c.SSTables = unique(all)
	c.SchemaCQL = cmp.Or(c.SchemaCQL, h.cql())
	s.proofs.prove(&c, noticed)
	return c
}

// newest is the base that the newest chain begins with, nil when there is none.
func (h *history) newest() (newest *base) {
	for _, b := range h.bases {
		if b.complete && b.final == "" && (newest == nil || b.newer(newest)) {
			newest = b
		}
	}
	return newest
}

// beside holds what bases have that go on after the same entry as the newest one. Which of their
// snapshots was the later one only a clock tells, and links may have been unlinked for any of them.
func (h *history) beside(newest, cut *base) (all []Stored) {
	for _, b := range h.bases {
		if b != newest && b.complete && b.final == "" && b.ending == nil && newest.ending == nil &&
			b.full.After == newest.full.After && (cut == nil || b.newer(cut)) {
			all = append(all, b.sstables...)
		}
	}
	return all
}

// cql is that of the newest snapshot that came with a schema.cql: whole or not, of a cut or not.
func (h *history) cql() string {
	newest := &base{}
	for _, b := range h.bases {
		if b.cql != "" && b.newer(newest) {
			newest = b
		}
	}
	return newest.cql
}

func (b *base) newer(than *base) bool {
	return cmp.Or(cmp.Compare(b.full.After, than.full.After), b.full.Began.Compare(than.full.Began),
		cmp.Compare(b.seq, than.seq)) > 0
}

// unique keeps the newest entry of each SSTable. The same name with another content is another
// SSTable (I9); the same content with other metadata components (a repaired Statistics.db) is the
// same one, as of later.
func unique(all []Stored) []Stored {
	at := map[identity]int{}
	var out []Stored
	for _, st := range all {
		id := st.identity()
		if i, ok := at[id]; !ok {
			at[id] = len(out)
			out = append(out, st)
		} else if st.From.Seq >= out[i].From.Seq {
			out[i] = st
		}
	}
	return out
}
