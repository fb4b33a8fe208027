package cassandra

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Kind is what an Object is; the words are those of DESCRIBE's column "type".
type Kind string

// The kinds, in the order in which they can be created.
const (
	KindKeyspace  Kind = "keyspace"
	KindType      Kind = "type"
	KindFunction  Kind = "function"
	KindAggregate Kind = "aggregate"
	KindTable     Kind = "table"
	KindIndex     Kind = "index"
	KindTrigger   Kind = "trigger"
	KindView      Kind = "materialized_view"
)

// Object is one object of a schema and the CQL that makes it.
type Object struct {
	Kind     Kind
	Keyspace string // names are exact, without quotes
	Name     string // of a function or an aggregate: with its arguments, as written
	Table    string // of an index, a trigger or a view: the table that it belongs to
	ID       string // of a table or a view: 32 hex digits, empty if the CQL doesn't give it
	// Statements start with the CREATE. What must follow it comes after: an
	// ALTER TABLE … DROP … USING TIMESTAMP for each dropped column.
	Statements []string
}

// TableName names a table or a view.
type TableName struct{ Keyspace, Name string }

func (n TableName) String() string { return n.Keyspace + "." + n.Name }

func (n TableName) cql() string { return Quote(n.Keyspace) + "." + Quote(n.Name) }

func (o Object) String() string {
	switch o.Kind {
	case KindKeyspace:
		return "keyspace " + o.Name
	case KindView:
		return "view " + o.Keyspace + "." + o.Name
	}
	return string(o.Kind) + " " + o.Keyspace + "." + o.Name
}

// ParseSchema reads a script as DESCRIBE SCHEMA WITH INTERNALS (4.0+) or a
// snapshot's schema.cql (3.0.9+) gives it. A statement that creates none of the
// known kinds belongs to the object before it. What stands in comments (DESCRIBE
// puts tables there that CQL can't create) is not seen.
func ParseSchema(cql string) ([]Object, error) {
	statements, err := Split(cql)
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, s := range statements {
		p, err := parseCreate(s)
		switch {
		case err != nil:
			return nil, err
		case p != nil:
			objects = append(objects, p.object)
		case len(objects) == 0:
			return nil, fmt.Errorf("read schema: it starts with %q, which creates nothing", excerpt(s))
		default:
			last := &objects[len(objects)-1]
			last.Statements = append(last.Statements, s)
		}
	}
	return objects, nil
}

func excerpt(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return s
}

// created is a CREATE statement taken apart, by indexes into tokens.
type created struct {
	object   Object
	cql      string
	tokens   []token
	head     string // CREATE TABLE, CREATE CUSTOM INDEX …: what stands before IF NOT EXISTS
	body     int    // the first token after the head and IF NOT EXISTS
	nameFrom int    // the (qualified) name, half open; for a keyspace its only name
	nameTo   int
	idFrom   int // ID = uuid in WITH, half open; 0, 0: none
	idTo     int
}

// parseCreate takes a CREATE statement of a known kind apart; others give nil.
func parseCreate(cql string) (*created, error) {
	tokens, err := lex(cql)
	if err != nil {
		return nil, err
	}
	c := &created{cql: cql, tokens: tokens}
	c.object.Statements = []string{cql}
	if !c.parseHead() {
		return nil, nil
	}
	if err := c.parseNames(); err != nil {
		return nil, fmt.Errorf("read %s: %w", excerpt(cql), err)
	}
	if c.object.Kind == KindTable || c.object.Kind == KindView {
		c.parseID()
	}
	return c, nil
}

// at returns token i, or one that is nothing.
func (c *created) at(i int) token {
	if i < len(c.tokens) {
		return c.tokens[i]
	}
	return token{kind: punctToken, start: len(c.cql), end: len(c.cql)}
}

// words says whether the tokens from i on are these keywords.
func (c *created) words(i int, keywords ...string) bool {
	for j, k := range keywords {
		if !c.at(i + j).is(k) {
			return false
		}
	}
	return true
}

