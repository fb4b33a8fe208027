package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// tape is a log that holds one stretch.
type tape struct {
	from, to time.Time
	damaged  bool
}

func (s tape) Covers(from, to time.Time) error {
	if from.Before(s.from) || to.After(s.to) {
		return errHole
	}
	return nil
}

func (s tape) Until() time.Time { return s.to }

func (s tape) Reach(from, to time.Time) time.Time {
	if s.Covers(from, to) != nil {
		return time.Time{}
	}
	return s.to
}

// torn is a tape with another one behind a hole.
type torn struct {
	tape
	until time.Time
}

func (s torn) Until() time.Time { return s.until }

func (s tape) Size(_ context.Context, from, to time.Time) (int64, error) {
	if s.damaged {
		return 0, commitlog.ErrDamaged
	}
	return to.Sub(from).Milliseconds(), s.Covers(from, to)
}

func (s tape) Begins(context.Context, time.Time, time.Time) (time.Time, error) { return s.from, nil }

func (s tape) Fetch(context.Context, time.Time, time.Time, string) error { return errHole }

// A plan is exact where the log covers what is behind the proof of a table, and says why where it
// is not.
func TestI10_RefineClaimsNoMoreThanTheLog(t *testing.T) {
	base := func() *Plan {
		return &Plan{
			Format: PlanFormat, Prefix: prefix, Point: Point{Seq: 2, Time: at(10)},
			Tables: []Table{
				{Keyspace: "shop", Name: "orders", ID: orders.ID, ProvenUntil: at(5), SSTables: []SSTable{{Stem: "nb-1-big", MaxTimestamp: at(11).UnixMicro()}}},
				{Keyspace: "shop", Name: "users", ID: users.ID, ProvenUntil: at(8)},
				{Keyspace: "system_auth", Name: "roles", ID: roles.ID, ProvenUntil: at(1)},
			},
		}
	}
	type want struct {
		from, to float64 // minutes
		tables   string
		proven   float64 // of orders
		warned   string
	}
	f := func(what string, x Exact, want want) {
		t.Helper()
		p := base()
		if err := p.Refine(t.Context(), x); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		var got []string
		for _, w := range p.Warnings {
			got = append(got, fmt.Sprint(w.Kind, w.Tables))
		}
		if s := strings.Join(got, " "); s != want.warned {
			t.Errorf("%s: warnings %s, want %s", what, s, want.warned)
		}
		if !p.Tables[0].ProvenUntil.Equal(at(want.proven)) {
			t.Errorf("%s: orders are proven until %s", what, p.Tables[0].ProvenUntil)
		}
		if want.tables == "" {
			if p.Replay != nil {
				t.Errorf("%s: %+v", what, p.Replay)
			}
			return
		}
		if p.Replay == nil {
			t.Errorf("%s: nothing is replayed", what)
			return
		}
		r := p.Replay
		if !r.From.Equal(at(want.from)) || !r.To.Equal(at(want.to)) || fmt.Sprint(r.Tables) != want.tables || !r.Until.Equal(x.At) || p.FetchBytes != r.Bytes {
			t.Errorf("%s: %+v, want %+v", what, r, want)
		}
	}
	both, late := "[shop.orders shop.users]", lateness.Minutes()
	f("all of it", Exact{Log: tape{at(0), at(60), false}, At: at(12)}, want{5, 12 + late, both, 12, ""})
	f("to its end", Exact{Log: tape{at(0), at(12), false}, At: at(12)}, want{5, 12, both, 12, ""})
	f("to a hole behind it", Exact{Log: torn{tape{at(0), at(12.05), false}, at(60)}, At: at(12)}, want{5, 12.05, both, 12, ""})
	f("the latest", Exact{Log: tape{at(0), at(20), false}}, want{5, 20, both, 20, ""})
	f("nothing later", Exact{Log: tape{at(0), at(0.5), false}}, want{proven: 5})
	f("one table", Exact{Log: tape{at(6), at(60), false}, At: at(12)}, want{8, 12 + late, "[shop.users]", 5, "inexact[shop.orders]"})
	f("too short", Exact{Log: tape{at(0), at(11), false}, At: at(12)}, want{proven: 5, warned: "inexact" + both})
	f("no log", Exact{Log: tape{}, At: at(12)}, want{proven: 5, warned: "inexact" + both})
	f("damaged", Exact{Log: tape{at(0), at(60), true}, At: at(12)}, want{proven: 5, warned: "inexact" + both})
	f("no Cassandra", Exact{Log: tape{at(0), at(60), false}, At: at(12), Cannot: errors.New("none is at hand")}, want{proven: 5, warned: "inexact" + both})
	cut := func(minute float64) func(context.Context, time.Time) (map[sstable.Table]time.Time, error) {
		return func(context.Context, time.Time) (map[sstable.Table]time.Time, error) {
			return map[sstable.Table]time.Time{orders: at(minute)}, nil
		}
	}
	f("truncated within the log", Exact{Log: tape{at(0), at(60), false}, At: at(12), Cuts: cut(3)}, want{8, 12 + late, "[shop.users]", 5, "inexact[shop.orders]"})
	f("truncated before it", Exact{Log: tape{at(0), at(60), false}, At: at(12), Cuts: cut(-3)}, want{5, 12 + late, both, 12, ""})
	f("later than clients' clocks", Exact{Log: tape{at(0), at(60), false}, At: at(10.5)}, want{5, 10.5 + late, both, 10.5, "future[shop.orders]"})
}

