package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// node does what a real one does with files, and nothing else: Import moves SSTables to new names.
type node struct {
	t    *testing.T
	dirs []string
	id   cassandra.Identity
	live cassandra.Live

	numbers int
	calls   []string // "flush ks t…", "import ks.t"
	// before and after Import moves files; an error is its result.
	before, after func(Name) error
}

func newNode(t *testing.T) *node {
	return &node{
		t: t, dirs: []string{t.TempDir(), t.TempDir()},
		id:   cassandra.Identity{Release: "5.0.8", Partitioner: "org.apache.cassandra.dht.Murmur3Partitioner"},
		live: cassandra.Live{Keyspaces: []string{"system", "system_auth"}},
	}
}

func (n *node) Identity(context.Context) (cassandra.Identity, error) { return n.id, nil }
func (n *node) Live(context.Context) (cassandra.Live, error)         { return n.live, nil }
func (n *node) has(keyspace, table, id string) {
	n.make(cassandra.TableName{Keyspace: keyspace, Name: table}, id)
}
func (n *node) make(name cassandra.TableName, id string) {
	n.live.Tables = append(n.live.Tables, cassandra.Table{TableName: name, ID: id})
}
func (n *node) tableDir(keyspace, table, id string, disk int) string {
	return filepath.Join(n.dirs[disk], keyspace, sstable.Table{Keyspace: keyspace, Name: table, ID: id}.Dir())
}

func (n *node) Replay(_ context.Context, p cassandra.ReplayPlan) ([]cassandra.ReplayTable, error) {
	for _, t := range p.Tables {
		if t.Created {
			id := t.WantedID
			if id == "" {
				id = fmt.Sprintf("%032x", len(n.live.Tables)+1)
			}
			n.make(t.TableName, id)
		}
	}
	return p.Tables, nil
}

func (n *node) Flush(_ context.Context, keyspace string, tables ...string) error {
	n.calls = append(n.calls, "flush "+keyspace+" "+strings.Join(tables, " "))
	return nil
}

func (n *node) Import(ctx context.Context, keyspace, table string, dirs []string, _ cassandra.ImportOptions) error {
	name := Name{keyspace, table}
	n.calls = append(n.calls, "import "+name.String())
	if n.before != nil {
		if err := n.before(name); err != nil {
			return err
		}
	}
	id, ok := liveID(n.live, name)
	if !ok || len(dirs) != 1 || !strings.HasSuffix(dirs[0], "/"+keyspace+"/"+table) {
		n.t.Errorf("import of %q into %s", dirs, name)
		return errors.New("no such table")
	}
	entries, err := os.ReadDir(dirs[0])
	if err != nil {
		return err
	}
	fresh := map[string]string{} // stems
	for i, e := range entries {
		parsed, ok := sstable.ParseName(e.Name())
		if !ok {
			n.t.Errorf("%s is no SSTable's", e.Name())
			continue
		}
		if fresh[parsed.Stem] == "" {
			n.numbers++
			fresh[parsed.Stem] = fmt.Sprintf("nb-%d-big", n.numbers)
		}
		to := n.tableDir(keyspace, table, id, 0)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		err := os.Rename(filepath.Join(dirs[0], e.Name()), filepath.Join(to, fresh[parsed.Stem]+"-"+parsed.Component))
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
	}
	if n.after != nil {
		return n.after(name)
	}
	return nil
}

// loaded compares the Data.db of the live tables with those of SSTables, each once.
func (n *node) loaded(want ...sst) {
	n.t.Helper()
	var have, wanted []string
	for _, dir := range n.dirs {
		for name, b := range tree(n.t, dir) {
			if strings.HasSuffix(name, "-"+sstable.Data) {
				t, _ := sstable.ParseTableDir(strings.Split(name, "/")[0], strings.Split(name, "/")[1])
				have = append(have, t.Keyspace+"."+t.Name+" "+chunker.Sum(b).String())
			}
		}
	}
	for _, s := range want {
		wanted = append(wanted, s.table.Keyspace+"."+s.table.Name+" "+chunker.Sum(s.files[sstable.Data]).String())
	}
	slices.Sort(have)
	slices.Sort(wanted)
	if !slices.Equal(have, wanted) {
		n.t.Errorf("live  %q\nwant %q", have, wanted)
	}
}

