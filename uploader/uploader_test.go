package uploader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

const prefix = "c/h/"

// node is a data directory, a bucket and an uploader between them.
type node struct {
	t      *testing.T
	dir    string
	bucket bucket.Bucket
	now    time.Time
	tree   string // of the fixtures
	*Uploader
	random  *rand.ChaCha8
	content map[string][]byte // by path
}

func newNode(t *testing.T, b bucket.Bucket) *node {
	t.Helper()
	n := &node{
		t: t, dir: t.TempDir(), bucket: b, now: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC),
		random: rand.NewChaCha8([32]byte{}), content: map[string][]byte{},
	}
	n.open()
	return n
}

// open begins a process.
func (n *node) open() { n.openOver(n.bucket) }

// openOver begins one that sees the bucket as b.
func (n *node) openOver(b bucket.Bucket) {
	n.t.Helper()
	w, err := history.OpenWriter(context.Background(), history.Reader{Bucket: b, Prefix: prefix},
		history.Identity{Cluster: "c", HostID: "h"}, manifest.Body{}, history.WriterOptions{Now: n.tick})
	n.must(err)
	n.Uploader = &Uploader{Bucket: b, Prefix: prefix, History: w, Level: chunker.Fast, Encoders: 2, Now: n.tick}
}

func (n *node) tick() time.Time {
	n.now = n.now.Add(time.Millisecond)
	return n.now
}

func (n *node) must(err error) {
	if err != nil {
		n.t.Helper()
		n.t.Fatal(err)
	}
}

func table(name string) sstable.Table {
	return sstable.Table{Keyspace: "shop", Name: name, ID: "b2637280e58c11f199085b39e1f4c1a0"}
}

// set writes an SSTable whose Data.db has size bytes that don't compress.
func (n *node) set(table sstable.Table, stem string, size int) sstable.SSTable {
	n.t.Helper()
	content := map[string][]byte{}
	for component, size := range map[string]int{"Data.db": size, "Index.db": 100, "Rows.db": 0} {
		content[component] = make([]byte, size)
		n.random.Read(content[component])
	}
	return n.write(table, stem, content)
}

// write writes an SSTable of that content, by component, into backups/.
func (n *node) write(table sstable.Table, stem string, content map[string][]byte) sstable.SSTable {
	n.t.Helper()
	set := sstable.SSTable{Table: table, Stem: stem, DataDir: n.dir, Dir: filepath.Join("shop", table.Dir(), "backups")}
	n.must(os.MkdirAll(filepath.Join(n.dir, set.Dir), 0o755))
	for _, component := range slices.Sorted(maps.Keys(content)) {
		path := filepath.Join(n.dir, set.Rel(component))
		n.must(os.WriteFile(path, content[component], 0o644))
		at := n.tick().AddDate(0, 0, -1) // by its clock, not by ours
		n.must(os.Chtimes(path, at, at))
		n.content[path] = content[component]
		f, err := os.Open(path)
		n.must(err)
		id, err := fileid.Of(f)
		n.must(errors.Join(err, f.Close()))
		set.Files = append(set.Files, sstable.File{Component: component, Fingerprint: id, Links: 1})
	}
	return set
}

// wantStored reads every file of the set back from the newest entry that has it.
func (n *node) wantStored(set sstable.SSTable) {
	n.t.Helper()
	st, ok := n.History.State().Match(set)
	if !ok || st.Superseded {
		n.t.Errorf("%s is not stored", set.Stem)
		return
	}
	for _, c := range st.Components {
		want := n.content[filepath.Join(n.dir, set.Rel(c.Name))]
		got, err := n.read(st.Set(c), c.List)
		if err != nil || string(got) != string(want) || c.Hash != chunker.Sum(want) || c.Size != int64(len(want)) {
			n.t.Errorf("%s-%s: %d bytes are stored that are not its %d (%v)", set.Stem, c.Name, len(got), len(want), err)
		}
	}
}