// Whatever happened to a table around a moment, the schema for it has the columns of before and after.
func TestMergeSchemas(t *testing.T) {
	const (
		space = "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': '1'}"
		kept  = "CREATE TABLE shop.kept (id int PRIMARY KEY, a text) WITH ID = 11111111-0f4a-11f1-b2d3-e1a2b3c4d5e6"
		more  = "CREATE TABLE shop.kept (id int PRIMARY KEY, a text, gone int, b text, c text) WITH ID = 11111111-0f4a-11f1-b2d3-e1a2b3c4d5e6"
		old   = "ALTER TABLE shop.kept DROP gone USING TIMESTAMP 1"
		since = "ALTER TABLE shop.kept DROP b USING TIMESTAMP 2"
		lost  = "CREATE TABLE shop.lost (id int PRIMARY KEY) WITH ID = 22222222-0f4a-11f1-b2d3-e1a2b3c4d5e6"
		made  = "CREATE TABLE shop.made (id int PRIMARY KEY) WITH ID = 33333333-0f4a-11f1-b2d3-e1a2b3c4d5e6"
		first = "CREATE TABLE shop.again (id int PRIMARY KEY) WITH ID = 44444444-0f4a-11f1-b2d3-e1a2b3c4d5e6"
		again = "CREATE TABLE shop.again (id int PRIMARY KEY, other int) WITH ID = 55555555-0f4a-11f1-b2d3-e1a2b3c4d5e6"
	)
	got, err := mergeSchemas([]string{space, kept, old, lost, first}, []string{space, more, old, since, made, again})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{space, more, old, made, first, lost}; !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := cassandra.ParseSchema(script(got)); err != nil {
		t.Error(err)
	}
}

func TestSchemaAt(t *testing.T) {
	w := newWorld(t)
	schema := func(s string) *manifest.Schema { return &manifest.Schema{Hash: s, Statements: []string{s}} }
	commit := func(kind manifest.Kind, minute float64, s *manifest.Schema) {
		w.time = at(minute)
		w.commit(kind, manifest.Body{AsOf: at(minute), Schema: s})
	}
	commit(manifest.Open, 0, nil)
	commit(manifest.Increment, 1, schema("one"))
	commit(manifest.Increment, 5, nil)
	commit(manifest.Increment, 9, schema("nine"))
	commit(manifest.Open, 11, nil)
	commit(manifest.Increment, 12, nil)
	commit(manifest.Increment, 20, schema("twenty"))
	f := func(minute float64, want string) {
		t.Helper()
		sel := Selector{At: at(minute)}
		s, err := Select(t.Context(), w.reader(), sel)
		if err != nil {
			t.Fatal(err)
		}
		got, err := SchemaAt(t.Context(), w.reader(), s, at(minute))
		switch {
		case err != nil:
			t.Errorf("%g: %v", minute, err)
		case got == nil && want != "", got != nil && got.Hash != want:
			t.Errorf("%g: %+v, want %q", minute, got, want)
		}
	}
	f(3, "")
	f(6, "nine")
	f(10, "")
	f(13, "twenty")
	f(30, "")
	s, err := Select(t.Context(), w.reader(), Selector{Seq: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := SchemaAt(t.Context(), w.reader(), s, time.Time{}); err != nil || got.Hash != "twenty" {
		t.Errorf("the newest: %+v, %v", got, err)
	}
}
