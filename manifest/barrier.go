package manifest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// Barrier says that a flush of every table, which began at At, was seen to succeed; that the database
// had linked what it flushed all the while, as far as could be seen (see State.Compare); and that a
// scan begun thereafter saw no SSTable that is not named by this entry or one before it. So all that
// was acknowledged before At is in the SSTables that the history names, unless a gap comes between
// the base and the barrier.
type Barrier struct {
	At time.Time `json:"at"` // by the node's clock
	// Not are the tables that it does not hold for.
	Not []Hold `json:"not,omitempty"`
}

// Hold is a table that a barrier does not hold for. Without an id it stands for any of that name,
// without a name for all tables of its keyspace.
type Hold struct {
	sstable.Table
	Why string `json:"why"`
}

// why is the reason for which b does not hold for t, empty when it does.
func (b Barrier) why(t sstable.Table) string {
	for _, h := range b.Not {
		switch h.Table {
		case t, sstable.Table{Keyspace: t.Keyspace, Name: t.Name}, sstable.Table{Keyspace: t.Keyspace}:
			return h.Why
		}
	}
	return ""
}

// proofs is what a stretch of a history says of what its increments are complete through.
type proofs struct {
	node     *Node
	barriers []passed
	gaps     []OpenGap // the closed ones, too
}

// passed is a barrier and the entry that states it.
type passed struct {
	Barrier
	seq uint64
}

func (p *proofs) apply(m *Manifest) {
	if m.Body.Node != nil {
		p.node = m.Body.Node
	}
	for _, g := range m.Body.Gaps {
		p.gaps = append(p.gaps, OpenGap{Gap: g, Seq: m.Seq, Noticed: m.Body.AsOf})
	}
	if m.Body.Barrier != nil {
		p.barriers = append(p.barriers, passed{*m.Body.Barrier, m.Seq})
	}
}

// prove sets Proven and Lag of a chain that goes on after that entry and is proven through c.Proven
// by its base. A barrier counts while there is no gap before it (I10).
func (p *proofs) prove(c *Chain, after uint64) {
	if c.Proven.IsZero() {
		c.Lag = "no snapshot that sstash saw succeed is stored"
		return
	}
	gap, open := p.first(c.Table, after)
	seen := false
	for _, b := range p.barriers {
		if b.seq <= after || open && b.seq >= gap.Seq {
			continue
		}
		seen = true
		if c.Lag = b.why(c.Table); c.Lag == "" && b.At.After(c.Proven) {
			c.Proven = b.At
		}
	}
	switch {
	case open:
		c.Lag = gap.String()
	case p.node != nil && p.node.Backups == BackupsOff:
		c.Lag = whyOff
	case !seen && c.Increments > 0:
		c.Lag = "no flush has been proven since its snapshot"
	}
}

// first is the gap that the chain of t meets first, if any.
func (p *proofs) first(t sstable.Table, after uint64) (OpenGap, bool) {
	for _, g := range p.gaps {
		if g.Seq > after && g.concerns(t) {
			return g, true
		}
	}
	return OpenGap{}, false
}

// Created is when t was created, as far as its id tells: up to Cassandra 5.0 a UUID of version 1, which
// is made of the time at which the coordinator created the table. Those of system tables are of another.
func Created(t sstable.Table) (at time.Time, ok bool) {
	b, err := hex.DecodeString(t.ID)
	if err != nil || len(b) != 16 || b[6]>>4 != 1 {
		return time.Time{}, false
	}
	const epoch = 0x01B21DD213814000 // 1970 in units of 100 ns since 1582-10-15 (RFC 9562, 5.1)
	ticks := int64(binary.BigEndian.Uint16(b[6:])&0x0FFF)<<48 | int64(binary.BigEndian.Uint16(b[4:]))<<32 | int64(binary.BigEndian.Uint32(b))
	return time.Unix(0, 0).Add(time.Duration(ticks-epoch) * 100), true
}

// CreatedAfter tells whether t was certainly created after the moment.
func CreatedAfter(t sstable.Table, moment time.Time) bool {
	at, ok := Created(t)
	return ok && at.After(moment)
}

func (m *Manifest) validateProofs() error {
	if b := m.Body.Barrier; b != nil {
		for _, h := range b.Not {
			if h.Name == "" {
				h.Name = "any"
			}
			if err := CheckTable(h.Table); err != nil {
				return fmt.Errorf("barrier: %w", err)
			}
		}
	}
	for _, g := range m.Body.Gaps {
		if g.Table == nil && len(g.Partial) == 0 {
			continue
		}
		if g.Table == nil {
			return corrupt("a gap names SSTables of no table")
		}
		if err := CheckTable(*g.Table); err != nil {
			return fmt.Errorf("gap: %w", err)
		}
		for _, s := range g.Partial {
			if err := m.validateSSTable(s, false); err != nil {
				return fmt.Errorf("gap: %w", err)
			}
		}
	}
	return nil
}
