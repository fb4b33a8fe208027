package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

var (
	// ErrNoTable: a table was asked for that the point does not have.
	ErrNoTable = errors.New("no such table at this point")
	// ErrRequest: what was asked for contradicts itself.
	ErrRequest = errors.New("can't be restored so")
)

// Request is what to restore, and where to.
type Request struct {
	// Tables are "KS" or "KS.T"; views come with a table that is loaded. Empty: all of the node's; its
	// system keyspaces are among them when To is set.
	Tables []string
	// To is the absolute path of a directory. Empty: load into a node.
	To string
	// As is "KS.T": the table to load into, when one table alone is restored.
	As string
	// Before restores one table as it was right before this cut, and nothing of Tables.
	Before *manifest.Ending
	// Ahead are cuts that are not in the point and had happened by the moment that it is for (CutsAhead):
	// what the point has of their tables was gone.
	Ahead map[sstable.Table]manifest.Cut
	// At is the moment that is restored; zero: the latest, or that of the point.
	At time.Time
	// Later is the schema of a moment not before the one that is restored (SchemaAt): tables that were
	// made since the point are in it, and columns. nil: that of the point is.
	Later *manifest.Schema
	// Live is what is known of the node to load into, nil when nothing is.
	Live *Live
	Now  time.Time
}

// Live is what a node says of itself: Conn.Identity and Conn.Live.
type Live struct {
	Identity cassandra.Identity
	Schema   cassandra.Live
}

// Build plans the restore of the point that s stands at. prefix is where the node's packs are in the
// bucket, "<cluster>/<host-id>/". It is pure. Errors are ErrNoTable, ErrRequest and ErrBadPlan.
func Build(s *manifest.State, prefix string, r Request) (*Plan, error) {
	newest := s.Newest()
	if newest == nil {
		return nil, fmt.Errorf("plan: %w", ErrNoPoint)
	}
	b := builder{
		p: &Plan{
			Format: PlanFormat, Prefix: prefix, To: r.To, Whole: len(r.Tables) == 0,
			Point: Point{newest.Seq, newest.Kind, Until(newest)},
		},
		sets: map[pack.SetID]int{},
		used: map[list]bool{},
	}
	schema := s.Schema()
	if r.Before != nil {
		b.p.Whole, b.p.Point = false, Point{cmp.Or(r.Before.Seq, r.Before.Last.BaseSeq), manifest.KindCut, r.Before.At}
		schema = cmp.Or(r.Before.Schema, schema)
	}
	if schema != nil {
		b.p.Schema = schema.Statements
	}
	if r.Later != nil {
		var err error
		if b.p.Schema, err = mergeSchemas(b.p.Schema, r.Later.Statements); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
	}
	b.facts = factsOf(script(b.p.Schema))
	chains, err := b.choose(s, r)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	for _, c := range chains {
		if err := b.table(c); err != nil {
			return nil, fmt.Errorf("plan %s.%s: %w", c.Table.Keyspace, c.Table.Name, err)
		}
	}
	if err := b.as(r.As); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	b.finish()
	b.warnAll(r)
	if err := b.p.validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return b.p, nil
}

type builder struct {
	p     *Plan
	facts map[Name]tableFacts
	sets  map[pack.SetID]int // index into p.Sets
	keeps []manifest.Keep    // of p.Sets
	raw   []int64            // of p.Sets: bytes of the files wanted
	used  map[list]bool
	told  uint64 // the entry that p.Source is from
}

// list is one frame list. Components that share it are stored once.
type list struct {
	set int
	at  pack.ListRef
}

func (b *builder) table(c manifest.Chain) error {
	t := Table{
		Keyspace: c.Table.Keyspace, Name: c.Table.Name, ID: c.Table.ID,
		Base: beginning(c), ProvenUntil: c.Proven, SchemaCQL: c.SchemaCQL,
	}
	t.View = b.describe(t.Source(), c.SchemaCQL).view
	for _, st := range c.SSTables {
		if b.p.To == "" && isIndex(st.SSTable) {
			continue // import rebuilds it
		}
		t.SSTables = append(t.SSTables, b.sstable(st))
		if n := st.From.Body.Node; n != nil && st.From.Seq > b.told {
			b.p.Source, b.told = n, st.From.Seq
		}
	}
	renumbered, err := layOut(t.SSTables)
	if err != nil {
		return err
	}
	if renumbered {
		b.warn(WarnRenumbered, t.Source(), "file names came back with other contents; those SSTables get fresh numbers")
	}
	b.p.Tables = append(b.p.Tables, t)
	return nil
}

// beginning is what a chain begins with: a snapshot, by its tag, or a cut; empty: neither.
func beginning(c manifest.Chain) string {
	if c.Cut != nil {
		return fmt.Sprintf("%s at %s", c.Cut.Why, c.Cut.At.Format(time.RFC3339))
	}
	return c.Tag
}

// isIndex: up to 2.1 the files of a table-backed index lie among the table's own.
func isIndex(s manifest.SSTable) bool {
	n, _ := sstable.ParseName(s.Stem + "-" + sstable.Data)
	return s.Index != "" || n.Index != ""
}

func (b *builder) sstable(st manifest.Stored) SSTable {
	s := SSTable{Index: st.Index, Stem: st.Stem, Partitioner: st.Partitioner, MaxTimestamp: st.MaxTimestamp}
	for _, c := range st.Components {
		f := File{Name: c.Name, Size: c.Size, Hash: c.Hash, Set: b.set(st.From.Keeps[c.Set]), List: c.List}
		if at := (list{f.Set, f.List}); !b.used[at] {
			b.used[at] = true
			b.raw[f.Set] += f.Size
		}
		s.Files = append(s.Files, f)
	}
	return s
}

func (b *builder) set(k manifest.Keep) int {
	i, ok := b.sets[k.Set]
	if !ok {
		i = len(b.p.Sets)
		b.sets[k.Set] = i
		b.p.Sets = append(b.p.Sets, Set{k.Set, k.Packs})
		b.keeps = append(b.keeps, k)
		b.raw = append(b.raw, 0)
	}
	return i
}

func (b *builder) as(as string) error {
	if as == "" {
		return nil
	}
	name, err := ParseName(as)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if b.p.To != "" || len(b.p.Tables) != 1 {
		return fmt.Errorf("%w: another name is for one table that is loaded into a node, not for %d tables to %q",
			ErrRequest, len(b.p.Tables), b.p.To)
	}
	b.p.Tables[0].As = &name
	return nil
}

func (b *builder) finish() {
	slices.SortStableFunc(b.p.Tables, func(x, y Table) int {
		if x.View != y.View {
			if x.View {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(x.Keyspace, y.Keyspace), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	for _, t := range b.p.Tables {
		b.p.Bytes += t.Bytes()
	}
	b.p.proven()
	for i, k := range b.keeps {
		share := min(1, float64(b.raw[i])/float64(max(k.Raw, 1)))
		b.p.FetchBytes += int64(share * float64(k.Bytes))
	}
}

// proven sets ProvenUntil from the tables'.
func (p *Plan) proven() {
	for i, t := range p.Tables {
		if i == 0 || t.ProvenUntil.Before(p.ProvenUntil) {
			p.ProvenUntil = t.ProvenUntil
		}
	}
}
