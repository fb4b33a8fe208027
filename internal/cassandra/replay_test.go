package cassandra

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const (
	ordersID = "a77cad50-e5a0-11f1-83b5-b72b6bc278dd"
	viewID   = "a7b1a000-e5a0-11f1-83b5-b72b6bc278dd"
	otherID  = "a6daef10-e5a0-11f1-83b5-b72b6bc278dd"
)

const shopCQL = `
CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'}  AND durable_writes = false;
CREATE TYPE shop."Addr" (street text);
CREATE TYPE shop.person (name text, home frozen<"Addr">);
CREATE TYPE shop.unused (a int);
CREATE FUNCTION shop.mask(a int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return 0; $$;
CREATE FUNCTION shop.other(a int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return 0; $$;
CREATE TABLE shop.orders (id int PRIMARY KEY, who frozen<person>, n int MASKED WITH shop.mask(), gone int, other int)
 WITH ID = ` + ordersID + ` AND comment = 'shop.orders';
ALTER TABLE shop.orders DROP gone USING TIMESTAMP 1;
ALTER TABLE shop.orders ADD gone int;
CREATE INDEX by_n ON shop.orders (n);
CREATE MATERIALIZED VIEW shop.by_who AS SELECT id, who FROM shop.orders WHERE who IS NOT NULL PRIMARY KEY (who, id) WITH ID = ` + viewID + `;
CREATE TABLE shop.other (id int PRIMARY KEY) WITH ID = ` + otherID + `;
`

func parse(t *testing.T, cql string) []Object {
	t.Helper()
	objects, err := ParseSchema(cql)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func hexID(uuid string) string { id, _ := tableID(uuid); return id }

// summary lists the steps as kind keyspace.name, and the tables as
// name wanted→live, + for those to create.
func summary(p ReplayPlan) string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, s.String())
	}
	for _, t := range p.Tables {
		line := t.String()
		if t.Created {
			line += " +"
		}
		if t.LiveID != "" {
			line += " live"
		}
		if t.WantedID != "" && t.LiveID != "" && t.WantedID != t.LiveID {
			line += " under another id"
		}
		if t.LacksDropped != nil {
			line += " lacks " + strings.Join(t.LacksDropped, ",")
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, p.Notes...), "\n")
}

func TestPlanReplay(t *testing.T) {
	orders, view := TableName{"shop", "orders"}, TableName{"shop", "by_who"}
	shop := []string{"system", "shop"}
	live := func(n TableName, id string, dropped ...string) Table {
		return Table{TableName: n, ID: hexID(id), Dropped: dropped}
	}
	for _, tt := range []struct {
		name    string
		live    Live
		options ReplayOptions
		want    string
	}{
		{"everything, nothing live", Live{}, ReplayOptions{}, `
keyspace shop
type shop.Addr
type shop.person
type shop.unused
function shop.mask(a int)
function shop.other(a int)
table shop.orders
table shop.other
index shop.by_n
view shop.by_who
shop.orders +
shop.by_who +
shop.other +`},
		{"one table: what it needs and what is its own", Live{}, ReplayOptions{Tables: []TableName{orders}}, `
keyspace shop
type shop.Addr
type shop.person
function shop.mask(a int)
table shop.orders
index shop.by_n
view shop.by_who
shop.orders +
shop.by_who +`},
		{"a view brings its table", Live{Keyspaces: shop}, ReplayOptions{Tables: []TableName{view}}, `
type shop.Addr
type shop.person
function shop.mask(a int)
table shop.orders
index shop.by_n
view shop.by_who
shop.orders +
shop.by_who +`},
		{"a live table is left alone, a lost view is made", Live{shop, []Table{live(orders, ordersID, "gone")}}, ReplayOptions{Tables: []TableName{orders}}, `
view shop.by_who
shop.orders live
shop.by_who +`},
		{"all live, one under another id, one half made", Live{shop, []Table{live(orders, ordersID), live(view, otherID)}}, ReplayOptions{Tables: []TableName{orders}}, `
shop.orders live lacks gone
shop.by_who live under another id`},
		{"another name", Live{Keyspaces: shop, Tables: []Table{live(orders, ordersID)}}, ReplayOptions{Tables: []TableName{orders}, As: TableName{"shop", "Orders2"}}, `
type shop.Addr
type shop.person
table shop.Orders2
shop.Orders2 +
function shop.mask(a int) is left out of shop.Orders2
index shop.by_n is left out of shop.Orders2
view shop.by_who is left out of shop.Orders2`},
		{"another name that is live", Live{Keyspaces: shop, Tables: []Table{live(TableName{"x", "y"}, otherID)}}, ReplayOptions{Tables: []TableName{orders}, As: TableName{"x", "y"}}, `
x.y live lacks gone
view shop.by_who is left out of x.y`},
		{"another keyspace, made like the old one", Live{Keyspaces: shop}, ReplayOptions{Tables: []TableName{{"shop", "other"}}, As: TableName{"New", "other"}}, `
keyspace New
table New.other
New.other +`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := PlanReplay(parse(t, shopCQL), tt.live, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := "\n" + summary(plan); got != tt.want {
				t.Errorf("got:%s\nwant:%s", got, tt.want)
			}
		})
	}
}

