package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/manifest"
)

// pointsDoc is what `points --json` prints: node by node, the newest point last.
type pointsDoc struct {
	Points  []point  `json:"points"`
	Damaged []string `json:"damaged"` // why older points can't be listed
}

// point is one entry of a history that changes what can be restored.
type point struct {
	Time    stamp        `json:"time"` // nothing in it was written later; `restore --at` this finds it, or a newer one of which that holds, too
	Kind    string       `json:"kind"`
	Seq     uint64       `json:"seq"`
	Cluster string       `json:"cluster"`
	HostID  string       `json:"host_id"`
	Tables  []pointTable `json:"tables"`
}

// pointTable is what a point holds of one table.
type pointTable struct {
	Keyspace     string `json:"keyspace"`
	Table        string `json:"table"`
	TableID      string `json:"table_id"`
	ProvenUntil  stamp  `json:"proven_until"`
	Reason       string `json:"reason"`        // why no later; empty where the newest barrier proves it
	LiveBytes    int64  `json:"live_bytes"`    // of its base: what the table held
	RestoreBytes int64  `json:"restore_bytes"` // of its base and all increments since
}

// kind is what a point is to people: an increment may hold no SSTable.
func kind(m *manifest.Manifest) string {
	sstables, _ := m.Size()
	switch {
	case m.Kind != manifest.Increment || sstables > 0:
		return string(m.Kind)
	case len(m.Body.Gaps) > 0:
		return "gap"
	case m.Body.Barrier != nil:
		return "barrier"
	}
	return string(m.Kind)
}

// point describes the newest entry of a state.
func (v *pointsVerb) point(n node, s *manifest.State, m *manifest.Manifest) point {
	p := point{
		Time: pointStamp(restore.Until(m)), Kind: kind(m), Seq: m.Seq,
		Cluster: n.Cluster, HostID: n.HostID, Tables: []pointTable{},
	}
	for _, t := range s.Tables() {
		c := s.Chain(t)
		if !v.named(t) || c.Tag == "" && len(c.SSTables) == 0 {
			continue
		}
		row := pointTable{Keyspace: t.Keyspace, Table: t.Name, TableID: t.ID, ProvenUntil: stamp(c.Proven), Reason: c.Lag}
		for _, st := range c.SSTables {
			row.RestoreBytes += st.Bytes()
			if st.From.Body.Full != nil {
				row.LiveBytes += st.Bytes()
			}
		}
		p.Tables = append(p.Tables, row)
	}
	return p
}

// proven says through when a point's tables are proven: the earliest of those that are.
func (p point) proven() string {
	var first time.Time
	unproven := 0
	for _, t := range p.Tables {
		switch at := time.Time(t.ProvenUntil); {
		case at.IsZero():
			unproven++
		case first.IsZero() || at.Before(first):
			first = at
		}
	}
	if unproven > 0 && !first.IsZero() {
		return fmt.Sprintf("%s (%d of %s: unproven)", stamp(first), unproven, count(len(p.Tables), "table"))
	}
	return stamp(first).String()
}

func (v *pointsVerb) write(w io.Writer, doc pointsDoc, several bool) {
	if !v.at.IsZero() {
		fmt.Fprintf(w, "around %s\n", stamp(v.at))
	}
	heading := "POINT\tTIME\tKIND\tTABLES\tRESTORES\tPROVEN UNTIL"
	if several {
		heading += "\tNODE"
	}
	fmt.Fprintln(w, heading)
	for _, p := range doc.Points {
		var bytes int64
		for _, t := range p.Tables {
			bytes += t.RestoreBytes
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s", p.Seq, p.Time, p.Kind, len(p.Tables), size(bytes), p.proven())
		if several {
			fmt.Fprintf(w, "\t%s", p.HostID)
		}
		fmt.Fprintln(w)
	}
	newest := map[string]point{}
	for _, p := range doc.Points {
		newest[p.HostID] = p
	}
	for _, p := range doc.Points {
		if newest[p.HostID].Seq == p.Seq {
			p.writeLags(w)
		}
	}
}

// writeLags says which tables lag, and why: one line for each reason.
func (p point) writeLags(w io.Writer) {
	var reasons []string
	tables := map[string][]string{}
	for _, t := range p.Tables {
		if t.Reason == "" {
			continue
		}
		if tables[t.Reason] == nil {
			reasons = append(reasons, t.Reason)
		}
		tables[t.Reason] = append(tables[t.Reason], t.Keyspace+"."+t.Table)
	}
	for _, reason := range reasons {
		of := tables[reason]
		if len(of) == len(p.Tables) {
			of = []string{"every table"}
		} else if len(of) > 3 {
			of = append(of[:3:3], fmt.Sprintf("%d more", len(of)-3))
		}
		fmt.Fprintf(w, "point %d: %s: %s\n", p.Seq, strings.Join(of, ", "), reason)
	}
}