func (c *created) parseHead() bool {
	if !c.words(0, "CREATE") {
		return false
	}
	i, head := 1, "CREATE"
	if c.words(i, "OR", "REPLACE") {
		i += 2 // replacing is never what a restore wants
	}
	for _, k := range []struct {
		kind Kind
		head string
	}{
		{KindKeyspace, "KEYSPACE"}, {KindType, "TYPE"}, {KindFunction, "FUNCTION"}, {KindAggregate, "AGGREGATE"},
		{KindTable, "TABLE"}, {KindTable, "COLUMNFAMILY"}, {KindView, "MATERIALIZED VIEW"},
		{KindIndex, "INDEX"}, {KindIndex, "CUSTOM INDEX"}, {KindTrigger, "TRIGGER"},
	} {
		words := strings.Fields(k.head)
		if !c.words(i, words...) {
			continue
		}
		c.object.Kind, c.head = k.kind, head+" "+k.head
		c.body = i + len(words)
		if c.words(c.body, "IF", "NOT", "EXISTS") {
			c.body += 3
		}
		return true
	}
	return false
}

// parseNames finds what is created, and for an index, a trigger or a view the
// table that it belongs to.
func (c *created) parseNames() error {
	o := &c.object
	switch o.Kind {
	case KindIndex, KindTrigger:
		i := c.body
		if name, ok := c.at(i).name(); ok && !c.words(i, "ON") {
			o.Name = name
			i++
		}
		if !c.words(i, "ON") {
			return fmt.Errorf("there is no ON")
		}
		var err error
		o.Keyspace, o.Table, _, err = c.qualified(i + 1)
		return err
	case KindKeyspace:
		name, ok := c.at(c.body).name()
		if !ok {
			return fmt.Errorf("there is no name")
		}
		o.Keyspace, o.Name = name, name
		c.nameFrom, c.nameTo = c.body, c.body+1
		return nil
	}
	var err error
	c.nameFrom = c.body
	if o.Keyspace, o.Name, c.nameTo, err = c.qualified(c.body); err != nil {
		return err
	}
	switch o.Kind {
	case KindFunction, KindAggregate:
		open := c.nameTo
		o.Name += c.cql[c.at(open).start:c.at(c.closing(open)).end]
	case KindView:
		for i := c.nameTo; i < len(c.tokens); i++ {
			if c.at(i).is("FROM") {
				_, o.Table, _, err = c.qualified(i + 1)
				return err
			}
		}
		return fmt.Errorf("there is no FROM")
	}
	return nil
}

// qualified reads keyspace.name at token i and returns the index after it.
func (c *created) qualified(i int) (keyspace, name string, next int, err error) {
	keyspace, ok1 := c.at(i).name()
	name, ok2 := c.at(i + 2).name()
	if !ok1 || !ok2 || !c.at(i+1).isPunct(".") {
		return "", "", 0, fmt.Errorf("there is no keyspace.name at byte %d", c.at(i).start)
	}
	return keyspace, name, i + 3, nil
}

// closing returns the index of the parenthesis that closes the one at token i,
// or the last token.
func (c *created) closing(i int) int {
	depth := 0
	for ; i < len(c.tokens)-1; i++ {
		switch {
		case c.at(i).isPunct("("):
			depth++
		case c.at(i).isPunct(")"):
			if depth--; depth <= 0 {
				return i
			}
		}
	}
	return i
}

// parseID finds ID = <uuid> among the properties: outside parentheses, since a
// column may be called id.
func (c *created) parseID() {
	depth := 0
	for i := c.nameTo; i < len(c.tokens); i++ {
		switch t := c.at(i); {
		case t.isPunct("("):
			depth++
		case t.isPunct(")"):
			depth--
		case depth == 0 && t.is("ID") && c.at(i+1).isPunct("=") && (c.at(i-1).is("WITH") || c.at(i-1).is("AND")):
			start := c.at(i + 2).start
			id, ok := tableID(c.cql[start:min(start+36, len(c.cql))])
			if !ok {
				continue
			}
			c.object.ID, c.idFrom = id, i
			for c.idTo = i + 2; c.at(c.idTo).start < start+36 && c.idTo < len(c.tokens); c.idTo++ {
			}
			return
		}
	}
}

// tableID turns a UUID into the 32 hex digits of a table's directory.
func tableID(uuid string) (string, bool) {
	id := strings.ToLower(strings.ReplaceAll(uuid, "-", ""))
	_, err := hex.DecodeString(id)
	return id, err == nil && len(id) == 32
}
