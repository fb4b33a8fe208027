package restore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// choose finds the chains that are wanted.
func (b *builder) choose(s *manifest.State, r Request) ([]manifest.Chain, error) {
	if r.Before != nil {
		return []manifest.Chain{r.Before.Last}, loadable(r.Before.Table.Keyspace, r)
	}
	var chains []manifest.Chain
	found := map[string]bool{}
	fresh := b.fresh(s, r.At)
	for _, t := range slices.Concat(s.Tables(), fresh) {
		name, c := Name{t.Keyspace, t.Name}, s.Chain(t)
		named := slices.Contains(r.Tables, name.Keyspace) || slices.Contains(r.Tables, name.String())
		if !named && r.To == "" && r.As == "" { // a table's views would stay as they are
			named = slices.Contains(r.Tables, b.describe(name, c.SchemaCQL).base.String())
		}
		if !named && (len(r.Tables) > 0 || r.To == "" && sstable.IsSystemKeyspace(t.Keyspace)) {
			continue
		}
		if _, gone := r.Ahead[t]; gone || c.Tag == "" && len(c.SSTables) == 0 && (c.Proven.IsZero() || !slices.Contains(fresh, t)) {
			continue
		}
		if err := loadable(t.Keyspace, r); named && err != nil {
			return nil, err
		}
		found[name.Keyspace], found[name.String()] = true, true
		chains = append(chains, c)
	}
	for _, w := range r.Tables {
		if !found[w] {
			return nil, fmt.Errorf("%s: %w%s", w, ErrNoTable, hint(s, w, r.Ahead))
		}
	}
	if len(chains) == 0 {
		return nil, fmt.Errorf("nothing is stored: %w", ErrNoTable)
	}
	return b.current(chains, r), nil
}

// loadable refuses to load what must not be.
func loadable(keyspace string, r Request) error {
	if r.To == "" && isNodesOwn(keyspace) {
		return fmt.Errorf("%w: keyspace %s is the node's own and is never loaded into another; restore it to a directory", ErrRequest, keyspace)
	}
	return nil
}

// hint says what became of a table that the point has not.
func hint(s *manifest.State, table string, ahead map[sstable.Table]manifest.Cut) string {
	n, err := ParseName(table)
	if err != nil {
		return ""
	}
	ends := s.Endings(n.Keyspace, n.Table)
	for t, c := range ahead {
		if (Name{t.Keyspace, t.Name}) == n {
			ends = append(ends, manifest.Ending{Why: c.Why, At: c.At})
		}
	}
	if len(ends) == 0 {
		return ""
	}
	last := ends[len(ends)-1]
	flag, what := "--before-truncate", "truncated"
	if last.Why.Is(manifest.Dropped) {
		flag, what = "--before-drop", "dropped"
	}
	return fmt.Sprintf(": it was %s at %s; %s %s brings it back", what, last.At.Format(time.RFC3339), flag, table)
}

// fresh are tables of the schema of which nothing is stored: what they held at the moment had not been
// flushed.
func (b *builder) fresh(s *manifest.State, at time.Time) (tables []sstable.Table) {
	known := s.Tables()
	for n, f := range b.facts {
		t := sstable.Table{Keyspace: n.Keyspace, Name: n.Table, ID: f.id}
		if f.id != "" && !slices.Contains(known, t) && (at.IsZero() || !manifest.CreatedAfter(t, at)) {
			tables = append(tables, t)
		}
	}
	slices.SortFunc(tables, manifest.CompareTables)
	return tables
}

// describe is what the schema says of a table, or else what its snapshot has beside it.
func (b *builder) describe(n Name, schemaCQL string) tableFacts {
	if f, ok := b.facts[n]; ok {
		return f
	}
	return factsOf(schemaCQL)[n]
}

// current leaves out, of tables that had one name, all but one where they would be loaded into one
// another: a DROP that nobody noticed.
func (b *builder) current(chains []manifest.Chain, r Request) []manifest.Chain {
	newest := map[Name]manifest.Chain{}
	for _, c := range chains {
		name := Name{c.Table.Keyspace, c.Table.Name}
		if have, ok := newest[name]; !ok || b.rank(c, have) > 0 {
			newest[name] = c
		}
	}
	return slices.DeleteFunc(chains, func(c manifest.Chain) bool {
		name := Name{c.Table.Keyspace, c.Table.Name}
		switch {
		case newest[name].Table == c.Table:
			return false
		case r.To == "":
			b.warn(WarnDropped, name, "left out, because another table has its name since: %s", c.Table.Dir())
			return true
		}
		b.warn(WarnDropped, name, "restored although another table has its name since: %s", c.Table.Dir())
		return false
	})
}

// rank compares two chains of tables of one name.
func (b *builder) rank(x, y manifest.Chain) int {
	is := func(c manifest.Chain) int {
		if b.facts[Name{c.Table.Keyspace, c.Table.Name}].id == c.Table.ID {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(is(x), is(y)), cmp.Compare(lastStored(x), lastStored(y)))
}

func lastStored(c manifest.Chain) uint64 {
	seq := c.BaseSeq
	for _, st := range c.SSTables {
		seq = max(seq, st.From.Seq)
	}
	return seq
}

// isNodesOwn tells whether a keyspace says who a node is: loaded into another node, it would make
// two of one. Schema comes back as CQL.
func isNodesOwn(keyspace string) bool {
	return keyspace == "system" || keyspace == "system_schema" || keyspace == "system_cluster_metadata"
}