func (n *node) read(set pack.SetID, at pack.ListRef) (raw []byte, err error) {
	frames, err := n.frames(set, at)
	if err != nil {
		return nil, err
	}
	for _, f := range frames {
		if raw, err = chunker.NewDecoder().Decode(raw, f); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// frames are those of one component, as they are stored.
func (n *node) frames(set pack.SetID, at pack.ListRef) (frames []chunker.Frame, err error) {
	get := func(p, off, length uint32) ([]byte, error) {
		return n.bucket.Get(context.Background(), prefix+pack.Name(set, p), int64(off), int64(length))
	}
	list, err := get(at.Pack, at.Off, at.Len)
	if err != nil {
		return nil, err
	}
	refs, err := pack.ParseList(list)
	if err != nil {
		return nil, err
	}
	for _, ref := range refs {
		b, err := get(ref.Pack, ref.Off, ref.Len)
		if err != nil {
			return nil, err
		}
		f, err := ref.Frame(b)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// objects are the names in the bucket that begin so below the prefix, and their sizes.
func (n *node) objects(begin string) (names []string, bytes int64) {
	n.t.Helper()
	for o, err := range n.bucket.List(context.Background(), prefix+begin, "") {
		n.must(err)
		names = append(names, o.Name)
		bytes += o.Size
	}
	return names, bytes
}

func TestIncrementSaysWhatItDid(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	var told []Progress
	n.Progress = func(p Progress) { told = append(told, p) }
	sets := []sstable.SSTable{n.set(table("users"), "nb-1-big", 5000), n.set(table("users"), "nb-2-big", 700), n.set(table("events"), "nb-1-big", 1)}
	old := n.set(table("events"), "nb-0-big", 10)
	at := n.now
	r, err := n.Increment(context.Background(), Increment{
		AsOf: at, SSTables: sets, Superseded: []sstable.SSTable{old}, Pending: []string{"theirs"},
		Barrier: &manifest.Barrier{At: at},
	})
	n.must(err)
	for _, s := range sets {
		n.wantStored(s)
	}
	if st, ok := n.History.State().Match(old); !ok || !st.Superseded {
		t.Error("what is superseded is not named")
	}
	packs, stored := n.objects("packs/")
	const bytes = 5000 + 700 + 1 + 3*100
	if r.SSTables != 3 || r.Files != 9 || r.Bytes != bytes || r.NewBytes != bytes || r.Puts != 2 || r.Stored != stored || len(packs) != 1 {
		t.Errorf("%+v with packs %v of %d bytes", r, packs, stored)
	}
	if len(r.Manifests) != 1 || r.More || len(r.Failed) != 0 || !slices.Equal(r.Manifests[0].Body.Pending, []string{"theirs"}) {
		t.Errorf("%+v", r)
	}
	if b := r.Manifests[0].Body.Barrier; b == nil || !b.At.Equal(at) || len(b.Not) != 0 {
		t.Errorf("barrier %+v", b)
	}
	want := []Progress{
		{0, 3, 5000, bytes, 5000}, {0, 3, 5100, bytes, 5100}, {1, 3, 5100, bytes, 5100}, // frames, and then the SSTable
		{1, 3, 5800, bytes, 5800}, {1, 3, 5900, bytes, 5900}, {2, 3, 5900, bytes, 5900},
		{2, 3, 5901, bytes, 5901}, {2, 3, bytes, bytes, bytes}, {3, 3, bytes, bytes, bytes},
	}
	if !slices.Equal(told, want) {
		t.Errorf("progress %v, want %v", told, want)
	}

	if r, err := n.Increment(context.Background(), Increment{AsOf: n.now}); err != nil || r.Puts != 0 || len(r.Manifests) != 0 {
		t.Errorf("nothing to say: %+v, %v", r, err)
	}
	if r, err := n.Increment(context.Background(), Increment{AsOf: n.now, First: true}); err != nil || r.Puts != 1 || len(r.Manifests) != 1 {
		t.Errorf("a first entry that says nothing: %+v, %v", r, err)
	}
}

// Large SSTables have pack sets of their own, of as many packs as it takes; small ones share a bundle,
// which may have several, too.
func TestPackSets(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	sets := []sstable.SSTable{n.set(table("users"), "nb-1-big", 33<<20), n.set(table("users"), "nb-2-big", 9<<20)}
	for i := range 6 {
		sets = append(sets, n.set(table("events"), fmt.Sprintf("nb-%d-big", i), 3<<20))
	}
	zeros := n.set(table("users"), "nb-3-big", 0)
	path := filepath.Join(n.dir, zeros.Rel("Data.db"))
	n.must(os.Truncate(path, 9<<20)) // a hole; it compresses well
	n.content[path] = make([]byte, 9<<20)
	f, err := os.Open(path)
	n.must(err)
	zeros.Files[0].Fingerprint, err = fileid.Of(f)
	n.must(errors.Join(err, f.Close()))
	sets = append(sets, zeros)

	r, err := n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: sets})
	n.must(err)
	for _, s := range sets {
		n.wantStored(s)
	}
	m := r.Manifests[0]
	var shape []string
	for _, k := range m.Keeps {
		var bytes int64
		for p := range k.Packs {
			names, size := n.objects(pack.Name(k.Set, p))
			bytes += size
			if len(names) != 1 || size > packTarget+packTarget/16 {
				t.Errorf("pack %d of %s: %v has %d bytes", p, k.Set, names, size)
			}
		}
		if bytes != k.Bytes {
			t.Errorf("set %s has %d bytes, the manifest says %d", k.Set, bytes, k.Bytes)
		}
		shape = append(shape, fmt.Sprintf("%v %d packs %d raw", k.Bundle, k.Packs, k.Raw))
	}
	slices.Sort(shape)
	want := []string{
		fmt.Sprintf("false 1 packs %d raw", 9<<20+100), fmt.Sprintf("false 3 packs %d raw", 33<<20+100),
		fmt.Sprintf("true 2 packs %d raw", 27<<20+700),
	}
	if !slices.Equal(shape, want) {
		t.Errorf("pack sets %q, want %q", shape, want)
	}
	if names, bytes := n.objects("packs/"); r.Puts != len(names)+1 || r.Stored != bytes {
		t.Errorf("%d puts of %d bytes; there are %d packs of %d bytes", r.Puts, r.Stored, len(names), bytes)
	}
}

// With packs in flight, each of the bucket's operations goes wrong: no manifest is there without all
// of its packs, and another try succeeds.
func TestI2_EveryOperationGoesWrong(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	sets := []sstable.SSTable{n.set(table("users"), "nb-1-big", 17<<20), n.set(table("users"), "nb-2-big", 1000)}
	const opening = 2 // operations: list, put
	for _, kind := range []buckettest.Kind{buckettest.FailBefore, buckettest.FailAfter} {
		for at := 1; at <= 4; at++ { // three packs and the manifest
			n.bucket = &buckettest.Memory{}
			n.openOver(&buckettest.Fault{Bucket: n.bucket, At: opening + at, Kind: kind})
			_, err := n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: sets})
			if !errors.Is(err, bucket.ErrUnreachable) {
				t.Errorf("%v at %d: %v, want ErrUnreachable", kind, at, err)
			}
			manifests, _ := n.objects("manifests/")
			if packs, _ := n.objects("packs/"); len(manifests) > 1 && len(packs) != 3 {
				t.Errorf("%v at %d: there is a manifest, and %d packs of 3", kind, at, len(packs))
			}
			n.open()
			if _, ok := n.History.State().Match(sets[0]); !ok && kind == buckettest.FailAfter {
				_, err = n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: sets})
				n.must(err)
			}
		}
	}
	n.wantStored(sets[0])
	n.wantStored(sets[1])
}