func (n *node) imports() (all []string) {
	for _, c := range n.calls {
		if strings.HasPrefix(c, "import") {
			all = append(all, c)
		}
	}
	return all
}

// toLoad is a history of two tables with a schema: a full, an increment with an index, an id that came
// back.
func toLoad(t *testing.T) (*world, []sst) {
	w := newWorld(t)
	a, b := data(orders, "nb-1-big", 1, 20_000), data(users, "nb-1-big", 2, 3000)
	c, d := data(orders, "nb-2-big", 3, 10_000), data(orders, "nb-1-big", 4, 9000)
	index := data(users, "nb-1-big", 5, 500)
	index.index = ".users_city"
	all := []sst{a, b}
	stored, keep := w.store(all...)
	w.commit(manifest.Full, manifest.Body{
		AsOf: noon, Full: &manifest.FullPart{Tag: "base", All: true, Last: true},
		Node: &manifest.Node{Release: "5.0.8"},
		Schema: &manifest.Schema{Statements: []string{
			"CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
			"CREATE TABLE shop.orders (k int PRIMARY KEY) WITH ID = 5a1c394c-0f4a-11f1-b2d3-e1a2b3c4d5e6 AND gc_grace_seconds = 864000",
			"CREATE TABLE shop.users (k int PRIMARY KEY) WITH ID = 6b2d4a5d-1e5b-22e2-c3e4-f2b3c4d5e6f7 AND gc_grace_seconds = 864000",
		}},
		Tables: tables(all, stored, func(t *manifest.Table) { t.Base = &manifest.Base{ID: "b", Complete: true} }),
	}, keep)
	w.increment(c, d, index)
	return w, []sst{a, b, c, d}
}

func (w *world) loader(n *node) *Loader {
	return &Loader{Stager: Stager{Bucket: w.bucket}, Session: n, Tool: n, DataDirs: n.dirs, Dir: filepath.Join(w.t.TempDir(), "stage")}
}

// empty checks that nothing is left on the stage.
func (l *Loader) empty(t *testing.T) {
	t.Helper()
	left := tree(t, l.Dir)
	delete(left, journalName)
	if len(left) > 0 {
		t.Errorf("left on the stage: %q", slices.Collect(maps.Keys(left)))
	}
}

func TestLoad(t *testing.T) {
	w, all := toLoad(t)
	n := newNode(t)
	l := w.loader(n)
	p := w.plan(Request{})
	r, err := l.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	n.loaded(all...)
	l.empty(t)
	if got := n.calls; !slices.Equal(got, []string{"import shop.orders", "import shop.users"}) {
		t.Errorf("called %q: a table is made new, or loaded in one call", got)
	}
	if id, ok := liveID(n.live, Name{"shop", "orders"}); !ok || id != orders.ID {
		t.Errorf("the table has id %s, want its own", id)
	}
	if r.Tables[0].SSTables != 3 || r.Tables[1].SSTables != 1 || r.Tables[0].Bytes+r.Tables[1].Bytes != p.Bytes {
		t.Errorf("reported %+v", r.Tables)
	}
	v, err := l.Verify(t.Context(), p)
	if err != nil || !v.OK() || v.Tables[0].Found != 3 || v.Tables[1].Found != 1 {
		t.Errorf("verified %+v, %v", v, err)
	}
	// Once loaded, the same plan meets a table that is not empty.
	if _, err := l.Load(t.Context(), p); !errors.Is(err, ErrNotEmpty) || !errors.Is(err, ErrRefused) {
		t.Errorf("%v, want %v", err, ErrNotEmpty)
	}
	n.loaded(all...)
}

