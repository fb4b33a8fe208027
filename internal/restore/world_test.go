package restore

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

const prefix = "prod/1c380315-4fa1-4b2e-8d53-0a2a2f2c9f11/"

// noon is when the histories of these tests begin.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

var (
	orders = sstable.Table{Keyspace: "shop", Name: "orders", ID: "5a1c394c0f4a11f1b2d3e1a2b3c4d5e6"}
	users  = sstable.Table{Keyspace: "shop", Name: "users", ID: "6b2d4a5d1e5b22e2c3e4f2b3c4d5e6f7"}
	roles  = sstable.Table{Keyspace: "system_auth", Name: "roles", ID: "5bc52802de2535edaeab188eecebb090"}
	local  = sstable.Table{Keyspace: "system", Name: "local", ID: "7ad54392bcdd35a684174e047860b377"}
)

// world is a node's history, written by hand.
type world struct {
	t        *testing.T
	bucket   bucket.Bucket
	seq      uint64
	previous chunker.Hash
	time     time.Time // of the next commit
	base     uint64    // Header.Base
	frame    int       // raw size of frames
	pack     int       // stored size of packs
}

func newWorld(t *testing.T) *world {
	return &world{t: t, bucket: &buckettest.Memory{}, time: noon, base: 1, frame: 8 << 10, pack: 40 << 10}
}

// files are the contents of one SSTable's components.
type files map[string][]byte

// sst is an SSTable to be stored.
type sst struct {
	table sstable.Table
	index string
	stem  string
	facts manifest.Facts
	files files
}

// content is n bytes that compress to about half.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.UintN(16))
	}
	return b
}

// data is an SSTable of size bytes and a bit.
func data(t sstable.Table, stem string, seed uint64, size int) sst {
	return sst{table: t, stem: stem, files: files{
		sstable.Data:            content(seed, size),
		sstable.Index:           content(seed+1000, size/10+1),
		sstable.Statistics:      content(seed+2000, 500),
		sstable.CompressionInfo: content(seed+3000, 100),
		sstable.TOC:             []byte("Data.db\nIndex.db\n"),
	}}
}

// store packs SSTables into one pack set.
func (w *world) store(all ...sst) (stored []manifest.SSTable, keep manifest.Keep) {
	w.t.Helper()
	encoder, err := chunker.NewEncoder(chunker.Fast)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &packer{world: w, keep: manifest.Keep{Set: pack.NewSetID(), Bundle: true}}
	s.next()
	for _, x := range all {
		m := manifest.SSTable{Index: x.index, Stem: x.stem, Facts: x.facts}
		for _, name := range slices.Sorted(maps.Keys(x.files)) {
			m.Components = append(m.Components, manifest.Component{
				Name: name, Size: int64(len(x.files[name])), Hash: chunker.Sum(x.files[name]),
			})
		}
		stored = append(stored, m)
		for i := range m.Components {
			c := &m.Components[i]
			var refs []pack.FrameRef
			for raw := range slices.Chunk(x.files[c.Name], w.frame) {
				f, err := encoder.Encode(raw)
				if err != nil {
					w.t.Fatal(err)
				}
				refs = append(refs, s.writer.Add(f))
				if s.writer.Size() > w.pack {
					s.next()
				}
			}
			s.writer.AddList(x.stem+"-"+c.Name, refs)
			s.open = append(s.open, c)
			s.keep.Raw += c.Size
		}
	}
	s.send()
	return stored, s.keep
}

type packer struct {
	*world
	keep   manifest.Keep
	writer *pack.Writer
	open   []*manifest.Component // whose lists are in the open pack
}

func (s *packer) next() {
	if s.writer != nil {
		s.send()
	}
	s.writer = pack.NewWriter(s.keep.Set, s.keep.Packs, nil)
}

func (s *packer) send() {
	object, lists, err := s.writer.Finish()
	if err != nil {
		s.t.Fatal(err)
	}
	for i, c := range s.open {
		c.List = lists[i]
	}
	s.open = nil
	s.put(prefix+pack.Name(s.keep.Set, s.keep.Packs), object)
	s.keep.Packs++
	s.keep.Bytes += int64(len(object))
}

func (w *world) put(name string, object []byte) {
	w.t.Helper()
	if err := w.bucket.Put(w.t.Context(), name, object); err != nil {
		w.t.Fatal(err)
	}
}

