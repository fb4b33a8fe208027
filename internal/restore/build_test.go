package restore

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// history applies entries that need no bucket.
func state(t *testing.T, bodies ...manifest.Body) *manifest.State {
	t.Helper()
	s := manifest.NewState()
	for i, b := range bodies {
		m := &manifest.Manifest{Header: manifest.Header{
			Format: 1, Seq: uint64(i + 1), Kind: manifest.Increment, Time: b.AsOf, Base: 1,
			Keeps: []manifest.Keep{{Set: pack.SetID{byte(i + 1)}, Packs: 1, Bytes: 1000, Raw: 4000}},
		}, Body: b}
		if b.Full != nil {
			m.Kind = manifest.Full
		}
		if err := s.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// stored is an SSTable of one component of 1000 bytes, whose content is told by hash.
func stored(stem string, hash byte) manifest.SSTable {
	return manifest.SSTable{Stem: stem, Components: []manifest.Component{
		{Name: sstable.Data, Size: 1000, Hash: chunker.Hash{hash}, List: pack.ListRef{Off: 64, Len: uint32(hash) + 10}},
	}}
}

// based is a full of one table.
func based(t sstable.Table, all ...manifest.SSTable) manifest.Table {
	return manifest.Table{Table: t, Base: &manifest.Base{ID: "b", Complete: true}, Proven: noon, SSTables: all}
}

func fullOf(tables ...manifest.Table) manifest.Body {
	return manifest.Body{AsOf: noon, Full: &manifest.FullPart{Tag: "tag", All: true, Last: true}, Tables: tables}
}

func build(t *testing.T, s *manifest.State, r Request) *Plan {
	t.Helper()
	if r.Now.IsZero() {
		r.Now = noon
	}
	p, err := Build(s, prefix, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuildChoosesTables(t *testing.T) {
	s := state(t, fullOf(based(orders), based(users), based(roles), based(local)))
	f := func(r Request, want string) {
		t.Helper()
		var names []string
		for _, table := range build(t, s, r).Tables {
			names = append(names, table.Source().String())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
	f(Request{}, "shop.orders shop.users")
	f(Request{To: "/to"}, "shop.orders shop.users system.local system_auth.roles")
	f(Request{To: "/to", Tables: []string{"shop"}}, "shop.orders shop.users")
	f(Request{Tables: []string{"shop.users"}}, "shop.users")
	f(Request{Tables: []string{"shop.users", "shop"}}, "shop.orders shop.users")
	f(Request{Tables: []string{"shop.users", "system_auth.roles"}}, "shop.users system_auth.roles")
	f(Request{To: "/to", Tables: []string{"system.local"}}, "system.local")
	f(Request{Tables: []string{"shop.users"}, As: "rescue.users2"}, "shop.users")

	fail := func(r Request, want error) {
		t.Helper()
		if _, err := Build(s, prefix, r); !errors.Is(err, want) {
			t.Errorf("%+v: %v, want %v", r, err, want)
		}
	}
	fail(Request{Tables: []string{"shop.gone"}}, ErrNoTable)
	fail(Request{Tables: []string{"shop", "gone"}}, ErrNoTable)
	fail(Request{Tables: []string{"system.local"}}, ErrRequest)
	fail(Request{As: "shop.a"}, ErrRequest)
	fail(Request{Tables: []string{"shop.users"}, As: "a"}, ErrRequest)
	fail(Request{Tables: []string{"shop.users"}, As: "a.b", To: "/to"}, ErrRequest)
	fail(Request{To: "relative"}, ErrBadPlan)
	if _, err := Build(manifest.NewState(), prefix, Request{}); !errors.Is(err, ErrNoPoint) {
		t.Errorf("no history: %v, want %v", err, ErrNoPoint)
	}
}

// The first of a name keeps it, whatever else is there; indexes have numbers of their own.
func TestI9_BuildGivesFreshNumbers(t *testing.T) {
	index := stored("nb-1-big", 9)
	index.Index = ".idx"
	again := stored("nb-1-big", 8)
	again.Index = ".idx"
	s := state(t, fullOf(based(orders, stored("nb-1-big", 1), stored("nb-7-big", 2), index)),
		manifest.Body{Tables: []manifest.Table{{Table: orders, SSTables: []manifest.SSTable{
			stored("nb-1-big", 3), stored("nb-7-big", 2), stored("nb-7-big", 4), again,
		}}}})
	var got []string
	p := build(t, s, Request{To: "/to"})
	for _, x := range p.Tables[0].SSTables {
		got = append(got, fmt.Sprintf("%s %d %s", x.Path(sstable.Data), x.Files[0].Hash[0], x.Was))
	}
	slices.Sort(got)
	want := []string{
		".idx/nb-1-big-Data.db 9 ", ".idx/nb-2-big-Data.db 8 nb-1-big",
		"nb-1-big-Data.db 1 ", "nb-7-big-Data.db 2 ", "nb-8-big-Data.db 3 nb-1-big", "nb-9-big-Data.db 4 nb-7-big",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.Kind == WarnRenumbered }) {
		t.Errorf("no word of it in %v", p.Warnings)
	}
}

func TestRenumber(t *testing.T) {
	f := func(stem, want string) {
		t.Helper()
		if got, _ := renumber(stem, 77); got != want {
			t.Errorf("%s: %q, want %q", stem, got, want)
		}
	}
	f("nb-1-big", "nb-77-big")
	f("lb-12-big", "lb-77-big")
	f("da-3gqk_0tmd_2qhuo2l5dklx8l3kd3-bti", "da-77-bti")
	f("shop-orders-ka-3", "shop-orders-ka-77")
	f("shop-orders.idx-ka-3", "shop-orders.idx-ka-77")
	f("nonsense", "")
	f("tmp-la-1-big", "")
	if _, err := renumber("nb-1-big", 1<<31); err == nil {
		t.Error("a number that no version of Cassandra reads")
	}
}

// Loading leaves indexes to import, in directories and, up to 2.1, among the table's own.
func TestBuildForLoadLeavesOutIndexes(t *testing.T) {
	index := stored("nb-1-big", 2)
	index.Index = ".idx"
	s := state(t, fullOf(based(orders, stored("nb-1-big", 1), index, stored("shop-orders.idx-ka-1", 3))))
	p := build(t, s, Request{})
	if got := p.Tables[0].SSTables; len(got) != 1 || got[0].Stem != "nb-1-big" || p.Bytes != 1000 {
		t.Errorf("planned %+v", got)
	}
	if p := build(t, s, Request{To: "/to"}); len(p.Tables[0].SSTables) != 3 {
		t.Errorf("planned %+v", p.Tables[0].SSTables)
	}
}

func TestBuildCountsBytes(t *testing.T) {
	s := state(t, fullOf(based(orders, stored("nb-1-big", 1)), based(users, stored("nb-1-big", 2), stored("nb-2-big", 3))),
		manifest.Body{Tables: []manifest.Table{{Table: orders, SSTables: []manifest.SSTable{
			stored("nb-4-big", 4), stored("nb-5-big", 5), stored("nb-6-big", 6), stored("nb-7-big", 7)}}}})
	// Sets have 4000 bytes in 1000: of the first a quarter is wanted, of the second everything.
	p := build(t, s, Request{Tables: []string{"shop.orders"}})
	if p.Bytes != 5000 || p.FetchBytes != 1250 || len(p.Sets) != 2 {
		t.Errorf("%d bytes, %d to fetch from %d sets", p.Bytes, p.FetchBytes, len(p.Sets))
	}
}

func TestBuildOrdersViewsLast(t *testing.T) {
	view := sstable.Table{Keyspace: "shop", Name: "a_view", ID: roles.ID}
	body := fullOf(based(orders), based(view), based(users))
	body.Schema = &manifest.Schema{Statements: []string{
		"CREATE TABLE shop.orders (k int PRIMARY KEY)",
		"CREATE MATERIALIZED VIEW shop.a_view AS SELECT k FROM shop.orders WHERE k IS NOT NULL PRIMARY KEY (k)",
	}}
	got := build(t, state(t, body), Request{}).Tables
	if got[2].Name != "a_view" || !got[2].View || got[0].View {
		t.Errorf("planned %+v", got)
	}
	if got := build(t, state(t, body), Request{Tables: []string{"shop.orders"}}).Tables; len(got) != 2 || !got[1].View {
		t.Errorf("planned %+v, want the view too", got)
	}
	if got := build(t, state(t, body), Request{Tables: []string{"shop.orders"}, To: "/to"}).Tables; len(got) != 1 {
		t.Errorf("planned %+v, want what was named", got)
	}
}

// A table that was dropped and made anew has two chains.
func TestBuildOfTableMadeAnew(t *testing.T) {
	old := sstable.Table{Keyspace: "shop", Name: "orders", ID: strings.Repeat("f", 32)}
	body := fullOf(based(old, stored("nb-1-big", 1)), based(orders, stored("nb-1-big", 2)))
	f := func(schema string, r Request, want ...sstable.Table) {
		t.Helper()
		body.Schema = &manifest.Schema{Statements: []string{schema}}
		planned(t, build(t, state(t, body), r), want...)
	}
	f(create(orders), Request{}, orders)
	f(create(old), Request{}, old)
	f(create(orders), Request{Tables: []string{"shop.orders"}}, orders)
	f(create(orders), Request{To: "/to"}, orders, old)

	// Without a schema, what was stored last counts.
	body.Schema = nil
	s := state(t, body, manifest.Body{Tables: []manifest.Table{{Table: old, SSTables: []manifest.SSTable{stored("nb-2-big", 3)}}}})
	planned(t, build(t, s, Request{}), old)
}

// A table as it was before it was dropped: the schema is that of before, too.
func TestBuildBeforeCut(t *testing.T) {
	body := fullOf(based(orders, stored("nb-1-big", 1)), based(users))
	body.Schema = &manifest.Schema{Statements: []string{create(orders), create(users)}}
	s := state(t, body, manifest.Body{
		AsOf: at(2), Schema: &manifest.Schema{Statements: []string{create(users)}},
		Tables: []manifest.Table{{Table: orders, Cut: &manifest.Cut{Why: manifest.Dropped, At: at(1), After: 1}, SSTables: []manifest.SSTable{stored("nb-2-big", 2)}}},
	})
	e := s.Endings("shop", "orders")[0]
	p := build(t, s, Request{Before: &e})
	if len(p.Tables) != 1 || p.Tables[0].Table() != orders || len(p.Tables[0].SSTables) != 2 || p.Whole || !slices.Contains(p.Schema, create(orders)) {
		t.Errorf("planned %+v with %q", p.Tables, p.Schema)
	}
	if want := (Point{2, manifest.KindCut, at(1)}); p.Point != want {
		t.Errorf("point %+v, want %+v", p.Point, want)
	}
	if p := build(t, s, Request{Before: &e, As: "shop.orders2"}); p.Tables[0].Target().Table != "orders2" {
		t.Errorf("planned %+v", p.Tables[0])
	}

	if got := build(t, s, Request{}).Tables; len(got) != 1 || got[0].Table() != users {
		t.Errorf("after the DROP: planned %+v", got)
	}
	_, err := Build(s, prefix, Request{Tables: []string{"shop.orders"}})
	if !errors.Is(err, ErrNoTable) || !strings.Contains(err.Error(), "--before-drop shop.orders") {
		t.Errorf("after the DROP, by name: %v", err)
	}
}

// create is the CQL that makes a table.
func create(t sstable.Table) string {
	return fmt.Sprintf("CREATE TABLE %s.%s (k int PRIMARY KEY) WITH ID = %s-%s-%s-%s-%s",
		t.Keyspace, t.Name, t.ID[:8], t.ID[8:12], t.ID[12:16], t.ID[16:20], t.ID[20:])
}

// planned compares the tables of a plan that has something to say about one whose name another has.
func planned(t *testing.T, p *Plan, want ...sstable.Table) {
	t.Helper()
	var got []sstable.Table
	for _, table := range p.Tables {
		got = append(got, table.Table())
	}
	if !slices.Equal(got, want) {
		t.Errorf("planned %v, want %v", got, want)
	}
	if !slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.Kind == WarnDropped }) {
		t.Errorf("no word of it in %v", p.Warnings)
	}
}

func TestBuildWarns(t *testing.T) {
	const cql = "CREATE TABLE shop.orders (k int PRIMARY KEY) WITH ID = 5a1c394c-0f4a-11f1-b2d3-e1a2b3c4d5e6 AND gc_grace_seconds = 864000"
	x := stored("nb-1-big", 1)
	x.Partitioner = "org.apache.cassandra.dht.Murmur3Partitioner"
	f := func(r Request, body manifest.Body, want ...WarningKind) {
		t.Helper()
		var got []WarningKind
		for _, w := range build(t, state(t, body), r).Warnings {
			got = append(got, w.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("warnings %q, want %q", got, want)
		}
	}
	whole := func(schema string) manifest.Body {
		b := fullOf(based(orders, x))
		b.Node = &manifest.Node{Release: "4.1.10"}
		if schema != "" {
			b.Schema = &manifest.Schema{Statements: []string{schema}}
		}
		return b
	}
	f(Request{Now: noon.Add(time.Hour)}, whole(cql))
	f(Request{Now: noon.Add(11 * 24 * time.Hour)}, whole(cql), WarnOld)
	f(Request{}, whole("CREATE TABLE shop.orders (k int PRIMARY KEY)"), WarnAgeUnknown)
	f(Request{}, whole(""), WarnNoSchema, WarnAgeUnknown)
	f(Request{}, whole("CREATE TABLE 'nonsense"), WarnNoSchema, WarnAgeUnknown)

	beside := whole("")
	beside.Tables[0].Base.SchemaCQL = "CREATE TYPE IF NOT EXISTS shop.a (b int);\n" + cql + ";"
	f(Request{Now: noon.Add(time.Hour)}, beside)

	unproven := whole(cql)
	unproven.Tables[0].Proven = time.Time{}
	f(Request{}, unproven, WarnUnproven)
	f(Request{}, manifest.Body{AsOf: noon, Schema: whole(cql).Schema, Tables: []manifest.Table{{Table: orders, SSTables: []manifest.SSTable{x}}}}, WarnNoBase)

	live := &Live{
		Identity: cassandra.Identity{Release: "4.1.10", Partitioner: "org.apache.cassandra.dht.Murmur3Partitioner"},
		Schema:   cassandra.Live{Tables: []cassandra.Table{{TableName: cassandra.TableName{Keyspace: "shop", Name: "orders"}, ID: orders.ID}}},
	}
	f(Request{Live: live}, whole(cql), WarnNewer)
	f(Request{Live: live, Tables: []string{"shop.orders"}, As: "shop.other"}, whole(cql))
	const counters = "CREATE TABLE shop.orders (k int PRIMARY KEY, n counter) WITH gc_grace_seconds = 864000"
	viewed := *live
	viewed.Schema.Tables = append(slices.Clone(live.Schema.Tables),
		cassandra.Table{TableName: cassandra.TableName{Keyspace: "shop", Name: "by_day"}, Base: "orders"},
		cassandra.Table{TableName: cassandra.TableName{Keyspace: "shop", Name: "others"}, Base: "other"})
	f(Request{Live: &viewed}, whole(counters), WarnNewer, WarnCounter, WarnView)
	other := *live
	other.Identity = cassandra.Identity{Release: "5.0.8", Partitioner: "org.apache.cassandra.dht.RandomPartitioner"}
	other.Schema = cassandra.Live{Tables: []cassandra.Table{{TableName: cassandra.TableName{Keyspace: "shop", Name: "orders"}, ID: users.ID}}}
	f(Request{Live: &other}, whole(cql), WarnRelease, WarnPartitioner, WarnTableID, WarnNewer)
}

// Whoever restores an old point is told how, with the numbers.
func TestBuildWarnsOfOldPoints(t *testing.T) {
	body := fullOf(based(orders, stored("nb-1-big", 1)))
	body.Schema = &manifest.Schema{Statements: []string{"CREATE TABLE shop.orders (k int PRIMARY KEY) WITH gc_grace_seconds = 3600"}}
	now := noon.Add(90 * 24 * time.Hour)
	in := build(t, state(t, body), Request{Now: now}).Warnings
	beside := build(t, state(t, body), Request{Now: now, As: "shop.then"}).Warnings
	if len(in) != 1 || len(beside) != 1 {
		t.Fatalf("%v, %v", in, beside)
	}
	for _, want := range []string{"--as KS.T", "gc_grace_seconds = 8640000;", "all replicas", "nodetool repair -full", "gc_grace_seconds = 3600"} {
		if !strings.Contains(in[0].Text, want) {
			t.Errorf("%q is not in %q", want, in[0].Text)
		}
	}
	if strings.Contains(beside[0].Text, "--as") {
		t.Error(beside[0].Text)
	}
}

// proven_until claims no more than the table that is proven least (I10).
func TestI10_BuildProven(t *testing.T) {
	f := func(a, b, want time.Time) {
		t.Helper()
		x, y := based(orders), based(users)
		x.Proven, y.Proven = a, b
		if got := build(t, state(t, fullOf(x, y)), Request{}).ProvenUntil; !got.Equal(want) {
			t.Errorf("proven until %s, want %s", got, want)
		}
	}
	f(at(1), at(2), at(1))
	f(at(2), at(1), at(1))
	f(at(2), time.Time{}, time.Time{})
	f(time.Time{}, at(2), time.Time{})
}

func TestPlanComesBack(t *testing.T) {
	s := state(t, fullOf(based(orders, stored("nb-1-big", 1), stored("nb-1-big", 2)), based(users)))
	for _, r := range []Request{{To: "/to"}, {}, {Tables: []string{"shop.orders"}, As: "a.b"}} {
		p := build(t, s, r)
		encoded, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, again) {
			t.Errorf("got  %+v\nwant %+v", again, p)
		}
	}
}

// A node may have 20,000 SSTables: its plan has less than 32 MiB.
func TestPlanOfManySSTables(t *testing.T) {
	const n = 1000
	var all []manifest.SSTable
	for i := range n {
		x := manifest.SSTable{Stem: fmt.Sprintf("nb-%d-big", i), Facts: manifest.Facts{Partitioner: "org.apache.cassandra.dht.Murmur3Partitioner"}}
		for k, name := range []string{"CompressionInfo.db", "Data.db", "Digest.crc32", "Filter.db", "Index.db", "Statistics.db", "Summary.db", "TOC.txt"} {
			x.Components = append(x.Components, manifest.Component{
				Name: name, Size: 1 << 20, Hash: chunker.Sum([]byte{byte(i), byte(i >> 8), byte(k)}), List: pack.ListRef{Pack: 3, Off: 1 << 23, Len: 65},
			})
		}
		all = append(all, x)
	}
	p := build(t, state(t, fullOf(based(orders, all...))), Request{To: "/to"})
	encoded, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if size := len(encoded) / n * 20_000; size > 32<<20 {
		t.Errorf("the plan would have %d MiB", size>>20)
	}
	if _, err := Decode(encoded); err != nil {
		t.Error(err)
	}
}

// A table that was made since the last full, and of which nothing is stored, began empty; of an older
// one nothing is known, and it is left out.
func TestBuildOfTableWithNothingStored(t *testing.T) {
	body := fullOf(based(orders, stored("nb-1-big", 1)))
	body.Full.Began = noon
	fresh := sstable.Table{Keyspace: "shop", Name: "fresh", ID: "1c43983ae5d611f1a35c8b4f16a38a81"} // of the day after
	older := sstable.Table{Keyspace: "shop", Name: "older", ID: "1c43983ae5d611e1a35c8b4f16a38a81"}
	later := &manifest.Schema{Statements: []string{create(orders), create(fresh), create(older)}}
	p := build(t, state(t, body), Request{Later: later})
	tables := func(p *Plan) string {
		var names []string
		for _, t := range p.Tables {
			names = append(names, t.Name)
		}
		return strings.Join(names, " ")
	}
	if got := tables(p); got != "fresh orders" {
		t.Errorf("planned %s", got)
	}
	if !p.Tables[0].ProvenUntil.Equal(noon) || len(p.Tables[0].SSTables) > 0 {
		t.Errorf("%+v", p.Tables[0])
	}
	if got := tables(build(t, state(t, body), Request{Later: later, Tables: []string{"shop.fresh"}})); got != "fresh" {
		t.Errorf("planned %s", got)
	}
	if got := tables(build(t, state(t, body), Request{Later: later, At: noon.Add(time.Hour)})); got != "orders" {
		t.Errorf("before it was made: planned %s", got)
	}
	if got := tables(build(t, state(t, body), Request{})); got != "orders" {
		t.Errorf("planned %s", got)
	}
}
