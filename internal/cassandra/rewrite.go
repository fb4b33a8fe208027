package cassandra

import (
	"fmt"
	"slices"
	"strings"
)

// guarded returns the statement such that it can't touch what is live: never
// with OR REPLACE; a table or view without IF NOT EXISTS, since that would
// pass over somebody else's table and let the ALTERs that follow drop its
// columns; all else with it.
func (c *created) guarded() string {
	head := c.head
	if !c.isTable() {
		head += " IF NOT EXISTS"
	}
	return head + " " + c.cql[c.at(c.body).start:]
}

// current returns the CREATE in the CQL of nodes that can import, 4.0+, where
// schema.cql of 3.11 is not: a table or view has no read_repair_chance and no
// dclocal_read_repair_chance (CASSANDRA-13910; 4.x ignores them, 5.0 refuses
// them), and OPTIONS of a custom index need a =.
func (c *created) current() string {
	var b strings.Builder
	kept := 0 // up to there cql is written or left out
	for i := range c.tokens {
		switch {
		case c.isTable() && c.isReadRepair(i):
			b.WriteString(c.cql[kept:c.at(i).start])
			last := i + 3
			for last+1 < len(c.tokens) && !c.at(last+1).is("AND") {
				last++
			}
			kept = c.at(last).end
		case c.object.Kind == KindIndex && c.words(i, "WITH", "OPTIONS") && c.at(i+2).isPunct("{"):
			b.WriteString(c.cql[kept:c.at(i+1).end] + " =")
			kept = c.at(i + 1).end
		}
	}
	return b.String() + c.cql[kept:]
}

// isReadRepair says whether AND read_repair_chance =, or the like, is at token i.
func (c *created) isReadRepair(i int) bool {
	return (c.words(i, "AND", "READ_REPAIR_CHANCE") || c.words(i, "AND", "DCLOCAL_READ_REPAIR_CHANCE")) && c.at(i+2).isPunct("=")
}

// renamed returns the CREATE of a table, type or keyspace under another name
// (in CQL), without the ID: two tables can't share one.
func (c *created) renamed(name string) string {
	from, to := len(c.cql), len(c.cql) // what the ID takes
	switch {
	case c.idTo == 0:
	case c.at(c.idTo).is("AND"):
		from, to = c.at(c.idFrom).start, c.at(c.idTo+1).start
	default: // the last property: the WITH or AND before it goes too
		from, to = c.at(c.idFrom-1).start, c.at(c.idTo-1).end
	}
	return c.head + " " + name + c.cql[c.at(c.nameTo-1).end:from] + c.cql[to:]
}

// replicated returns the CREATE KEYSPACE with another replication.
func (c *created) replicated(r Replication) (string, error) {
	for i := c.nameTo; i < len(c.tokens); i++ {
		if !c.words(i, "REPLICATION") || !c.at(i+1).isPunct("=") || !c.at(i+2).isPunct("{") {
			continue
		}
		for end := i + 3; end < len(c.tokens); end++ {
			if c.at(end).isPunct("}") {
				return c.cql[:c.at(i+2).start] + r.cql() + c.cql[c.at(end).end:], nil
			}
		}
	}
	return "", fmt.Errorf("read %s: there is no replication", excerpt(c.cql))
}

// parseAlter finds the name in an ALTER TABLE; false: it is none.
func parseAlter(cql string) (*created, bool) {
	tokens, err := lex(cql)
	if err != nil {
		return nil, false
	}
	c := &created{cql: cql, tokens: tokens, nameFrom: 2}
	_, _, c.nameTo, err = c.qualified(c.nameFrom)
	return c, err == nil && c.words(0, "ALTER", "TABLE")
}

// alterRenamed returns an ALTER TABLE with another table name.
func alterRenamed(cql string, name TableName) (string, bool) {
	c, ok := parseAlter(cql)
	if !ok {
		return "", false
	}
	return cql[:c.at(c.nameFrom).start] + name.cql() + cql[c.at(c.nameTo-1).end:], true
}

// droppedColumn returns the column that an ALTER TABLE … DROP … drops.
func droppedColumn(cql string) (string, bool) {
	c, ok := parseAlter(cql)
	if !ok || !c.words(c.nameTo, "DROP") {
		return "", false
	}
	return c.at(c.nameTo + 1).name()
}

// Replication is a keyspace's replication option: {"class": "SimpleStrategy",
// "replication_factor": "1"}.
type Replication map[string]string

func (r Replication) cql() string {
	var pairs []string
	for k, v := range r {
		pairs = append(pairs, quoteText(k)+": "+quoteText(v))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ", ") + "}"
}
