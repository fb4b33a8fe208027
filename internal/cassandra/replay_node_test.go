package cassandra

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// nastySchema has what is easily lost: quoted names, reserved words, semicolons
// in bodies, dropped columns that came back, everything WITH.
var nastySchema = []string{
	`CREATE KEYSPACE nasty WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
	`CREATE KEYSPACE "Shop" WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1} AND durable_writes = false`,
	`CREATE TYPE nasty."Addr" (street text, "Zip" int, tags frozen<set<text>>)`,
	`CREATE TYPE nasty.person (name text, home frozen<"Addr">)`,
	`CREATE TABLE nasty.snapshots (id int, "select" text, "Weird "" col" text, p frozen<person>, l list<frozen<"Addr">>, m map<text, frozen<tuple<int, text>>>,
		s text static, c int, gone int, back int, u frozen<"Addr">, PRIMARY KEY (id, c))
		WITH comment = 'it''s; "odd" -- $$ /* WITH ID = 1' AND default_time_to_live = 1000 AND gc_grace_seconds = 7200 AND CLUSTERING ORDER BY (c DESC)
		AND compaction = {'class': 'LeveledCompactionStrategy'} AND compression = {'class': 'ZstdCompressor', 'chunk_length_in_kb': 4}`,
	`ALTER TABLE nasty.snapshots DROP gone`,
	`ALTER TABLE nasty.snapshots DROP back`,
	`ALTER TABLE nasty.snapshots ADD back int`,
	`ALTER TABLE nasty.snapshots DROP u`,
	`CREATE TABLE "Shop"."Order" ("Id" int, id int, n counter, PRIMARY KEY ("Id", id))`,
	`CREATE TABLE "Shop".backups (k int PRIMARY KEY, v text) WITH compaction = {'class': 'TimeWindowCompactionStrategy'} AND compression = {'enabled': false}`,
	`CREATE INDEX ON nasty.snapshots ("select")`,
	`CREATE INDEX "MyIdx" ON nasty.snapshots ("Weird "" col")`,
	`CREATE INDEX sai1 ON nasty.snapshots (back) USING 'sai'`,
	`CREATE TABLE nasty.sasi (id int PRIMARY KEY, t text)`,
	`CREATE CUSTOM INDEX sasi_t ON nasty.sasi (t) USING 'org.apache.cassandra.index.sasi.SASIIndex' WITH OPTIONS = {'mode': 'CONTAINS'}`,
	`CREATE MATERIALIZED VIEW nasty."View" AS SELECT id, c, back FROM nasty.snapshots
		WHERE id IS NOT NULL AND c IS NOT NULL AND back IS NOT NULL PRIMARY KEY (back, id, c)`,
	`CREATE FUNCTION nasty.f1(a int, b int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java
		AS $$ if (a == 1) { return b; } /* ; */ String s = "';"; return a + b; $$`,
	`CREATE FUNCTION nasty."F2"(a int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return a; // it''s'`,
	`CREATE AGGREGATE nasty.agg(int) SFUNC f1 STYPE int FINALFUNC "F2" INITCOND 0`,
}

func TestReplayOnANode(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	n.exec(t, nastySchema...)
	saved, err := n.conn.Schema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSchema(saved.CQL()); err != nil || !reflect.DeepEqual(again, saved.Objects) {
		t.Errorf("the script is not the schema: %v\n%s", err, saved.CQL())
	}
	if len(saved.Objects) != 16 || len(saved.Omitted) > 0 {
		t.Errorf("%d objects, omitted %q", len(saved.Objects), saved.Omitted)
	}
	n.checkIDs(t, saved)
	const tag = "with schema"
	if err := n.tool.Snapshot(ctx, tag, []string{"nasty"}); err != nil {
		t.Fatal(err)
	}

	t.Run("the whole schema", func(t *testing.T) { n.replayAll(t, saved) })
	t.Run("again, all live", func(t *testing.T) { n.replayNothing(t, saved) })
	t.Run("another name", func(t *testing.T) { n.replayAs(t, saved) })
	t.Run("somebody was faster", func(t *testing.T) { n.replayRace(t, saved) })
	t.Run("half made", func(t *testing.T) { n.replayHalfMade(t, saved) })
	t.Run("from a snapshot", func(t *testing.T) { n.replaySnapshot(t, saved, tag) })
}

func (n testNode) live(t *testing.T) Live {
	t.Helper()
	live, err := n.conn.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return live
}

func (n testNode) replay(t *testing.T, wanted []Object, o ReplayOptions) []ReplayTable {
	t.Helper()
	plan, err := PlanReplay(wanted, n.live(t), o)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := n.conn.Replay(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// checkIDs compares the ids of the script with system_schema's.
func (n testNode) checkIDs(t *testing.T, s Schema) {
	t.Helper()
	live := n.live(t)
	for _, o := range s.Objects {
		if o.Kind != KindTable && o.Kind != KindView {
			continue
		}
		table := live.table(TableName{o.Keyspace, o.Name})
		if table == nil || len(o.ID) != 32 || table.ID != o.ID || table.Base != o.Table {
			t.Errorf("%s: the script says %+v, the node %+v", o, o.ID, table)
		}
	}
}

func (n testNode) same(t *testing.T, want Schema) {
	t.Helper()
	got, err := n.conn.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.CQL() != want.CQL() || got.Hash() != want.Hash() {
		t.Errorf("got\n%s\nwant\n%s", got.CQL(), want.CQL())
	}
	n.checkIDs(t, want)
}

func (n testNode) replayAll(t *testing.T, saved Schema) {
	n.exec(t, "DROP KEYSPACE nasty", `DROP KEYSPACE "Shop"`)
	for _, table := range n.replay(t, saved.Objects, ReplayOptions{}) {
		if !table.Created || table.LiveID != table.WantedID {
			t.Errorf("%+v", table)
		}
	}
	n.same(t, saved)
}

func (n testNode) replayNothing(t *testing.T, saved Schema) {
	for _, table := range n.replay(t, saved.Objects, ReplayOptions{}) {
		if table.Created || table.LiveID != table.WantedID || table.LacksDropped != nil {
			t.Errorf("%+v", table)
		}
	}
	n.same(t, saved)
}

func (n testNode) replayAs(t *testing.T, saved Schema) {
	as := TableName{"Restored", "select"}
	options := ReplayOptions{
		Tables:      []TableName{{"nasty", "snapshots"}},
		As:          as,
		Replication: map[string]Replication{"Restored": {"class": "SimpleStrategy", "replication_factor": "1"}},
	}
	tables := n.replay(t, saved.Objects, options)
	if len(tables) != 1 || tables[0].TableName != as || !tables[0].Created || tables[0].LiveID == "" {
		t.Errorf("%+v", tables)
	}
	// What the copy has dropped is what the original has: its old SSTables load.
	live := n.live(t)
	original, copied := live.table(options.Tables[0]), live.table(as)
	if !slices.Equal(original.Dropped, copied.Dropped) || len(copied.Dropped) != 3 || copied.ID == original.ID {
		t.Errorf("original %+v, copy %+v", original, copied)
	}
	n.exec(t, `DROP KEYSPACE "Restored"`)
	n.same(t, saved)
}

// A table that appears between plan and replay must not lose the columns that
// the wanted one had dropped.
func (n testNode) replayRace(t *testing.T, saved Schema) {
	name := TableName{"nasty", "snapshots"}
	n.exec(t, `DROP MATERIALIZED VIEW nasty."View"`, "DROP TABLE nasty.snapshots")
	plan, err := PlanReplay(saved.Objects, n.live(t), ReplayOptions{Tables: []TableName{name}})
	if err != nil {
		t.Fatal(err)
	}
	n.exec(t, "CREATE TABLE nasty.snapshots (id int PRIMARY KEY, gone int)")
	if tables, err := n.conn.Replay(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "create table nasty.snapshots") {
		t.Errorf("got %+v, %v", tables, err)
	}
	if table := n.live(t).table(name); len(table.Dropped) > 0 {
		t.Errorf("a column of a live table was dropped: %+v", table)
	}
	n.exec(t, "DROP TABLE nasty.snapshots")
}

func (n testNode) replayHalfMade(t *testing.T, saved Schema) {
	name := TableName{"nasty", "snapshots"}
	plan, err := PlanReplay(saved.Objects, n.live(t), ReplayOptions{Tables: []TableName{name}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plan.Steps, func(o Object) bool { return o.Kind == KindTable })
	n.exec(t, plan.Steps[i].Statements[0]) // and then it broke off
	again, err := PlanReplay(saved.Objects, n.live(t), ReplayOptions{Tables: []TableName{name}})
	if err != nil {
		t.Fatal(err)
	}
	if t0 := again.Tables[0]; t0.Created || t0.LiveID != t0.WantedID || len(t0.LacksDropped) != 3 {
		t.Errorf("%+v", t0)
	}
	n.exec(t, "DROP TABLE nasty.snapshots")
	n.replay(t, saved.Objects, ReplayOptions{})
	n.same(t, saved)
}

// replaySnapshot makes one table from the schema.cql of its snapshot.
func (n testNode) replaySnapshot(t *testing.T, saved Schema, tag string) {
	var files []string
	for _, data := range n.DataDirs {
		files = append(files, glob(t, data, "nasty/snapshots-*/snapshots/"+tag+"/schema.cql")...)
	}
	if len(files) != 1 {
		t.Fatalf("schema.cql: %q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	objects, err := ParseSchema(string(text))
	if err != nil {
		t.Fatal(err)
	}
	n.exec(t, "DROP KEYSPACE nasty")
	tables := n.replay(t, objects, ReplayOptions{
		Replication: map[string]Replication{"nasty": {"class": "SimpleStrategy", "replication_factor": "1"}},
	})
	if len(tables) != 1 || !tables[0].Created || tables[0].LiveID != tables[0].WantedID {
		t.Errorf("%+v", tables)
	}
	got, err := n.conn.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range saved.Objects {
		if want.Keyspace != "nasty" || want.Name != "snapshots" && want.Table != "snapshots" || want.Kind == KindView {
			continue
		}
		i := slices.IndexFunc(got.Objects, func(o Object) bool { return o.String() == want.String() })
		if i < 0 || !reflect.DeepEqual(got.Objects[i], want) {
			t.Errorf("%s: want %q of\n%s", want, want.Statements, got.CQL())
		}
	}
}
