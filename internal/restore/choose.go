package restore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sstash/sstash/manifest"
)

// choose finds the chains that are wanted.
func (b *builder) choose(s *manifest.State, r Request) ([]manifest.Chain, error) {
	var chains []manifest.Chain
	found := map[string]bool{}
	for _, t := range s.Tables() {
		name, c := Name{t.Keyspace, t.Name}, s.Chain(t)
		named := slices.Contains(r.Tables, name.Keyspace) || slices.Contains(r.Tables, name.String())
		if !named && r.To == "" && r.As == "" { // a table's views would stay as they are
			named = slices.Contains(r.Tables, b.describe(name, c.SchemaCQL).base.String())
		}
		if !named && (len(r.Tables) > 0 || r.To == "" && isSystem(t.Keyspace)) {
			continue
		}
		if c.Tag == "" && len(c.SSTables) == 0 {
			continue
		}
		if named && r.To == "" && isNodesOwn(t.Keyspace) {
			return nil, fmt.Errorf("%w: keyspace %s is the node's own and is never loaded into another; restore it to a directory", ErrRequest, t.Keyspace)
		}
		found[name.Keyspace], found[name.String()] = true, true
		chains = append(chains, c)
	}
	for _, w := range r.Tables {
		if !found[w] {
			return nil, fmt.Errorf("%s: %w", w, ErrNoTable)
		}
	}
	if len(chains) == 0 {
		return nil, fmt.Errorf("nothing is stored: %w", ErrNoTable)
	}
	return b.current(chains, r), nil
}

// describe is what the schema says of a table, or else what its snapshot has beside it.
func (b *builder) describe(n Name, schemaCQL string) tableFacts {
	if f, ok := b.facts[n]; ok {
		return f
	}
	return factsOf(schemaCQL)[n]
}

// current finds the chains of dropped tables. A load leaves them out, unless they were named and no
// other table has their name since.
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
		replaced := newest[name].Table != c.Table
		switch {
		case !replaced && !b.dropped(name, c):
			return false
		case r.To == "" && (replaced || len(r.Tables) == 0):
			b.warn(WarnDropped, name, "left out, because it had been dropped before this point: %s", c.Table.Dir())
			return true
		}
		b.warn(WarnDropped, name, "restored although it had been dropped before this point: %s", c.Table.Dir())
		return false
	})
}

// dropped tells that the schema of the point has another table of that name, or none, though CQL
// could describe it. (It can't where storage is compact.)
func (b *builder) dropped(n Name, c manifest.Chain) bool {
	facts, described := b.facts[n]
	if described {
		return facts.id != "" && c.Table.ID != "" && facts.id != c.Table.ID
	}
	return len(b.facts) > 0 && factsOf(c.SchemaCQL)[n].known
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

// isSystem tells whether Cassandra itself made the keyspace.
func isSystem(keyspace string) bool {
	return keyspace == "system" || strings.HasPrefix(keyspace, "system_")
}

// isNodesOwn tells whether a keyspace says who a node is: loaded into another node, it would make
// two of one. Schema comes back as CQL.
func isNodesOwn(keyspace string) bool {
	return keyspace == "system" || keyspace == "system_schema" || keyspace == "system_cluster_metadata"
}
