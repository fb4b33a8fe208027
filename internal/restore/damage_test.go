package restore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// replace puts another object in the place of one; nil removes it.
func (w *world) replace(name string, object []byte) {
	w.t.Helper()
	if err := w.bucket.Delete(w.t.Context(), name); err != nil {
		w.t.Fatal(err)
	}
	if object != nil {
		w.put(name, object)
	}
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	b, err := w.bucket.Get(w.t.Context(), name, 0, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// packs lists all packs.
func (w *world) packs() []string {
	w.t.Helper()
	var names []string
	for o, err := range w.bucket.List(w.t.Context(), prefix+"packs/", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// damaged restores a damaged bucket and checks that what was placed is right, what is missing is
// reported, and the report names objects that are damaged. It returns the report.
func (w *world) damaged(want map[string][]byte, objects ...string) Report {
	w.t.Helper()
	dir := w.t.TempDir()
	p := w.plan(Request{To: dir})
	r, err := (&Stager{Bucket: w.bucket}).Stage(w.t.Context(), p)
	if len(r.Damaged) == 0 {
		if err != nil {
			w.t.Errorf("%v, and no damage reported", err)
		}
		equal(w.t, dir, want)
		return r
	}
	if !errors.Is(err, ErrIncomplete) {
		w.t.Errorf("%v, want %v", err, ErrIncomplete)
	}
	rest := map[string][]byte{}
	for name, b := range want {
		rest[name] = b
	}
	for _, d := range r.Damaged {
		t := sstable.Table{Keyspace: d.Keyspace, Name: d.Table, ID: d.ID}
		delete(rest, path.Join(d.Keyspace, t.Dir(), d.File))
		if !slices.Contains(objects, d.Object) {
			w.t.Errorf("blamed %s, want %v", d.Object, objects)
		}
	}
	if len(rest)+len(r.Damaged) != len(want) {
		w.t.Errorf("%d files are damaged by the report, which are not all files wanted", len(r.Damaged))
	}
	got := tree(w.t, dir)
	delete(got, journalName)
	if len(got) != len(rest) {
		w.t.Errorf("%d files are there, want %d", len(got), len(rest))
	}
	for name, b := range rest {
		if !bytes.Equal(got[name], b) {
			w.t.Errorf("%s is missing or not right, and the report doesn't say so", name)
		}
	}
	whole := 0
	for i := range r.Tables {
		whole += r.Tables[i].SSTables + r.Tables[i].Damaged
	}
	if whole != 6 {
		w.t.Errorf("%d SSTables are whole or damaged, want 6", whole)
	}
	return r
}

func TestI6_StageOfFlippedBits(t *testing.T) {
	w, want := small(t)
	r := rand.New(rand.NewPCG(1, 2))
	struck := 0
	for _, name := range w.packs() {
		object := w.read(name)
		for range 8 {
			flipped := bytes.Clone(object)
			flipped[r.IntN(len(object))] ^= 1 << r.IntN(8)
			w.replace(name, flipped)
			if len(w.damaged(want, name).Damaged) > 0 {
				struck++
			}
		}
		w.replace(name, object)
	}
	if struck == 0 {
		t.Error("no flip has struck a frame")
	}
}

func TestI6_StageOfTruncatedPacks(t *testing.T) {
	w, want := small(t)
	for _, name := range w.packs() {
		object := w.read(name)
		for _, n := range []int{0, 1, 64, 100, len(object) / 4, len(object) / 2} {
			w.replace(name, object[:n])
			if r := w.damaged(want, name); len(r.Damaged) == 0 {
				t.Errorf("%d bytes of %d were enough", n, len(object))
			}
		}
		w.replace(name, object)
	}
}

func TestI6_StageOfMissingPacks(t *testing.T) {
	w, want := small(t)
	for _, name := range w.packs() {
		object := w.read(name)
		w.replace(name, nil)
		r := w.damaged(want, name)
		if len(r.Damaged) == 0 || !strings.Contains(r.Damaged[0].What, fs.ErrNotExist.Error()) {
			t.Errorf("reported %+v", r.Damaged)
		}
		w.put(name, object)
	}
	w.damaged(want)
}

// What is repaired in the bucket is fetched by the next run, and nothing else is.
func TestStageAfterRepair(t *testing.T) {
	w, want := small(t)
	name := w.packs()[0]
	object := w.read(name)
	w.replace(name, nil)
	dir := t.TempDir()
	p := w.plan(Request{To: dir})
	s := &Stager{Bucket: w.bucket}
	first, err := s.Stage(t.Context(), p)
	if !errors.Is(err, ErrIncomplete) {
		t.Fatal(err)
	}
	w.put(name, object)
	second, err := s.Stage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, dir, want)
	var placed int64
	for _, table := range first.Tables {
		placed += table.Bytes
	}
	if second.BytesKept < placed || placed == 0 {
		t.Errorf("kept %d bytes of %d", second.BytesKept, placed)
	}
}

// Range reads are not checked by any client: what was damaged on the way is asked for again.
func TestStageAsksTwice(t *testing.T) {
	w, want := small(t)
	for turn := range 30 {
		gets := 0
		tap := &tapped{Bucket: w.bucket, get: func(_ string, _ int64, b []byte, err error) ([]byte, error) {
			if gets++; gets == turn && err == nil {
				b = bytes.Clone(b)
				b[len(b)/2] ^= 4
			}
			return b, err
		}}
		dir := t.TempDir()
		if _, err := (&Stager{Bucket: tap, Gets: 1}).Stage(t.Context(), w.plan(Request{To: dir})); err != nil {
			t.Errorf("GET %d: %v", turn, err)
		}
		equal(t, dir, want)
	}
}

// liar is a history of one SSTable whose frame list says what lie makes of it.
func liar(t *testing.T, lie func(frames []pack.FrameRef) []pack.FrameRef) *Plan {
	w := newWorld(t)
	set := pack.NewSetID()
	encoder, err := chunker.NewEncoder(chunker.Fast)
	if err != nil {
		t.Fatal(err)
	}
	writer := pack.NewWriter(set, 0, nil)
	raw := content(1, 30_000)
	var refs []pack.FrameRef
	for part := range slices.Chunk(raw, 10_000) {
		f, err := encoder.Encode(part)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, writer.Add(f))
	}
	object, _, err := writer.Finish()
	if err != nil {
		t.Fatal(err)
	}
	// A list that no Writer would write, behind the pack's end.
	list := pack.AppendList(nil, lie(refs))
	at := pack.ListRef{Off: uint32(len(object)), Len: uint32(len(list))}
	w.put(prefix+pack.Name(set, 0), append(object, list...))
	w.commit(manifest.Full, manifest.Body{
		Full: &manifest.FullPart{Tag: "t", All: true, Last: true},
		Tables: []manifest.Table{{Table: orders, Base: &manifest.Base{ID: "t", Complete: true}, SSTables: []manifest.SSTable{{
			Stem: "nb-1-big", Components: []manifest.Component{{Name: sstable.Data, Size: 30_000, Hash: chunker.Sum(raw), List: at}},
		}}}},
	}, manifest.Keep{Set: set, Packs: 1, Bytes: int64(len(object)), Raw: 30_000})
	p := w.plan(Request{To: t.TempDir()})
	_, err = (&Stager{Bucket: w.bucket}).Stage(t.Context(), p)
	if err == nil {
		return p
	}
	if !errors.Is(err, ErrIncomplete) {
		t.Errorf("%v, want %v", err, ErrIncomplete)
	}
	got := tree(t, p.To)
	delete(got, journalName)
	if len(got) > 0 {
		t.Errorf("%d files were placed", len(got))
	}
	return nil
}

func TestI6_StageOfLyingLists(t *testing.T) {
	f := func(what string, lie func(frames []pack.FrameRef) []pack.FrameRef) {
		t.Helper()
		if liar(t, lie) != nil {
			t.Errorf("%s: believed", what)
		}
	}
	if liar(t, func(frames []pack.FrameRef) []pack.FrameRef { return frames }) == nil {
		t.Fatal("the truth was not believed")
	}
	one := func(change func(*pack.FrameRef)) func([]pack.FrameRef) []pack.FrameRef {
		return func(frames []pack.FrameRef) []pack.FrameRef {
			change(&frames[1])
			return frames
		}
	}
	f("one frame less", func(frames []pack.FrameRef) []pack.FrameRef { return frames[:2] })
	f("one frame more", func(frames []pack.FrameRef) []pack.FrameRef { return append(frames, frames[0]) })
	f("no frame", func([]pack.FrameRef) []pack.FrameRef { return nil })
	f("other order", func(frames []pack.FrameRef) []pack.FrameRef {
		return []pack.FrameRef{frames[1], frames[0], frames[2]}
	})
	f("a frame twice", func(frames []pack.FrameRef) []pack.FrameRef {
		return []pack.FrameRef{frames[0], frames[0], frames[2]}
	})
	f("another pack", one(func(r *pack.FrameRef) { r.Pack = 1 }))
	f("beyond the pack", one(func(r *pack.FrameRef) { r.Off = 1 << 31 }))
	f("huge", one(func(r *pack.FrameRef) { r.Raw = 1<<32 - 1 }))
	f("larger than it is", func(frames []pack.FrameRef) []pack.FrameRef {
		frames[0].Raw++
		frames[1].Raw--
		return frames
	})
	f("longer", one(func(r *pack.FrameRef) { r.Len++ }))
	f("unknown codec", one(func(r *pack.FrameRef) { r.Codec = 9 }))
	f("unknown transform", one(func(r *pack.FrameRef) { r.Transform = 9 }))
	f("other hash", one(func(r *pack.FrameRef) { r.Hash[0]++ }))
}

// A manifest may name another hash than that of an empty file.
func TestI6_StageOfLyingEmptyFile(t *testing.T) {
	w := newWorld(t)
	x := data(orders, "nb-1-big", 1, 100)
	x.files["Rows.db"] = nil
	w.full("base", at(0), 0, x)
	p := w.plan(Request{To: t.TempDir()})
	for i := range p.Tables[0].SSTables[0].Files {
		if f := &p.Tables[0].SSTables[0].Files[i]; f.Name == "Rows.db" {
			f.Hash[0]++
		}
	}
	r, err := (&Stager{Bucket: w.bucket}).Stage(t.Context(), p)
	if !errors.Is(err, ErrIncomplete) || len(r.Damaged) != 1 || r.Damaged[0].File != "nb-1-big-Rows.db" {
		t.Errorf("%v, reported %+v", err, r.Damaged)
	}
}

// Damage is told from what only keeps us from reading: then the run ends, and nothing is blamed.
func TestStageTellsDamageFromOutage(t *testing.T) {
	w, _ := small(t)
	for _, cause := range []error{errors.New("unknown"), context.DeadlineExceeded, fs.ErrPermission} {
		s := &Stager{Bucket: &buckettest.Fault{Bucket: w.bucket, At: 3, Err: cause}}
		r, err := s.Stage(t.Context(), w.plan(Request{To: t.TempDir()}))
		if !errors.Is(err, cause) || errors.Is(err, ErrIncomplete) || len(r.Damaged) > 0 {
			t.Errorf("%v: %v, reported %v", cause, err, r.Damaged)
		}
	}
}

func TestVerifyDirectory(t *testing.T) {
	w, _ := small(t)
	s := &Stager{Bucket: w.bucket}
	f := func(what string, change func(file string), path, problem string) {
		t.Helper()
		p := w.plan(Request{To: t.TempDir()})
		w.stage(p)
		file := filepath.Join(p.To, orders.Keyspace, orders.Dir(), "nb-2-big-Data.db")
		change(file)
		before := tree(t, p.To)
		v, err := s.Verify(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(tree(t, p.To)) != len(before) {
			t.Errorf("%s: something has changed", what)
		}
		if problem == "" {
			if !v.OK() || v.Bytes != p.Bytes || v.Tables[0].Found != 3 || v.Tables[1].Found != 3 {
				t.Errorf("%s: %+v", what, v)
			}
			return
		}
		if len(v.Problems) != 1 || filepath.Base(v.Problems[0].Path) != path || v.Problems[0].What != problem {
			t.Errorf("%s: %+v", what, v.Problems)
		}
		found := 2
		if problem == "extra" {
			found = 3
		}
		if v.Tables[0].Found != found || v.OK() {
			t.Errorf("%s: %+v", what, v)
		}
	}
	f("nothing", func(string) {}, "", "")
	f("a byte", func(file string) { forge(t, file) }, "nb-2-big-Data.db", "different")
	f("shorter", func(file string) { write(t, file, "x") }, "nb-2-big-Data.db", "different")
	f("more", func(file string) { write(t, filepath.Join(filepath.Dir(file), "nb-9-big-Data.db"), "x") }, "nb-9-big-Data.db", "extra")
	f("half", func(file string) { write(t, filepath.Join(filepath.Dir(file), tempPrefix+"1"), "x") }, tempPrefix+"1", "extra")
	f("less", func(file string) { remove(t, file) }, "nb-2-big-Data.db", "missing")
}