// A full in parts goes on where it was, in the same process and in another one, and reads each file
// once.
func TestFullInParts(t *testing.T) {
	for _, restart := range []bool{false, true} {
		n := newNode(t, &buckettest.Memory{})
		f := Full{Part: manifest.FullPart{Tag: "sstash-1", Began: n.now, All: true}, Final: true}
		var bytes int64
		for _, name := range []string{"a", "b", "c"} {
			base := Base{Table: table(name), ID: "id-" + name, Proven: n.now}
			for i := range 3 {
				base.SSTables = append(base.SSTables, n.set(base.Table, fmt.Sprintf("nb-%d-big", i), 1000))
				bytes += 1100
			}
			f.Tables = append(f.Tables, base)
			f.Snapshot = append(f.Snapshot, base.SSTables...)
		}
		f.Tables = append(f.Tables, Base{Table: table("empty"), ID: "id-empty"})
		var sum Result
		for parts := 1; ; parts++ {
			n.PartEvery = time.Nanosecond
			r, err := n.Store(context.Background(), f)
			n.must(err)
			sum = sum.Plus(r)
			state := n.History.State()
			if whole := state.Whole().Tag != ""; whole == r.More {
				t.Errorf("after part %d: whole %v, more %v", parts, whole, r.More)
			}
			if pending := state.Newest().Body.Pending; slices.Contains(pending, "sstash-1") != r.More {
				t.Errorf("after part %d: pending %v, more %v", parts, pending, r.More)
			}
			if !r.More {
				break
			}
			if parts > 20 {
				t.Fatal("no end")
			}
			if restart {
				n.open()
			}
		}
		if sum.NewBytes != bytes || sum.SSTables != 9 {
			t.Errorf("restart %v: read %d bytes of %d, %d SSTables", restart, sum.NewBytes, bytes, sum.SSTables)
		}
		for _, base := range f.Tables {
			if c := n.History.State().Chain(base.Table); c.Tag != "sstash-1" || len(c.SSTables) != len(base.SSTables) || !c.Proven.Equal(base.Proven) {
				t.Errorf("restart %v: chain of %s: %+v", restart, base.Table.Name, c)
			}
			for _, s := range base.SSTables {
				n.wantStored(s)
			}
		}
	}
}

