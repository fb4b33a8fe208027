package restore

import (
	"errors"
	"fmt"
	"time"
)

// ErrRefused is wrapped by every refusal of a guard: nothing was changed, and the text names the
// remedy.
var ErrRefused = errors.New("refused")

// ErrIncomplete: all that could be restored is restored, and the report says what is not.
var ErrIncomplete = errors.New("incomplete")

// Progress is how far a restore has come.
type Progress struct {
	Table   Name  // the one at work
	Bytes   int64 // placed, or found in place
	OfBytes int64
	Fetched int64 // bytes read from the bucket
}

// Report is what a restore did.
type Report struct {
	Point        Point         `json:"point"`
	ProvenUntil  time.Time     `json:"proven_until,omitzero"` // as in Plan
	Tables       []TableReport `json:"tables"`
	BytesFetched int64         `json:"bytes_fetched"`
	Mutations    int           `json:"mutations"`  // replayed from the commit log
	BytesKept    int64         `json:"bytes_kept"` // of files that were in place already
	Seconds      float64       `json:"seconds"`
	PlacedDir    string        `json:"placed_dir,omitempty"`
	Damaged      []Damage      `json:"damaged,omitempty"`
	Warnings     []Warning     `json:"warnings,omitempty"`
}

// TableReport is what became of one table.
type TableReport struct {
	Keyspace    string    `json:"keyspace"`
	Table       string    `json:"table"`
	ID          string    `json:"table_id,omitempty"`
	As          string    `json:"as,omitempty"` // "KS.T", where it was loaded into another
	SSTables    int       `json:"sstables"`     // whole ones that were placed, or loaded
	Bytes       int64     `json:"bytes"`        // of these
	ProvenUntil time.Time `json:"proven_until,omitzero"`
	Damaged     int       `json:"damaged,omitempty"` // SSTables with a file that could not be restored
	// Error is why the table was not loaded, or not all of it.
	Error string `json:"error,omitempty"`
}

// Damage is a file that could not be restored because the backup of it is damaged.
type Damage struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
	ID       string `json:"table_id,omitempty"`
	File     string `json:"file"`   // below the directory of the table
	Object   string `json:"object"` // in the bucket
	What     string `json:"what"`
	// Intact is how many SSTables of the table are not damaged.
	Intact int `json:"intact"`
}

func (d Damage) String() string {
	return fmt.Sprintf("%s.%s: %s: %s: %s; %d SSTables of the table are intact",
		d.Keyspace, d.Table, d.File, d.Object, d.What, d.Intact)
}

// damage says in one line what is damaged.
func (r *Report) damage() string {
	if n := len(r.Damaged); n > 1 {
		return fmt.Sprintf("%d files are damaged in the bucket, the first: %s", n, r.Damaged[0])
	}
	return r.Damaged[0].String()
}

func (p *Plan) newReport() *Report {
	r := &Report{Point: p.Point, ProvenUntil: p.ProvenUntil, PlacedDir: p.To, Warnings: p.Warnings}
	for _, t := range p.Tables {
		tr := TableReport{Keyspace: t.Keyspace, Table: t.Name, ID: t.ID, ProvenUntil: t.ProvenUntil}
		if t.As != nil {
			tr.As = t.As.String()
		}
		r.Tables = append(r.Tables, tr)
	}
	return r
}
