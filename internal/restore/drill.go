package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/scratch"
)

// Drilled is what a drill found.
type Drilled struct {
	Point        Point          `json:"point"`
	ProvenUntil  time.Time      `json:"proven_until,omitzero"`
	Tables       []DrilledTable `json:"tables"`
	Mutations    int            `json:"mutations"` // replayed from the commit log
	BytesFetched int64          `json:"bytes_fetched"`
	Seconds      float64        `json:"seconds"`
	Damaged      []Damage       `json:"damaged,omitempty"`
}

// DrilledTable is one table that was brought back, and read.
type DrilledTable struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
	ID       string `json:"table_id"`
	SSTables int    `json:"sstables"` // from the packs
	Bytes    int64  `json:"bytes"`    // of these
	Rows     int64  `json:"rows"`
	// Digest is that of cassandra.Conn.Digest. Cells of columns that were dropped count.
	Digest chunker.Hash `json:"digest"`
}

// Drill brings the tables of p back into a scratch node in dir, an absolute path that is ours alone
// (scratch.Runner), and reads every row of them. p is a plan for loading; the node that it is for is not touched. Nothing of it is left.
func (s *Stager) Drill(ctx context.Context, p *Plan, dir string) (Drilled, error) {
	began := time.Now()
	d := Drilled{Point: p.Point, ProvenUntil: p.ProvenUntil, Tables: []DrilledTable{}}
	err := s.drill(ctx, p, dir, &d)
	d.Seconds = time.Since(began).Seconds()
	if err != nil {
		err = fmt.Errorf("drill: %w", err)
	}
	return d, err
}

func (s *Stager) drill(ctx context.Context, p *Plan, dir string, d *Drilled) error {
	if s.Replayer == nil || p.To != "" {
		return fmt.Errorf("%w: a drill is a load into a scratch node", ErrRequest)
	}
	objects, err := p.objects()
	if err != nil {
		return err
	}
	job := scratch.Job{Objects: objects}
	for _, t := range p.Tables {
		if !t.View { // views come with their tables
			job.Tables = append(job.Tables, cassandra.TableName{Keyspace: t.Keyspace, Name: t.Name})
		}
	}
	job.Fill = func(ctx context.Context, data, log string) error {
		placed := *p
		placed.To, placed.Replay = data, nil
		report, err := s.Stage(ctx, &placed)
		d.BytesFetched, d.Damaged = report.BytesFetched, report.Damaged
		if err != nil || p.Replay == nil {
			return err
		}
		d.BytesFetched += p.Replay.Bytes
		return s.Replayer.Log.Fetch(ctx, p.Replay.From, p.Replay.To, log)
	}
	job.Look = func(ctx context.Context, conn *cassandra.Conn) error {
		for _, t := range p.Tables {
			rows, digest, err := conn.Digest(ctx, t.Keyspace, t.Name)
			if err != nil {
				return err
			}
			d.Tables = append(d.Tables, DrilledTable{t.Keyspace, t.Name, t.ID, len(t.SSTables), t.Bytes(), rows, digest})
		}
		return nil
	}
	if p.Replay != nil {
		job.Until = p.Replay.Until
	}
	result, err := scratch.Runner{Command: s.Replayer.Command, YAML: s.Replayer.YAML, Dir: dir}.Run(ctx, job)
	if err != nil {
		return err
	}
	d.Mutations = result.Mutations
	return result.Close()
}
