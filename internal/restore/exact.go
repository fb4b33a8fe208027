package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// Log is what the bucket holds of the node's commit log: *commitlog.Log.
type Log interface {
	// Covers: everything acknowledged in [from, to) is there; else the error says what is missing.
	Covers(from, to time.Time) error
	Until() time.Time // the newest moment that is covered; zero when none is
	// Reach is how far the log goes on behind what Covers says is there, without a hole; else zero.
	Reach(from, to time.Time) time.Time
	Size(ctx context.Context, from, to time.Time) (int64, error)
	Begins(ctx context.Context, from, to time.Time) (time.Time, error) // nothing that Fetch writes is older
	Fetch(ctx context.Context, from, to time.Time, dir string) error
}

// Replay is what a plan adds to SSTables from the commit log, so that tables are as they were at a
// moment and not at a flush before it.
type Replay struct {
	// From is the earliest moment through which one of the Tables is proven without the log.
	From time.Time `json:"from"`
	// Until, to the microsecond: nothing that was written later comes back. Zero: all there is does.
	Until time.Time `json:"until,omitzero"`
	// To is how far the log is read: a write is acknowledged, and logged, after it got its timestamp.
	To     time.Time `json:"to"`
	Tables []Name    `json:"tables"`
	Bytes  int64     `json:"bytes"` // to fetch
	// Segments: the log is placed beside the files, for the database that starts on them to replay.
	Segments bool `json:"segments,omitempty"`
}

// SamePoint tells whether two plans are for the same moment, however close they come to it.
func (p *Plan) SamePoint(other *Plan) bool {
	return p.Point == other.Point && (p.Replay == nil) == (other.Replay == nil) &&
		(p.Replay == nil || p.Replay.Until.Equal(other.Replay.Until))
}

// lateness is how long after its timestamp a write may get into the log.
const lateness = 5 * time.Second

// Exact is what can make a plan exact.
type Exact struct {
	Log Log
	// At is the moment; zero: as late as the log goes.
	At time.Time
	// Cuts are the newest cuts of tables: those since the moment, and maybe earlier ones. The log holds
	// what they removed like anything else.
	Cuts func(ctx context.Context, since time.Time) (map[sstable.Table]time.Time, error)
	// Segments is as in Replay.
	Segments bool
	// Cannot is why nothing can be replayed here; nil when it can.
	Cannot error
}