// A bundle is referred to while at least half of its bytes are in the snapshot; an SSTable's own pack
// set always.
func TestReuse(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	a, b := n.set(table("users"), "nb-1-big", 1000), n.set(table("users"), "nb-2-big", 1000)
	c, large := n.set(table("users"), "nb-3-big", 1000), n.set(table("users"), "nb-4-big", 9<<20)
	_, err := n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: []sstable.SSTable{a, b, c, large}})
	n.must(err)
	f := func(tag string, want int64, sets ...sstable.SSTable) {
		t.Helper()
		r, err := n.Store(context.Background(), Full{
			Part: manifest.FullPart{Tag: tag}, Final: true, Snapshot: sets,
			Tables: []Base{{Table: table("users"), ID: tag, SSTables: sets}},
		})
		n.must(err)
		if r.NewBytes != want {
			t.Errorf("%s: read %d bytes, want %d", tag, r.NewBytes, want)
		}
		for _, s := range sets {
			n.wantStored(s)
		}
	}
	f("all", 0, a, b, c, large)
	f("two of three", 0, a, b, large)
	f("one of three", 1100, a, large)
	f("that one again", 0, a, large) // it is a bundle of its own now
	f("one of three, the large one gone", 1100, b)
}

// What can't be read leaves the rest alone, and the full open.
func TestFullWithAnUnreadableSSTable(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	good, bad := n.set(table("users"), "nb-1-big", 1000), n.set(table("users"), "nb-2-big", 1000)
	path := filepath.Join(n.dir, bad.Rel("Index.db"))
	n.must(os.Rename(path, path+".away"))
	f := Full{
		Part: manifest.FullPart{Tag: "t", All: true}, Final: true, Superseded: []sstable.SSTable{n.set(table("users"), "nb-0-big", 1)},
		Tables: []Base{{Table: table("users"), ID: "id", SSTables: []sstable.SSTable{bad, good}}, {Table: table("empty"), ID: "id2"}},
	}
	r, err := n.Store(context.Background(), f)
	n.must(err)
	state := n.History.State()
	users, _ := state.BaseDone(table("users"), "id")
	empty, _ := state.BaseDone(table("empty"), "id2")
	if len(r.Failed) != 1 || r.Failed[0].SSTable.Stem != "nb-2-big" || !errors.Is(r.Err(), os.ErrNotExist) ||
		users || !empty || state.Whole().Tag != "" || r.SSTables != 1 {
		t.Errorf("failed %v, done %v and %v, whole %q", r.Failed, users, empty, state.Whole().Tag)
	}
	n.must(os.Rename(path+".away", path))
	r, err = n.Store(context.Background(), f)
	n.must(err)
	if state := n.History.State(); len(r.Failed) != 0 || r.SSTables != 1 || state.Whole().Tag != "t" {
		t.Errorf("once it can be read: failed %v, stored %d, whole %q", r.Failed, r.SSTables, state.Whole().Tag)
	}
	n.wantStored(bad)
}

