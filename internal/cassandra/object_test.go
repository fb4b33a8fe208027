package cassandra

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, cql string
		want      []string
	}{
		{"nothing", " \n-- only; a comment\n/* and; another */ ;;", nil},
		{"plain", "a; b ;c", []string{"a", "b", "c"}},
		{"quotes", `a ';''' "x;""y";b`, []string{`a ';''' "x;""y"`, "b"}},
		{"dollars", "f AS $$ if (a) { return ';'; } -- $ /* $$; b", []string{"f AS $$ if (a) { return ';'; } -- $ /* $$", "b"}},
		{"a lone dollar", "a $ ; $b$", []string{"a $", "$b$"}},
		{"comments", "-- x\na // y;\n b /* ; */ c /* z */; d -- end", []string{"a // y;\n b /* ; */ c", "d"}},
		{"comment marks in quotes", "a '--' \"/*\" '//' ; b", []string{"a '--' \"/*\" '//'", "b"}},
		{"other line ends", "a -- x\r; b", []string{"a", "b"}},
		{"not ASCII", "a 'ж;ö' ж; b", []string{"a 'ж;ö' ж", "b"}},
	} {
		if got, err := Split(tt.cql); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
	for _, open := range []string{"a 'b", "a ''' ", `a "b""`, "a $$ b $", "a $$", "/* b", "/*/", "$$$"} {
		if got, err := Split(open); err == nil {
			t.Errorf("%q: got %q", open, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("CREATE TABLE \"a;\"\"b\".c (d text) WITH comment = 'x;''y'; -- e\nALTER /* ; */ x; $$ f; $$")
	f.Add("CREATE TABLE \"\".c")
	f.Add("a--b\r\n;c//d;\n$e$ $$'$$\x00ж")
	f.Fuzz(func(t *testing.T, cql string) {
		statements, err := Split(cql)
		if err != nil {
			return
		}
		for _, s := range statements {
			if strings.Trim(s, " \t\r\n;") != s && !strings.HasSuffix(s, ";") || !strings.Contains(cql, s) {
				t.Fatalf("%q of %q", s, cql)
			}
		}
		again, err := Split(strings.Join(statements, ";\n"))
		if err != nil || !slices.Equal(again, statements) {
			t.Fatalf("%q became %q, %v", statements, again, err)
		}
		if objects, err := ParseSchema(cql); err == nil {
			back, err := ParseSchema(Schema{Objects: objects}.CQL())
			if err != nil || !reflect.DeepEqual(back, objects) {
				t.Fatalf("%+v became %+v, %v", objects, back, err)
			}
			_, _ = PlanReplay(objects, Live{}, ReplayOptions{})
		}
	})
}

func TestParseSchema(t *testing.T) {
	const id = "a77cad50-e5a0-11f1-83b5-b72b6bc278dd"
	const hexID = "a77cad50e5a011f183b5b72b6bc278dd"
	for _, tt := range []struct {
		cql  string
		want Object
	}{
		{"CREATE KEYSPACE \"Shop\" WITH replication = {}", Object{Kind: KindKeyspace, Keyspace: "Shop", Name: "Shop"}},
		{"create type IF NOT EXISTS KS.Addr (a text)", Object{Kind: KindType, Keyspace: "ks", Name: "addr"}},
		{"CREATE OR REPLACE FUNCTION ks.\"F2\"(a frozen<map<int, text>>, b tuple<int, int>) RETURNS int AS $$ ) $$", Object{Kind: KindFunction, Keyspace: "ks", Name: "F2(a frozen<map<int, text>>, b tuple<int, int>)"}},
		{"CREATE AGGREGATE ks.agg(int) SFUNC f STYPE int", Object{Kind: KindAggregate, Keyspace: "ks", Name: "agg(int)"}},
		{"CREATE TABLE ks.t (id int PRIMARY KEY)\n\tWITH ID = " + id + "\n\tAND comment = 'ID = 0'", Object{Kind: KindTable, Keyspace: "ks", Name: "t", ID: hexID}},
		{"CREATE TABLE ks.\"T \"\".1\" (\"ID\" int PRIMARY KEY) WITH CLUSTERING ORDER BY (id ASC) AND id = " + strings.ToUpper(id), Object{Kind: KindTable, Keyspace: "ks", Name: `T ".1`, ID: hexID}},
		{"CREATE TABLE ks . t (id int PRIMARY KEY) WITH comment = 'WITH ID = " + id + "'", Object{Kind: KindTable, Keyspace: "ks", Name: "t"}},
		{"CREATE MATERIALIZED VIEW ks.\"V\" AS SELECT a, \"from\" FROM ks.t WHERE a IS NOT NULL PRIMARY KEY (a) WITH ID = " + id, Object{Kind: KindView, Keyspace: "ks", Name: "V", Table: "t", ID: hexID}},
		{"CREATE INDEX IF NOT EXISTS \"I\" ON ks.t (a)", Object{Kind: KindIndex, Keyspace: "ks", Name: "I", Table: "t"}},
		{"CREATE CUSTOM INDEX ON ks.t (a) USING 'sai'", Object{Kind: KindIndex, Keyspace: "ks", Table: "t"}},
		{"CREATE TRIGGER tr ON ks.t USING 'x'", Object{Kind: KindTrigger, Keyspace: "ks", Name: "tr", Table: "t"}},
	} {
		tt.want.Statements = []string{tt.cql, "ALTER TABLE x.y DROP z"}
		got, err := ParseSchema(tt.cql + ";\nALTER TABLE x.y DROP z;")
		if err != nil || !reflect.DeepEqual(got, []Object{tt.want}) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", tt.cql, got, err, tt.want)
		}
	}
	for cql, want := range map[string]string{
		"ALTER TABLE ks.t DROP x; CREATE TABLE ks.t (a int)": "creates nothing",
		"CREATE TABLE t (a int)":                             "no keyspace.name",
		"CREATE INDEX i (a)":                                 "no ON",
		"CREATE MATERIALIZED VIEW ks.v AS SELECT a":          "no FROM",
		"CREATE KEYSPACE 'x'":                                "no name",
		"CREATE TABLE ks.t ('":                               "has no end",
	} {
		if got, err := ParseSchema(cql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want %q", cql, got, err, want)
		}
	}
}

func TestSchemaHash(t *testing.T) {
	a := Schema{Version: "1", Objects: []Object{{Statements: []string{"a", "b"}}, {Statements: []string{"c"}}}}
	b := Schema{Version: "2", Objects: []Object{{Statements: []string{"c"}}, {Statements: []string{"a", "b"}}}}
	if a.Hash() != b.Hash() {
		t.Error("the order matters")
	}
	b.Objects[0].Statements[0] = "d"
	if a.Hash() == b.Hash() {
		t.Error("a changed statement doesn't matter")
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{"a": `"a"`, `Od"d`: `"Od""d"`, "select": `"select"`} {
		if got := Quote(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
