package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// PlanFormat is the newest plan format that this package reads, and the one that it writes.
const PlanFormat = 1

// ErrBadPlan is returned for a plan that can't be carried out as it is: damaged, of a later version,
// or made by somebody who meant harm.
var ErrBadPlan = errors.New("not a usable plan")

// Plan is what a restore will do, decided before anything is touched: data, to be printed, kept in a
// file, tested. It holds all that is needed beside the packs; the history is not read again.
type Plan struct {
	Format int    `json:"format"`
	Prefix string `json:"prefix"` // of the node whose history it is: "<cluster>/<host-id>/"
	Point  Point  `json:"point"`
	// ProvenUntil is the earliest of the tables'; zero when one of them proves nothing.
	ProvenUntil time.Time `json:"proven_until,omitzero"`
	// Source is what the node said of itself, nil where no entry at hand says.
	Source *manifest.Node `json:"source,omitempty"`
	// To is the absolute path of the directory to restore to. Empty: load into a running node.
	To         string    `json:"to,omitempty"`
	Whole      bool      `json:"whole,omitempty"` // no table was named: a load replays the whole schema
	Bytes      int64     `json:"bytes"`           // of all files
	FetchBytes int64     `json:"fetch_bytes"`     // of their frames in the bucket: exact for whole pack sets, else in proportion
	Warnings   []Warning `json:"warnings,omitempty"`
	// Schema is the CQL as of the point, in an order that replays; empty where none was recorded.
	Schema []string `json:"schema,omitempty"`
	// Replay is what comes from the commit log; nil: nothing.
	Replay *Replay `json:"replay,omitempty"`
	Sets   []Set   `json:"sets,omitempty"`
	Tables []Table `json:"tables"` // in the order in which they are restored: views come last
}

// Point is the entry of the history that is restored.
type Point struct {
	Seq  uint64        `json:"seq"`
	Kind manifest.Kind `json:"kind"`
	Time time.Time     `json:"time"` // nothing in it was written later (Until)
}

// Set is a pack set.
type Set struct {
	ID    pack.SetID `json:"id"`
	Packs uint32     `json:"packs"`
}

// Table is one table to be restored.
type Table struct {
	Keyspace string `json:"keyspace"`
	Name     string `json:"table"`
	ID       string `json:"table_id,omitempty"` // as in sstable.Table
	// As is the table to load into, when it is another one.
	As   *Name `json:"as,omitempty"`
	View bool  `json:"view,omitempty"` // a materialized view
	// Base is what the chain begins with: the tag of a snapshot, or the TRUNCATE or DROP since which the
	// table was empty; empty when there is neither.
	Base        string    `json:"base,omitempty"`
	ProvenUntil time.Time `json:"proven_until,omitzero"`
	SchemaCQL   string    `json:"schema_cql,omitempty"` // Cassandra's schema.cql of this table alone
	SSTables    []SSTable `json:"sstables,omitempty"`
}

// Name names a table whatever its id.
type Name struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
}

func (n Name) String() string { return n.Keyspace + "." + n.Table }

// SSTable is one SSTable to be placed.
type SSTable struct {
	Index        string `json:"index,omitempty"` // ".name": the directory of a table-backed index
	Stem         string `json:"stem"`            // what its files' names will begin with
	Was          string `json:"was,omitempty"`   // the stem on the source, where Stem is a fresh one
	Partitioner  string `json:"partitioner,omitempty"`
	MaxTimestamp int64  `json:"max_timestamp,omitempty"` // microseconds, as clients set them
	Files        []File `json:"files"`
}

// File is one component, and where its frames are.
type File struct {
	Name string       `json:"name"` // "Data.db"
	Size int64        `json:"size"`
	Hash chunker.Hash `json:"hash"` // of the whole file
	Set  int          `json:"set"`  // index into Plan.Sets
	List pack.ListRef `json:"list"` // where its frame list is
}

// Table is the table as the source names it.
func (t Table) Table() sstable.Table {
	return sstable.Table{Keyspace: t.Keyspace, Name: t.Name, ID: t.ID}
}

// Source is the name that the table has in the history.
func (t Table) Source() Name { return Name{t.Keyspace, t.Name} }

// Target is the name that the table will have in the node.
func (t Table) Target() Name {
	if t.As != nil {
		return *t.As
	}
	return t.Source()
}

// Dir is the table's directory below the directory restored to.
func (t Table) Dir() string { return path.Join(t.Keyspace, t.Table().Dir()) }

// Bytes is the size of all files.
func (t Table) Bytes() (n int64) {
	for _, s := range t.SSTables {
		n += s.Bytes()
	}
	return n
}

// Bytes is the size of all files.
func (s SSTable) Bytes() (n int64) {
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}

// Path is where a component goes, below the directory of the table.
func (s SSTable) Path(component string) string {
	return path.Join(s.Index, s.Stem+"-"+component)
}

// File finds a component.
func (s SSTable) File(component string) (File, bool) {
	for _, f := range s.Files {
		if f.Name == component {
			return f, true
		}
	}
	return File{}, false
}

// Encode writes p as a plan file: one line of JSON, since a node may have 20,000 SSTables.
func (p *Plan) Encode() ([]byte, error) {
	p.Format = PlanFormat
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return append(b, '\n'), nil
}

// identity tells a plan from others. What only informs doesn't count: who plans the same point once
// more, tomorrow, goes on with the same restore.
func (p *Plan) identity() (chunker.Hash, error) {
	bare := *p
	bare.Warnings = nil
	b, err := bare.Encode()
	return chunker.Sum(b), err
}

// Decode reads what Encode wrote, which may have come from anywhere: no name in it can leave the
// directory that it is restored to. Errors are ErrBadPlan.
func Decode(b []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("read plan: %w: %w", ErrBadPlan, err)
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return &p, nil
}

// ParseName reads "KS.T".
func ParseName(s string) (Name, error) {
	keyspace, table, ok := strings.Cut(s, ".")
	if !ok || !isWord(keyspace) || !isWord(table) {
		return Name{}, fmt.Errorf("%q is no table: write KEYSPACE.TABLE", s)
	}
	return Name{keyspace, table}, nil
}
