package cassandra

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Live is what exists where a schema is to be replayed.
type Live struct {
	Keyspaces []string
	Tables    []Table // and views
}

// ReplayOptions narrow and change what is replayed.
type ReplayOptions struct {
	// Tables are the tables and views to create, with all that they need
	// (keyspace, types, a view's table) and all that is theirs (indexes,
	// triggers, a table's views). nil: the whole schema.
	Tables []TableName
	// As, if not zero, is the name under which the one table of Tables is
	// created, in whatever keyspace: with a new id, without its indexes,
	// triggers and views.
	As TableName
	// Replication, by keyspace, replaces that of the schema for keyspaces that
	// have to be created.
	Replication map[string]Replication
}

// ReplayPlan is what Conn.Replay does. It creates and never changes or drops
// what is live.
type ReplayPlan struct {
	Steps  []Object      // in order; their statements leave alone what is live
	Tables []ReplayTable // every table and view that was asked for
	Notes  []string      // what was left out, for a person to read
}

// ReplayTable is one table or view: in a plan what Replay will find and do, in
// its result what it found and did.
type ReplayTable struct {
	TableName
	WantedID string // empty: any
	LiveID   string // empty: not live
	Created  bool
	// LacksDropped are columns that the wanted schema has dropped and of which
	// the live table has no record: SSTables older than the drop can't be loaded
	// into it. So it is after a replay that broke off inside a table: drop the
	// table, if it is empty, and replay again.
	LacksDropped []string
}

// ErrTableIDInUse: the wanted id is that of another live table. Creating the
// table would fail deep inside Cassandra.
var ErrTableIDInUse = errors.New("table id in use")

// PlanReplay decides how to bring the objects of a schema into being where live
// exists. A table whose name is live is left alone, whatever its id: compare
// WantedID with LiveID.
func PlanReplay(wanted []Object, live Live, o ReplayOptions) (ReplayPlan, error) {
	p := replayPlanner{live: live, options: o}
	if err := p.parse(wanted); err != nil {
		return ReplayPlan{}, err
	}
	if err := p.selectTables(); err != nil {
		return ReplayPlan{}, err
	}
	if err := p.planTables(); err != nil {
		return ReplayPlan{}, err
	}
	p.planNeeds()
	if o.As != (TableName{}) {
		if err := p.rename(); err != nil {
			return ReplayPlan{}, err
		}
	}
	if err := p.planKeyspaces(); err != nil {
		return ReplayPlan{}, err
	}
	slices.SortStableFunc(p.steps, func(a, b *created) int { return cmp.Compare(rank(a), rank(b)) })
	for _, c := range p.steps {
		p.plan.Steps = append(p.plan.Steps, c.object)
	}
	return p.plan, nil
}

func rank(c *created) int {
	return slices.Index([]Kind{KindKeyspace, KindType, KindFunction, KindAggregate, KindTable, KindIndex, KindTrigger, KindView}, c.object.Kind)
}

type replayPlanner struct {
	live    Live
	options ReplayOptions
	all     []*created // the wanted schema, each object once
	chosen  []*created // tables and views to have at the end
	steps   []*created
	plan    ReplayPlan
}

// parse takes the objects apart and drops repetitions: schema.cql files of
// several tables repeat their types.
func (p *replayPlanner) parse(wanted []Object) error {
	seen := map[string]*created{}
	for _, o := range wanted {
		if len(o.Statements) == 0 {
			return fmt.Errorf("plan schema: %s has no statement", o)
		}
		c, err := parseCreate(o.Statements[0])
		if err != nil {
			return fmt.Errorf("plan schema: %w", err)
		}
		if c == nil {
			return fmt.Errorf("plan schema: %s is not created by %q", o, excerpt(o.Statements[0]))
		}
		if c, err = parseCreate(c.current()); err != nil {
			return fmt.Errorf("plan schema: %w", err)
		}
		c.object.Statements = append(c.object.Statements, o.Statements[1:]...)
		key := c.object.String()
		if c.object.Kind == KindIndex && c.object.Name == "" {
			key = c.cql // unnamed: told apart by what it says
		}
		switch first := seen[key]; {
		case first == nil:
			seen[key] = c
			p.all = append(p.all, c)
		case !slices.Equal(first.object.Statements, c.object.Statements):
			return fmt.Errorf("plan schema: %s is defined twice, differently", c.object)
		}
	}
	return nil
}