func TestLoadGuards(t *testing.T) {
	w, _ := toLoad(t)
	f := func(what string, want error, change func(*node, *Plan)) {
		t.Helper()
		n := newNode(t)
		p := w.plan(Request{})
		change(n, p)
		before := len(n.live.Tables)
		if _, err := w.loader(n).Load(t.Context(), p); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if len(n.imports()) > 0 || len(n.live.Tables) != before {
			t.Errorf("%s: something was done: %q", what, n.calls)
		}
	}
	first := func(p *Plan) *SSTable { return &p.Tables[0].SSTables[0] }
	f("partitioner", ErrPartitioner, func(_ *node, p *Plan) { first(p).Partitioner = "org.apache.cassandra.dht.RandomPartitioner" })
	f("no import", ErrVersion, func(n *node, _ *Plan) { n.id.Release = "3.11.19" })
	f("newer", ErrVersion, func(n *node, p *Plan) { n.id.Release, first(p).Stem = "4.1.10", "oa-7-big" })
	f("bti", ErrVersion, func(n *node, p *Plan) { n.id.Release, first(p).Stem = "4.1.10", "da-7-bti" })
	f("older", ErrVersion, func(_ *node, p *Plan) { first(p).Stem = "lb-7-big" })
	f("to a directory", ErrRequest, func(_ *node, p *Plan) { p.To = "/to" })
	f("not empty", ErrNotEmpty, func(n *node, _ *Plan) {
		n.has("shop", "users", users.ID)
		write(t, filepath.Join(n.tableDir("shop", "users", users.ID, 1), "nb-1-big-Data.db"), "x")
	})
}

func TestReadable(t *testing.T) {
	f := func(major int, stem string, want bool) {
		t.Helper()
		n, ok := sstable.ParseName(stem + "-Data.db")
		if !ok || readable(major, n) != want {
			t.Errorf("%d reads %s: %v, want %v", major, stem, !want, want)
		}
	}
	f(4, "ma-1-big", true)
	f(4, "nb-1-big", true)
	f(4, "oa-1-big", false)
	f(4, "lb-1-big", false)
	f(4, "ks-t-ka-1", false)
	f(5, "nb-1-big", true)
	f(5, "oa-1-big", true)
	f(5, "da-1-bti", true)
	f(5, "pa-1-big", false)
	f(5, "ea-1-bti", false)
	f(6, "pa-1-big", true)
	f(6, "ea-1-bti", true)
	f(6, "qa-1-big", false)
	f(7, "zz-1-big", true)
}

// What is in the way may be wanted: the operator says so.
func TestLoadIntoTableThatIsNotEmpty(t *testing.T) {
	w, _ := toLoad(t)
	n := newNode(t)
	n.live.Keyspaces = append(n.live.Keyspaces, "shop")
	n.has("shop", "users", roles.ID)
	write(t, filepath.Join(n.tableDir("shop", "users", roles.ID, 0), "nb-100-big-Data.db"), "x")
	l := w.loader(n)
	l.AllowNotEmpty = true
	p := w.plan(Request{Tables: []string{"shop.users"}})
	if _, err := l.Load(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if v, err := l.Verify(t.Context(), p); err != nil || !v.OK() {
		t.Errorf("verified %+v, %v", v, err)
	}
}

func TestLoadAs(t *testing.T) {
	w, all := toLoad(t)
	n := newNode(t)
	p := w.plan(Request{Tables: []string{"shop.orders"}, As: "rescue.orders2"})
	r, err := w.loader(n).Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i].table.Keyspace, all[i].table.Name = "rescue", "orders2"
	}
	n.loaded(all[0], all[2], all[3])
	if r.Tables[0].As != "rescue.orders2" {
		t.Errorf("reported %+v", r.Tables)
	}
	if id, _ := liveID(n.live, Name{"rescue", "orders2"}); id == orders.ID {
		t.Error("two tables share an id")
	}
}

// A table that no schema makes holds up only itself.
func TestLoadOfTableWithoutSchema(t *testing.T) {
	w, all := toLoad(t)
	f := func(r Request, loads ...sst) {
		t.Helper()
		n := newNode(t)
		l := w.loader(n)
		p := w.plan(r)
		p.Schema = p.Schema[:2] // without users
		report, err := l.Load(t.Context(), p)
		if !errors.Is(err, ErrIncomplete) || report.Tables[len(report.Tables)-1].Error == "" {
			t.Errorf("%+v: %v, reported %+v", r, err, report)
		}
		n.loaded(loads...)
		n.has("shop", "users", users.ID) // by hand
		if _, err := l.Load(t.Context(), p); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		n.loaded(append(loads, all[1])...)
	}
	f(Request{}, all[0], all[2], all[3])
	f(Request{Tables: []string{"shop.users"}})
}

