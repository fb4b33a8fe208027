package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/sstash/sstash/internal/restore"
)

// planDoc is what `restore plan --json` prints.
type planDoc struct {
	Plan        string            `json:"plan"` // the file; empty when none was asked for
	Point       pointRef          `json:"point"`
	ProvenUntil stamp             `json:"proven_until"`
	To          string            `json:"to"` // empty: into the running node
	Replay      *replayDoc        `json:"replay"`
	Bytes       int64             `json:"bytes"`
	FetchBytes  int64             `json:"fetch_bytes"`
	Tables      []plannedTable    `json:"tables"`
	Warnings    []restore.Warning `json:"warnings"`
}

// replayDoc is what of the commit log is replayed; null: nothing.
type replayDoc struct {
	From   stamp          `json:"from"`  // what was acknowledged before is in the SSTables
	Until  stamp          `json:"until"` // nothing written later comes back; null: all there is
	Bytes  int64          `json:"bytes"`
	Tables []restore.Name `json:"tables"`
}

type plannedTable struct {
	Keyspace    string `json:"keyspace"`
	Table       string `json:"table"`
	TableID     string `json:"table_id"`
	As          string `json:"as"`   // the table to load into, when it is another one
	Base        string `json:"base"` // tag of the snapshot that the chain begins with
	ProvenUntil stamp  `json:"proven_until"`
	SSTables    int    `json:"sstables"`
	Bytes       int64  `json:"bytes"`
}

func newPlanDoc(p *restore.Plan, file string) planDoc {
	d := planDoc{
		Plan: file, Point: newPointRef(p.Point), ProvenUntil: stamp(p.ProvenUntil), To: p.To,
		Bytes: p.Bytes, FetchBytes: p.FetchBytes, Tables: []plannedTable{}, Warnings: list(p.Warnings),
	}
	if r := p.Replay; r != nil {
		d.Replay = &replayDoc{stamp(r.From), stamp(r.Until), r.Bytes, r.Tables}
	}
	for _, t := range p.Tables {
		row := plannedTable{
			Keyspace: t.Keyspace, Table: t.Name, TableID: t.ID, Base: t.Base, ProvenUntil: stamp(t.ProvenUntil),
			SSTables: len(t.SSTables), Bytes: t.Bytes(),
		}
		if t.As != nil {
			row.As = t.As.String()
		}
		d.Tables = append(d.Tables, row)
	}
	return d
}

func (d planDoc) write(w io.Writer) {
	to := d.To
	if to == "" {
		to = "the running node"
	}
	fmt.Fprintf(w, "point %d (%s), %s, to %s\n", d.Point.Seq, d.Point.Kind, d.Point.Time, to)
	if d.Replay != nil {
		fmt.Fprintf(w, "and from the commit log, %s: writes of %s until %s, replayed by a scratch node on this machine\n",
			size(d.Replay.Bytes), count(len(d.Replay.Tables), "table"), d.ProvenUntil)
	}
	fmt.Fprintf(w, "%s on disk, about %s to fetch\n\n", size(d.Bytes), size(d.FetchBytes))
	fmt.Fprintln(w, "TABLE\tSSTABLES\tBYTES\tPROVEN UNTIL\tBASE")
	for _, t := range d.Tables {
		name := t.Keyspace + "." + t.Table
		if t.As != "" {
			name += " as " + t.As
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", name, t.SSTables, size(t.Bytes), t.ProvenUntil, cmp.Or(t.Base, "-"))
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	if d.Plan != "" {
		fmt.Fprintf(w, "next: sstash restore run %s\n", d.Plan)
	}
}

// restoreDoc is what `restore --json` and `restore run --json` print: restore's report, with times as
// everywhere.
type restoreDoc struct {
	restore.Report
	Point       pointRef          `json:"point"`
	ProvenUntil stamp             `json:"proven_until"`
	Tables      []restoredTable   `json:"tables"`
	PlacedDir   string            `json:"placed_dir"`
	Damaged     []restore.Damage  `json:"damaged"`
	Warnings    []restore.Warning `json:"warnings"`
}

type restoredTable struct {
	restore.TableReport
	ProvenUntil stamp `json:"proven_until"`
}

func newRestoreDoc(r restore.Report) restoreDoc {
	d := restoreDoc{
		Report: r, Point: newPointRef(r.Point), ProvenUntil: stamp(r.ProvenUntil), Tables: []restoredTable{},
		PlacedDir: r.PlacedDir, Damaged: list(r.Damaged), Warnings: list(r.Warnings),
	}
	for _, t := range r.Tables {
		d.Tables = append(d.Tables, restoredTable{t, stamp(t.ProvenUntil)})
	}
	return d
}

func (d restoreDoc) write(w io.Writer) {
	fmt.Fprintln(w, "TABLE\tSSTABLES\tBYTES\tPROVEN UNTIL")
	for _, t := range d.Tables {
		name := t.Keyspace + "." + t.Table
		if t.As != "" {
			name += " as " + t.As
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", name, t.SSTables, size(t.Bytes), t.ProvenUntil)
		if t.Error != "" {
			fmt.Fprintf(w, "not loaded: %s\n", t.Error)
		}
	}
	for _, damage := range d.Damaged {
		fmt.Fprintf(w, "damaged: %s\n", damage)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	fmt.Fprintf(w, "restored point %d, %s, in %.1f s; fetched %s, %s was there already\n",
		d.Point.Seq, d.Point.Time, d.Seconds, size(d.BytesFetched), size(d.BytesKept))
	if d.Mutations > 0 {
		fmt.Fprintf(w, "%s of the commit log replayed, until %s\n", count(d.Mutations, "write"), d.ProvenUntil)
	}
	if d.PlacedDir != "" {
		fmt.Fprintf(w, "in %s\n", d.PlacedDir)
	}
}

func writeVerification(w io.Writer, v restore.Verification) {
	fmt.Fprintln(w, "TABLE\tSSTABLES\tFOUND\tREWRITTEN SINCE")
	for _, t := range v.Tables {
		fmt.Fprintf(w, "%s.%s\t%d\t%d\t%d\n", t.Keyspace, t.Table, t.SSTables, t.Found, t.Rewritten)
	}
	for _, p := range v.Problems {
		fmt.Fprintf(w, "%s: %s\n", p.What, p.Path)
	}
	fmt.Fprintf(w, "%s read and right, %s\n", count(v.Files, "file"), size(v.Bytes))
}