// A file that changes after it was opened fails its SSTable, whatever has been read by then.
func TestI6_ChangedWhileItIsRead(t *testing.T) {
	f := func(what string, size int, change func(path string) error, want error) {
		t.Helper()
		n := newNode(t, &buckettest.Memory{})
		set := n.set(table("users"), "nb-1-big", size)
		b, err := n.newBatch(context.Background())
		n.must(err)
		defer b.close()
		src, err := openSet(set)
		n.must(err)
		defer src.close()
		path := filepath.Join(n.dir, set.Rel("Data.db"))
		n.must(change(path))
		s := &spill{batch: b, source: src, label: "x"}
		s.expect(&src.files[0], 0)
		if err := s.store(); !errors.Is(err, want) || isBucket(err) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if names, _ := n.objects("manifests/"); len(names) != 1 {
			t.Errorf("%s: %v", what, names)
		}
	}
	f("shorter", 1000, func(p string) error { return os.Truncate(p, 900) }, fileid.ErrChanged)
	f("much shorter, of many packs", 17<<20, func(p string) error { return os.Truncate(p, 17<<20-1) }, fileid.ErrChanged)
	f("longer", 1000, func(p string) error { return os.Truncate(p, 1001) }, fileid.ErrChanged)
	f("touched", 1000, func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 1)) }, fileid.ErrChanged)
	f("empty", 1000, func(p string) error { return os.Truncate(p, 0) }, fileid.ErrChanged)
}

// An error of read(2) is the SSTable's, not the bucket's.
func TestReadError(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	b, err := n.newBatch(context.Background())
	n.must(err)
	defer b.close()
	dir, err := os.Open(n.dir)
	n.must(err)
	defer dir.Close()
	s := &spill{batch: b, label: "x"}
	s.expect(&file{coldReader: newColdReader(dir, 0)}, 0)
	if err := s.store(); !errors.Is(err, unix.EISDIR) || isBucket(err) {
		t.Errorf("%v, want EISDIR", err)
	}
}

// parked is a bucket whose packs are on their way until the context ends, and a while longer.
type parked struct {
	bucket.Bucket
	ended bool
}

func (b *parked) Put(ctx context.Context, name string, data []byte) error {
	if !strings.HasPrefix(name, prefix+"packs/") {
		return b.Bucket.Put(ctx, name, data)
	}
	<-ctx.Done()
	time.Sleep(time.Minute) // of the test's clock
	b.ended = true
	return ctx.Err()
}

// A batch that is given up leaves nothing in flight behind it: neither does it wait for packs that
// nobody wants any more, nor does one arrive beside the next batch.
func TestGivenUpBatchLeavesNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &parked{Bucket: &buckettest.Memory{}}
		n := newNode(t, store)
		b, err := n.newBatch(context.Background())
		n.must(err)
		p := b.newPackSet(nil)
		f, err := b.u.coders.all[0].Encode([]byte("x"))
		n.must(err)
		_, err = p.add(f)
		n.must(err)
		n.must(p.send())
		b.close()
		if !store.ended {
			t.Error("close returned while a pack was in flight")
		}
	})
}