func (c *created) table() TableName { return TableName{c.object.Keyspace, c.object.Name} }

// base is the table that an index, a trigger or a view belongs to.
func (c *created) base() TableName { return TableName{c.object.Keyspace, c.object.Table} }

func (c *created) isTable() bool {
	return c.object.Kind == KindTable || c.object.Kind == KindView
}

// selectTables fills chosen from the options.
func (p *replayPlanner) selectTables() error {
	named := p.options.Tables
	if p.options.As != (TableName{}) && len(named) != 1 {
		return fmt.Errorf("plan schema: another name can be given to one table, not to %d", len(named))
	}
	want := map[TableName]bool{}
	var missing []string
	for _, n := range named {
		i := slices.IndexFunc(p.all, func(c *created) bool { return c.isTable() && c.table() == n })
		if i < 0 {
			missing = append(missing, n.String())
			continue
		}
		want[n] = true
		if p.all[i].object.Kind == KindView {
			want[p.all[i].base()] = true
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("plan schema: it doesn't create %s", strings.Join(missing, ", "))
	}
	for _, c := range p.all {
		if c.isTable() && (named == nil || want[c.table()] || c.object.Kind == KindView && want[c.base()]) {
			p.chosen = append(p.chosen, c)
		}
	}
	return nil
}

// planTables decides for each chosen table, and adds its indexes and triggers.
func (p *replayPlanner) planTables() error {
	for _, c := range p.chosen {
		t := ReplayTable{TableName: c.table(), WantedID: c.object.ID}
		if as := p.options.As; as != (TableName{}) {
			if c.table() != p.options.Tables[0] {
				continue // a view of the table: rename says so
			}
			t.TableName, t.WantedID = as, ""
		}
		if live := p.live.table(t.TableName); live != nil {
			t.LiveID, t.LacksDropped = live.ID, lacksDropped(c.object, live)
		} else {
			if other := p.live.withID(t.WantedID); other != nil {
				return fmt.Errorf("plan schema: %s: %w: %s is that of %s", t.TableName, ErrTableIDInUse, t.WantedID, other.TableName)
			}
			t.Created = true
			p.steps = append(p.steps, c)
			for _, extra := range p.all {
				if k := extra.object.Kind; (k == KindIndex || k == KindTrigger) && extra.base() == c.table() {
					p.steps = append(p.steps, extra)
				}
			}
		}
		p.plan.Tables = append(p.plan.Tables, t)
	}
	return nil
}

func (l Live) table(n TableName) *Table {
	if i := slices.IndexFunc(l.Tables, func(t Table) bool { return t.TableName == n }); i >= 0 {
		return &l.Tables[i]
	}
	return nil
}

func (l Live) withID(id string) *Table {
	if i := slices.IndexFunc(l.Tables, func(t Table) bool { return id != "" && t.ID == id }); i >= 0 {
		return &l.Tables[i]
	}
	return nil
}

func lacksDropped(o Object, live *Table) []string {
	var lacks []string
	for _, s := range o.Statements[1:] {
		if column, ok := droppedColumn(s); ok && !slices.Contains(live.Dropped, column) && !slices.Contains(lacks, column) {
			lacks = append(lacks, column)
		}
	}
	return lacks
}

// planNeeds adds types, functions and aggregates: all of them, or with Tables
// those whose names the steps mention, and those that these mention in turn. A
// column that happens to have the name of a type brings in one type too many.
func (p *replayPlanner) planNeeds() {
	isNeed := func(c *created) bool {
		return slices.Contains([]Kind{KindType, KindFunction, KindAggregate}, c.object.Kind)
	}
	if p.options.Tables == nil {
		p.steps = append(p.steps, slices.DeleteFunc(slices.Clone(p.all), func(c *created) bool { return !isNeed(c) })...)
		return
	}
	taken := map[*created]bool{}
	for i := 0; i < len(p.steps); i++ { // steps grows
		for _, c := range p.all {
			if isNeed(c) && !taken[c] && c.object.Keyspace == p.steps[i].object.Keyspace && p.steps[i].mentions(c) {
				taken[c] = true
				p.steps = append(p.steps, c)
			}
		}
	}
	// A type stands after those that it mentions, as in the schema.
	slices.SortStableFunc(p.steps, func(a, b *created) int {
		return cmp.Compare(slices.Index(p.all, a), slices.Index(p.all, b))
	})
}

// mentions says whether the statement uses the name of a type, or calls a
// function, of its own keyspace.
func (c *created) mentions(o *created) bool {
	name, _ := o.at(o.nameTo - 1).name()
	for i := max(c.body, c.nameTo); i < len(c.tokens); i++ {
		if n, ok := c.at(i).name(); ok && n == name && (o.object.Kind == KindType || c.at(i+1).isPunct("(")) {
			return true
		}
	}
	return false
}

// rename turns the steps towards As.
func (p *replayPlanner) rename() error {
	as, from := p.options.As, p.options.Tables[0]
	var kept []*created
	for _, c := range p.steps {
		switch c.object.Kind {
		case KindView:
			return fmt.Errorf("plan schema: %s is a view: it can't have another name", from)
		case KindTable:
			c.object.Statements = p.renameTable(c, as)
			c.object.Keyspace, c.object.Name, c.object.ID = as.Keyspace, as.Name, ""
		case KindType:
			c.object.Statements = []string{c.renamed(TableName{as.Keyspace, c.object.Name}.cql())}
			c.object.Keyspace = as.Keyspace
		default:
			p.note("%s is left out of %s", c.object, as)
			continue
		}
		again, err := parseCreate(c.object.Statements[0])
		if err != nil || again == nil {
			return fmt.Errorf("plan schema: rename %s: %w", c.object, err)
		}
		again.object.Statements = c.object.Statements
		kept = append(kept, again)
	}
	p.steps = kept
	for _, c := range p.chosen {
		if c.object.Kind == KindView {
			p.note("%s is left out of %s", c.object, as)
		}
	}
	return nil
}

func (p *replayPlanner) renameTable(c *created, as TableName) []string {
	statements := []string{c.renamed(as.cql())}
	for _, s := range c.object.Statements[1:] {
		if s, ok := alterRenamed(s, as); ok {
			statements = append(statements, s)
		} else {
			p.note("left out of %s: %s", as, excerpt(s))
		}
	}
	return statements
}

func (p *replayPlanner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// planKeyspaces adds the keyspaces that the steps need and that are not live,
// and guards every step.
func (p *replayPlanner) planKeyspaces() error {
	var needed []string
	for _, c := range p.steps {
		needed = append(needed, c.object.Keyspace)
	}
	if p.options.Tables == nil {
		for _, c := range p.all {
			needed = append(needed, c.object.Keyspace)
		}
	}
	slices.Sort(needed)
	for _, name := range slices.Compact(needed) {
		if slices.Contains(p.live.Keyspaces, name) {
			continue
		}
		c, err := p.keyspace(name)
		if err != nil {
			return err
		}
		p.steps = append(p.steps, c)
	}
	for _, c := range p.steps {
		c.object.Statements = append([]string{c.guarded()}, c.object.Statements[1:]...)
	}
	return nil
}

// keyspace finds or makes the CREATE KEYSPACE of a name. The keyspace of As, if
// the schema doesn't have it, is made like that of the table.
func (p *replayPlanner) keyspace(name string) (*created, error) {
	source := name
	find := func(c *created) bool { return c.object.Kind == KindKeyspace && c.object.Name == source }
	i := slices.IndexFunc(p.all, find)
	if i < 0 && p.options.As.Keyspace == name {
		source = p.options.Tables[0].Keyspace
		i = slices.IndexFunc(p.all, find)
	}
	override, given := p.options.Replication[name]
	cql := "CREATE KEYSPACE " + Quote(name) + " WITH replication = {} AND durable_writes = true"
	switch {
	case i >= 0 && source != name:
		cql = p.all[i].renamed(Quote(name))
	case i >= 0:
		cql = p.all[i].cql
	case !given:
		return nil, fmt.Errorf("plan schema: keyspace %s is not live and the schema doesn't create it: give its replication", name)
	}
	c, err := parseCreate(cql)
	if err != nil || !given {
		return c, err
	}
	if cql, err = c.replicated(override); err != nil {
		return nil, err
	}
	return parseCreate(cql)
}