// Base first, and never two batches at a time on the stage.
func TestLoadInBatches(t *testing.T) {
	w, all := toLoad(t)
	n := newNode(t)
	l := w.loader(n)
	l.BatchBytes = 15_000
	staged := []int{}
	n.before = func(Name) error {
		entries, err := filepath.Glob(filepath.Join(l.Dir, "*", "*", "*-Data.db"))
		staged = append(staged, len(entries))
		return err
	}
	if _, err := l.Load(t.Context(), w.plan(Request{})); err != nil {
		t.Fatal(err)
	}
	n.loaded(all...)
	if want := []int{1, 1, 1, 1}; !slices.Equal(staged, want) {
		t.Errorf("%v SSTables were staged, want %v", staged, want)
	}
}

func TestBatches(t *testing.T) {
	f := func(limit int64, sizes []int64, want string) {
		t.Helper()
		var all []SSTable
		for _, n := range sizes {
			all = append(all, SSTable{Files: []File{{Size: n}}})
		}
		t1 := Table{SSTables: all}
		if got := fmt.Sprint(batches(all, t1.every(), limit)); got != want {
			t.Errorf("%v by %d: %s, want %s", sizes, limit, got, want)
		}
	}
	f(0, []int64{5, 5, 5}, "[[0 1 2]]")
	f(10, []int64{5, 5, 5}, "[[0 1] [2]]")
	f(4, []int64{5, 1, 1, 5}, "[[0] [1 2] [3]]")
	f(10, nil, "[]")
}

// errKilled stands for our own end: nothing we do after it has an effect.
var errKilled = errors.New("killed")

// Wherever a load is cut, the next run ends with everything loaded.
func TestLoadResumes(t *testing.T) {
	w, all := toLoad(t)
	f := func(what string, cut func(*node, *Loader)) {
		t.Helper()
		n := newNode(t)
		l := w.loader(n)
		l.BatchBytes = 15_000
		cut(n, l)
		p := w.plan(Request{})
		if _, err := l.Load(t.Context(), p); err == nil {
			t.Fatalf("%s: not cut", what)
		}
		n.before, n.after, l.Bucket = nil, nil, w.bucket
		if _, err := l.Load(t.Context(), p); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		n.loaded(all...)
		l.empty(t)
		if v, err := l.Verify(t.Context(), p); err != nil || !v.OK() {
			t.Errorf("%s: verified %+v, %v", what, v, err)
		}
	}
	for get := range 8 {
		f(fmt.Sprintf("at GET %d", get+1), func(_ *node, l *Loader) {
			l.Bucket = &buckettest.Fault{Bucket: w.bucket, At: get + 1, Kind: buckettest.CrashBefore}
			l.Gets = 1
		})
	}
	for call := range 4 {
		at := func(failure error) func(Name) error {
			calls := 0
			return func(Name) error {
				if calls++; calls == call+1 {
					return failure
				}
				return nil
			}
		}
		f(fmt.Sprintf("before import %d", call+1), func(n *node, _ *Loader) { n.before = at(errKilled) })
		f(fmt.Sprintf("after import %d", call+1), func(n *node, _ *Loader) { n.after = at(errKilled) })
		// In the middle of an import some files are moved and some are not; what was moved is fetched
		// again.
		f(fmt.Sprintf("in import %d", call+1), func(n *node, l *Loader) {
			kill := at(errKilled)
			n.before = func(name Name) error {
				if err := kill(name); err != nil {
					remove(n.t, filepath.Join(l.Dir, name.Keyspace, name.Table, oneOf(n.t, filepath.Join(l.Dir, name.Keyspace, name.Table))))
					return err
				}
				return nil
			}
		})
	}
}

func oneOf(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries[len(entries)/2].Name()
}