func TestPlanReplayStatements(t *testing.T) {
	wanted := parse(t, strings.ReplaceAll(shopCQL, "CREATE TABLE shop.orders", "CREATE TABLE IF NOT EXISTS shop.orders"))
	plan, err := PlanReplay(wanted, Live{}, ReplayOptions{
		Tables:      []TableName{{"shop", "orders"}},
		Replication: map[string]Replication{"shop": {"class": "SimpleStrategy", "replication_factor": "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	find := func(kind Kind) []string {
		i := slices.IndexFunc(plan.Steps, func(o Object) bool { return o.Kind == kind })
		return plan.Steps[i].Statements
	}
	if got, want := find(KindKeyspace)[0], "CREATE KEYSPACE IF NOT EXISTS shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': '1'}  AND durable_writes = false"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	table := find(KindTable)
	if !strings.HasPrefix(table[0], "CREATE TABLE shop.orders (") || len(table) != 3 || !strings.HasPrefix(table[1], "ALTER TABLE shop.orders DROP gone") {
		t.Errorf("a live table could be changed: %q", table)
	}
	if got := find(KindIndex)[0]; got != "CREATE INDEX IF NOT EXISTS by_n ON shop.orders (n)" {
		t.Errorf("got %s", got)
	}

	plan, err = PlanReplay(wanted, Live{}, ReplayOptions{Tables: []TableName{{"shop", "orders"}}, As: TableName{"New", "Sel\"ect"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := find(KindKeyspace)[0], `CREATE KEYSPACE IF NOT EXISTS "New" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'}  AND durable_writes = false`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := find(KindType)[0], `CREATE TYPE IF NOT EXISTS "New"."Addr" (street text)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want := []string{
		`CREATE TABLE "New"."Sel""ect" (id int PRIMARY KEY, who frozen<person>, n int MASKED WITH shop.mask(), gone int, other int)
 WITH comment = 'shop.orders'`,
		`ALTER TABLE "New"."Sel""ect" DROP gone USING TIMESTAMP 1`,
		`ALTER TABLE "New"."Sel""ect" ADD gone int`,
	}
	if got := find(KindTable); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRenamedWithoutID(t *testing.T) {
	for cql, want := range map[string]string{
		"CREATE TABLE a.b (id int) WITH ID = " + otherID:                                     "CREATE TABLE x (id int)",
		"CREATE TABLE a.b (id int) WITH ID = " + otherID + " AND c = 1":                      "CREATE TABLE x (id int) WITH c = 1",
		"CREATE TABLE a.b (id int) WITH c = 1 AND ID = " + otherID:                           "CREATE TABLE x (id int) WITH c = 1",
		"CREATE TABLE a.b (id int) WITH c = 1 AND ID = " + otherID + " AND d = {'ID': '='} ": "CREATE TABLE x (id int) WITH c = 1 AND d = {'ID': '='} ",
		"CREATE TABLE a.b (id int)":                                                          "CREATE TABLE x (id int)",
	} {
		c, err := parseCreate(cql)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.renamed("x"); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s:\ngot  %s\nwant %s", cql, got, want)
		}
	}
}

// What 3.11 says of read repair is left out, and a column or a comment of such a name is not; its custom
// indexes get the sign that it forgets.
func TestCurrent(t *testing.T) {
	const column = "CREATE TABLE a.b (id int, read_repair_chance int) WITH ID = " + otherID
	for cql, want := range map[string]string{
		column + "\n\tAND dclocal_read_repair_chance = 0.1\n\tAND read_repair_chance = 0.0": column,
		column + " AND read_repair_chance = 0.0 AND comment = 'AND read_repair_chance = 1'": column + " AND comment = 'AND read_repair_chance = 1'",
		column: column,
		"CREATE CUSTOM INDEX i ON a.b (id) USING 'x' WITH OPTIONS {'mode': 'CONTAINS'}": "CREATE CUSTOM INDEX i ON a.b (id) USING 'x' WITH OPTIONS = {'mode': 'CONTAINS'}",
	} {
		c, err := parseCreate(cql)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(c.current()), " "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", cql, got, want)
		}
	}
}

// schema.cql files of snapshots have no keyspace, and repeat their types.
func TestPlanReplayOfSnapshots(t *testing.T) {
	const a = "CREATE TYPE IF NOT EXISTS ks.u (a int);\nCREATE TABLE IF NOT EXISTS ks.a (k u PRIMARY KEY) WITH ID = " + ordersID + ";"
	const b = "CREATE TYPE IF NOT EXISTS ks.u (a int);\nCREATE TABLE IF NOT EXISTS ks.b (k u PRIMARY KEY) WITH ID = " + otherID + ";"
	wanted := parse(t, a+b)
	if _, err := PlanReplay(wanted, Live{}, ReplayOptions{}); err == nil || !strings.Contains(err.Error(), "keyspace ks is not live") {
		t.Errorf("no keyspace: %v", err)
	}
	plan, err := PlanReplay(wanted, Live{}, ReplayOptions{Replication: map[string]Replication{"ks": {"class": "it's"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := summary(plan), "keyspace ks\ntype ks.u\ntable ks.a\ntable ks.b\nks.a +\nks.b +"; got != want {
		t.Errorf("got %s", got)
	}
	if got, want := plan.Steps[0].Statements[0], `CREATE KEYSPACE IF NOT EXISTS "ks" WITH replication = {'class': 'it''s'} AND durable_writes = true`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestPlanReplayRefuses(t *testing.T) {
	orders := TableName{"shop", "orders"}
	for _, tt := range []struct {
		name, cql string
		live      Live
		options   ReplayOptions
		want      string
	}{
		{"no such table", shopCQL, Live{}, ReplayOptions{Tables: []TableName{{"shop", "nope"}, orders, {"x", "y"}}}, "doesn't create shop.nope, x.y"},
		{"two under one name", shopCQL, Live{}, ReplayOptions{Tables: []TableName{orders, {"shop", "other"}}, As: TableName{"a", "b"}}, "to one table"},
		{"a view under another name", shopCQL, Live{}, ReplayOptions{Tables: []TableName{{"shop", "by_who"}}, As: TableName{"a", "b"}}, "is a view"},
		{"two definitions", shopCQL + "CREATE TYPE shop.unused (b int);", Live{}, ReplayOptions{}, "type shop.unused is defined twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if plan, err := PlanReplay(parse(t, tt.cql), tt.live, tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v; want %q", summary(plan), err, tt.want)
			}
		})
	}
	inUse := Live{Tables: []Table{{TableName: TableName{"old", "name"}, ID: hexID(ordersID)}}}
	if _, err := PlanReplay(parse(t, shopCQL), inUse, ReplayOptions{}); !errors.Is(err, ErrTableIDInUse) || !strings.Contains(err.Error(), "old.name") {
		t.Errorf("id in use: %v", err)
	}
	if _, err := PlanReplay([]Object{{Kind: KindTable, Statements: []string{"DROP TABLE x.y"}}}, Live{}, ReplayOptions{}); err == nil {
		t.Error("an object that nothing creates: accepted")
	}
}

func TestReplayed(t *testing.T) {
	name := TableName{"ks", "t"}
	plan := ReplayPlan{Tables: []ReplayTable{{TableName: name, WantedID: "a", Created: true}}}
	if _, err := replayed(plan, Live{}); err == nil {
		t.Error("a table that is not there: no error")
	}
	for id, created := range map[string]bool{"a": true, "b": false} {
		got, err := replayed(plan, Live{Tables: []Table{{TableName: name, ID: id}}})
		if err != nil || got[0].Created != created || got[0].LiveID != id {
			t.Errorf("live as %s: %+v, %v", id, got, err)
		}
	}
}