// commit writes the next entry; w.time is its time.
func (w *world) commit(kind manifest.Kind, body manifest.Body, keeps ...manifest.Keep) *manifest.Manifest {
	w.t.Helper()
	w.seq++
	m := &manifest.Manifest{Header: manifest.Header{
		Seq: w.seq, Time: w.time, Kind: kind, Cluster: "prod", HostID: "1c38", Writer: "w", Nonce: fmt.Sprint(w.seq),
		Previous: w.previous, Base: w.base, Keeps: keeps,
	}, Body: body}
	object, err := manifest.Encode(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(history.Name(prefix, w.seq), object)
	w.previous = m.Sum
	return m
}

// tables groups what was stored by table, in the order of all.
func tables(all []sst, stored []manifest.SSTable, describe func(*manifest.Table)) []manifest.Table {
	var ts []manifest.Table
	for i, x := range all {
		k := slices.IndexFunc(ts, func(t manifest.Table) bool { return t.Table == x.table })
		if k < 0 {
			k = len(ts)
			ts = append(ts, manifest.Table{Table: x.table})
			describe(&ts[k])
		}
		if x.stem != "" {
			ts[k].SSTables = append(ts[k].SSTables, stored[i])
		}
	}
	return ts
}

// increment commits SSTables as of w.time.
func (w *world) increment(all ...sst) *manifest.Manifest {
	w.t.Helper()
	stored, keep := w.store(all...)
	return w.commit(manifest.Increment, manifest.Body{
		AsOf: w.time, Tables: tables(all, stored, func(*manifest.Table) {}),
	}, keep)
}

// full commits a whole snapshot that began at the given moment. after is the entry that the chains go
// on from.
func (w *world) full(tag string, began time.Time, after uint64, all ...sst) *manifest.Manifest {
	w.t.Helper()
	stored, keep := w.store(all...)
	return w.commit(manifest.Full, manifest.Body{
		AsOf: began,
		Node: &manifest.Node{Release: "5.0.8", Partitioner: "org.apache.cassandra.dht.Murmur3Partitioner"},
		Full: &manifest.FullPart{Tag: tag, Began: began, After: after, All: true, Last: true},
		Tables: tables(all, stored, func(t *manifest.Table) {
			t.Base, t.Proven = &manifest.Base{ID: tag, Complete: true}, began
		}),
	}, keep)
}

func (w *world) reader() *history.Reader { return &history.Reader{Bucket: w.bucket, Prefix: prefix} }

// plan plans the newest point.
func (w *world) plan(r Request) *Plan {
	w.t.Helper()
	s, err := Select(w.t.Context(), w.reader(), Selector{})
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Now.IsZero() {
		r.Now = w.time
	}
	p, err := Build(s, prefix, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// small is a history with most of what there is: two tables, an index, an empty component, ids that
// came back, a full and two increments.
func small(t *testing.T) (*world, map[string][]byte) {
	w := newWorld(t)
	a := data(orders, "nb-1-big", 1, 70_000)
	b := data(users, "nb-1-big", 2, 100)
	b.files["SAI+aa+GroupComplete.db"] = nil
	c := data(users, "nb-1-big", 3, 3000)
	c.index = ".users_city"
	w.full("base", at(0), 0, a, b, c)
	w.time = at(1)
	d := data(orders, "nb-2-big", 4, 20_000)
	w.increment(d)
	w.time = at(2)
	e := data(orders, "nb-1-big", 5, 30_000) // truncated, pruned, restarted: the id comes back
	f := data(users, "nb-2-big", 6, 50)
	w.increment(e, f)

	want := map[string][]byte{}
	expect(want, a, "nb-1-big")
	expect(want, b, "nb-1-big")
	expect(want, c, "nb-1-big")
	expect(want, d, "nb-2-big")
	expect(want, e, "nb-3-big")
	expect(want, f, "nb-2-big")
	return w, want
}

// expect adds an SSTable's files under the stem that it must get.
func expect(want map[string][]byte, s sst, stem string) {
	for name, b := range s.files {
		want[path.Join(s.table.Keyspace, s.table.Dir(), s.index, stem+"-"+name)] = b
	}
}

// equal compares the files below dir, our journal included, with what is wanted.
func equal(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	got := tree(t, dir)
	for name, b := range want {
		if has, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if !bytes.Equal(has, b) {
			t.Errorf("%s has other contents", name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is not wanted", name)
	}
}

// tree reads all files below dir.
func tree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		got[rel] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ownerOf(info fs.FileInfo) Owner {
	st := info.Sys().(*syscall.Stat_t)
	return Owner{int(st.Uid), int(st.Gid)}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