// A table that somebody has truncated between two runs is loaded from its beginning.
func TestLoadAgainWhatWasEmptied(t *testing.T) {
	w, all := toLoad(t)
	n := newNode(t)
	l := w.loader(n)
	calls := 0
	n.before = func(Name) error {
		if calls++; calls == 2 {
			return errKilled
		}
		return nil
	}
	p := w.plan(Request{})
	if _, err := l.Load(t.Context(), p); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	n.before = nil
	if err := os.RemoveAll(n.tableDir("shop", "orders", orders.ID, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	n.loaded(all...)
}

// One table that the node refuses does not hold up the others, and is tried again by the next run.
func TestLoadReportsWhatTheNodeRefuses(t *testing.T) {
	w, all := toLoad(t)
	n := newNode(t)
	n.before = func(name Name) error {
		if name.Table == "orders" {
			return &cassandra.ImportError{Keyspace: "shop", Table: "orders", Err: &cassandra.ToolError{Verb: "import", ExitCode: 1}}
		}
		return nil
	}
	l := w.loader(n)
	p := w.plan(Request{})
	r, err := l.Load(t.Context(), p)
	if !errors.Is(err, ErrIncomplete) || r.Tables[0].Error == "" || r.Tables[0].SSTables != 0 || r.Tables[1].SSTables != 1 {
		t.Errorf("%v, reported %+v", err, r.Tables)
	}
	n.loaded(all[1])
	n.before = nil
	tomorrow := w.plan(Request{Now: w.time.AddDate(0, 1, 0)})
	if len(tomorrow.Warnings) == len(p.Warnings) {
		t.Error("a month later there is no other warning: that warnings don't matter is not tested")
	}
	if _, err := l.Load(t.Context(), tomorrow); err != nil {
		t.Fatal(err)
	}
	n.loaded(all...)
}

// A table of which SSTables are damaged is loaded only when the operator says so.
func TestLoadOfDamagedTable(t *testing.T) {
	w, all := toLoad(t)
	f := func(component string, loads ...sst) {
		t.Helper()
		n := newNode(t)
		l := w.loader(n)
		p := w.plan(Request{})
		for i := range p.Tables[0].SSTables[0].Files {
			if c := &p.Tables[0].SSTables[0].Files[i]; c.Name == component {
				c.Hash[0]++
			}
		}
		r, err := l.Load(t.Context(), p)
		if !errors.Is(err, ErrIncomplete) || len(r.Damaged) != 1 || r.Damaged[0].Intact != 2 || r.Tables[0].Error == "" {
			t.Errorf("%s: %v, reported %+v", component, err, r)
		}
		n.loaded(all[1])
		l.AllowDamaged = true
		r, err = l.Load(t.Context(), p)
		if !errors.Is(err, ErrIncomplete) || r.Tables[0].SSTables != len(loads)-1 || r.Tables[0].Error != "" {
			t.Errorf("%s, allowed: %v, reported %+v", component, err, r)
		}
		n.loaded(loads...)
		l.empty(t)
	}
	f(sstable.Data, all[1], all[2], all[3])
	f(sstable.TOC, all...) // Cassandra does without
}

// What is no longer there under its content was imported once, or it was not.
func TestVerifyLoaded(t *testing.T) {
	w, _ := toLoad(t)
	n := newNode(t)
	l := w.loader(n)
	p := w.plan(Request{})
	f := func(what string, found, rewritten, problems int) {
		t.Helper()
		v, err := l.Verify(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if v.Tables[0].Found != found || v.Tables[0].Rewritten != rewritten || len(v.Problems) != problems {
			t.Errorf("%s: %+v", what, v)
		}
	}
	f("before", 0, 0, 2) // the two tables
	if _, err := l.Load(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	f("loaded", 3, 0, 0)
	files, err := liveData([]string{n.tableDir("shop", "orders", orders.ID, 0)})
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	remove(t, files[0].path)
	remove(t, files[1].path)
	f("compacted", 1, 2, 0)
	if err := os.RemoveAll(l.Dir); err != nil {
		t.Fatal(err)
	}
	f("without the journal", 1, 0, 2)
}