// Refine adds to p what the log has between the SSTables and the moment, for every table that is
// proven up to where the log begins. For others the plan stays as it was, at the flush before, and
// says why. The tables of system keyspaces stay so too. p was built with the schema of a moment that is
// not before At (Request.Later).
func (p *Plan) Refine(ctx context.Context, x Exact) error {
	until := x.At
	if until.IsZero() {
		if until = x.Log.Until(); until.IsZero() {
			return nil
		}
	}
	r := Replay{Until: x.At, To: p.logTo(until, x.Log), Segments: x.Segments}
	cuts, err := p.cutsIn(ctx, r.To, x)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	var exact []int
	for i, t := range p.Tables {
		if sstable.IsSystemKeyspace(t.Keyspace) || !t.ProvenUntil.IsZero() && !until.After(t.ProvenUntil) {
			continue // the log has nothing new of it
		}
		why := inexact(t, until, x)
		if cut, ok := cuts[t.Table()]; ok && why == "" {
			why = fmt.Sprintf("it was truncated or dropped at %s, and the log holds what that removed", moment(cut))
		}
		if why != "" {
			p.warnInexact(t.Source(), until, why)
			continue
		}
		if len(exact) == 0 || t.ProvenUntil.Before(r.From) {
			r.From = t.ProvenUntil
		}
		exact = append(exact, i)
		r.Tables = append(r.Tables, t.Source())
	}
	if len(exact) == 0 {
		return nil
	}
	r.Bytes, err = x.Log.Size(ctx, r.From, r.To)
	if errors.Is(err, commitlog.ErrDamaged) {
		for _, t := range r.Tables {
			p.warnInexact(t, until, err.Error())
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	for _, i := range exact {
		p.Tables[i].ProvenUntil = until
		p.warnLater(p.Tables[i], x.At)
	}
	p.proven()
	p.Replay = &r
	p.FetchBytes += r.Bytes
	if err := p.validate(); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

// logTo is how far the log is to be read for a moment: not over a hole behind it.
func (p *Plan) logTo(until time.Time, log Log) time.Time {
	to := until
	for _, t := range p.Tables {
		if t.ProvenUntil.IsZero() || !until.After(t.ProvenUntil) {
			continue
		}
		if end := log.Reach(t.ProvenUntil, until); end.After(to) {
			to = until.Add(min(end.Sub(until), lateness))
		}
	}
	return to
}

// cutsIn are the cuts that lie in what would be read of the log.
func (p *Plan) cutsIn(ctx context.Context, to time.Time, x Exact) (map[sstable.Table]time.Time, error) {
	var from time.Time
	for _, t := range p.Tables {
		if !t.ProvenUntil.IsZero() && x.Log.Covers(t.ProvenUntil, to) == nil && (from.IsZero() || t.ProvenUntil.Before(from)) {
			from = t.ProvenUntil
		}
	}
	if from.IsZero() || x.Cuts == nil {
		return nil, nil
	}
	begins, err := x.Log.Begins(ctx, from, to)
	if errors.Is(err, commitlog.ErrDamaged) {
		return nil, nil // so says its size
	}
	if err != nil {
		return nil, err
	}
	cuts, err := x.Cuts(ctx, begins)
	maps.DeleteFunc(cuts, func(_ sstable.Table, cut time.Time) bool { return cut.Before(begins) })
	return cuts, err
}

// inexact is why a table can't be had as of a moment; empty when it can.
func inexact(t Table, until time.Time, x Exact) string {
	switch {
	case t.ID == "":
		return "its id is not known"
	case t.ProvenUntil.IsZero():
		return "nothing proves what is in its SSTables"
	case x.Cannot != nil && !x.Segments:
		return x.Cannot.Error()
	}
	if err := x.Log.Covers(t.ProvenUntil, until); err != nil {
		return err.Error()
	}
	return ""
}

func (p *Plan) warnInexact(t Name, until time.Time, why string) {
	p.warn(WarnInexact, t, "restored not as of %s but as of what was flushed by %s: %s", moment(until), moment(p.Point.Time), why)
}

// warnLater: a flush holds what claims to be later like anything else.
func (p *Plan) warnLater(t Table, at time.Time) {
	if at.IsZero() {
		return
	}
	for _, s := range t.SSTables {
		if s.MaxTimestamp > at.UnixMicro() {
			p.warn(WarnFuture, t.Source(), "clients gave some of its rows timestamps later than the moment: what was flushed of these comes back, "+
				"what was only in the log does not")
			return
		}
	}
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// SchemaAt is the newest schema that was recorded up to the first entry behind s that describes a
// later moment than at, nil when none was: tables as they were at that moment, and what became of them
// until somebody looked. at zero: the newest.
func SchemaAt(ctx context.Context, r *history.Reader, s *manifest.State, at time.Time) (*manifest.Schema, error) {
	seqs, err := entries(ctx, r)
	if err != nil {
		return nil, err
	}
	var found *manifest.Schema
	for _, seq := range seqs {
		if seq <= s.Seq() {
			continue
		}
		m, err := r.Manifest(ctx, seq)
		if err != nil {
			return nil, err
		}
		if m.Body.Schema != nil {
			found = m.Body.Schema
		}
		if !at.IsZero() && m.Kind != manifest.Open && m.Body.AsOf.After(at) {
			break
		}
	}
	return found, nil
}

var dropPattern = regexp.MustCompile(`(?is)^\s*ALTER\s+(TABLE|MATERIALIZED\s+VIEW)\s.*\sDROP\s`)

// mergeSchemas is a schema for what was between two: every table of either, with the columns that it
// had in between. A column that was dropped on the way is there, since it was at some moment.
func mergeSchemas(earlier, later []string) ([]string, error) {
	before, err := cassandra.ParseSchema(script(earlier))
	if err != nil {
		return nil, err
	}
	after, err := cassandra.ParseSchema(script(later))
	if err != nil {
		return nil, err
	}
	type key struct {
		kind           cassandra.Kind
		keyspace, name string
	}
	at := map[key]int{}
	for i, o := range after {
		at[key{o.Kind, o.Keyspace, o.Name}] = i
	}
	for _, o := range before {
		i, ok := at[key{o.Kind, o.Keyspace, o.Name}]
		switch {
		case !ok:
			after = append(after, o)
		case isTableObject(o) && after[i].ID != o.ID:
			after[i] = o
		case isTableObject(o):
			after[i].Statements = slices.DeleteFunc(after[i].Statements, func(s string) bool {
				return dropPattern.MatchString(s) && !slices.Contains(o.Statements, s)
			})
		}
	}
	var merged []string
	for _, o := range after {
		merged = append(merged, o.Statements...)
	}
	return merged, nil
}
