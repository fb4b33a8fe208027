package pack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

var set = pack.SetID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// text compresses, noise doesn't. Golden files depend on both.
func text(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "row %d of table orders, status=%d\n", i, i*i%7)
	}
	return b[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// component is what a test puts into packs: its raw bytes, cut into pieces.
type component struct {
	label  string
	pieces [][]byte
}

func (c component) raw() []byte { return bytes.Join(c.pieces, nil) }

// components has files of two, one and no frames, and one that doesn't compress.
func components() []component {
	data := text(5000)
	return []component{
		{"shop/orders-5a1c/nb-1-big-Data.db", [][]byte{data[:3000], data[3000:]}},
		{"shop/orders-5a1c/nb-1-big-Index.db", [][]byte{noise(100)}},
		{"shop/orders-5a1c/nb-1-big-Filter.db", nil},
		{"shop/orders-5a1c/nb-1-big-TOC.txt", [][]byte{[]byte("Data.db\nIndex.db\nFilter.db\nTOC.txt\n")}},
	}
}

func newEncoder(t testing.TB) *chunker.Encoder {
	t.Helper()
	e, err := chunker.NewEncoder(chunker.Balanced)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func finish(t testing.TB, w *pack.Writer) ([]byte, []pack.ListRef) {
	t.Helper()
	object, lists, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return object, lists
}

// write makes one pack of all components.
func write(t testing.TB, number uint32, buf []byte) (object []byte, lists []pack.ListRef) {
	t.Helper()
	e, w := newEncoder(t), pack.NewWriter(set, number, buf)
	for _, c := range components() {
		var frames []pack.FrameRef
		for _, piece := range c.pieces {
			f, err := e.Encode(piece)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, w.Add(f))
		}
		w.AddList(c.label, frames)
	}
	return finish(t, w)
}

func open(t testing.TB, object []byte) *pack.Pack {
	t.Helper()
	p, err := pack.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// read puts a component together again from packs by number.
func read(t testing.TB, packs []*pack.Pack, frames []pack.FrameRef) []byte {
	t.Helper()
	d := chunker.NewDecoder()
	var raw []byte
	for _, ref := range frames {
		f, err := packs[ref.Pack].Frame(ref)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = d.Decode(raw, f); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// checkComponents compares what packs hold with components().
func checkComponents(t *testing.T, packs []*pack.Pack, lists []pack.List) {
	t.Helper()
	want := components()
	if len(lists) != len(want) {
		t.Fatalf("%d lists, want %d", len(lists), len(want))
	}
	for i, l := range lists {
		if got := read(t, packs, l.Frames); l.Label != want[i].label || !bytes.Equal(got, want[i].raw()) {
			t.Errorf("list %d is %q with %d bytes, want %q with %d", i, l.Label, len(got), want[i].label, len(want[i].raw()))
		}
	}
}

func TestI5_APackExplainsItself(t *testing.T) {
	object, _ := write(t, 0, nil)
	p := open(t, object)
	if p.Set != set || p.Number != 0 || len(p.Frames) != 4 {
		t.Errorf("pack %d of set %s with %d frames", p.Number, p.Set, len(p.Frames))
	}
	checkComponents(t, []*pack.Pack{p}, p.Lists)
}

func TestRangesAreEnough(t *testing.T) {
	object, lists := write(t, 0, nil)
	d := chunker.NewDecoder()
	for i, c := range components() {
		frames, err := pack.ParseList(object[lists[i].Off:][:lists[i].Len])
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		for _, ref := range frames {
			f, err := ref.Frame(object[ref.Off:][:ref.Len])
			if err != nil {
				t.Fatal(err)
			}
			if raw, err = d.Decode(raw, f); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(raw, c.raw()) {
			t.Errorf("%s came back as %d other bytes", c.label, len(raw))
		}
	}
	ref := open(t, object).Frames[0]
	if _, err := ref.Frame(object[ref.Off:][:ref.Len-1]); !errors.Is(err, chunker.ErrCorrupt) {
		t.Errorf("a short range gave %v, want ErrCorrupt", err)
	}
}

func TestBufferIsReused(t *testing.T) {
	first, _ := write(t, 0, nil)
	want := bytes.Clone(first)
	second, _ := write(t, 0, first)
	if &first[0] != &second[0] || !bytes.Equal(second, want) {
		t.Error("the second pack is elsewhere or other than the first")
	}
}

func TestEmptyPack(t *testing.T) {
	object, lists := finish(t, pack.NewWriter(set, 7, nil))
	p := open(t, object)
	if len(lists) != 0 || p.Number != 7 || len(p.Frames) != 0 || len(p.Lists) != 0 {
		t.Errorf("%d lists, pack %d with %d frames and %d lists", len(lists), p.Number, len(p.Frames), len(p.Lists))
	}
}

func TestSizePromise(t *testing.T) {
	w := pack.NewWriter(set, 1<<31, nil)
	const count, label = 500, "label"
	for i := range count {
		ref := w.Add(chunker.Frame{Raw: chunker.MaxRaw, Data: noise(i + 1)})
		w.AddList(label, []pack.FrameRef{ref, ref})
	}
	size := w.Size()
	bound := size + count*(54+12+len(label)) + 70
	if object, _ := finish(t, w); len(object) <= size || len(object) > bound {
		t.Errorf("%d bytes, promised more than %d, at most %d", len(object), size, bound)
	}
}

func TestFrameRefusesStrangers(t *testing.T) {
	object, _ := write(t, 3, nil)
	p := open(t, object)
	f := func(name string, change func(*pack.FrameRef)) {
		t.Helper()
		ref := p.Frames[1]
		change(&ref)
		if _, err := p.Frame(ref); err == nil {
			t.Errorf("%s: found", name)
		}
	}
	f("of an earlier pack", func(r *pack.FrameRef) { r.Pack = 2 })
	f("of a later pack", func(r *pack.FrameRef) { r.Pack = 4 })
	f("elsewhere", func(r *pack.FrameRef) { r.Off++ })
	f("far away", func(r *pack.FrameRef) { r.Off = 1 << 31 })
	f("longer", func(r *pack.FrameRef) { r.Len++ })
	f("with another hash", func(r *pack.FrameRef) { r.Hash[0]++ })
}

// Every damage is seen, whatever bit it hits and wherever the object ends.
func TestI6_DamageIsDetected(t *testing.T) {
	object, _ := write(t, 0, nil)
	check := func(what string, at int, b []byte) {
		t.Helper()
		p, err := pack.Open(b)
		if p != nil || !errors.Is(err, chunker.ErrCorrupt) {
			t.Errorf("%s %d: %v, want ErrCorrupt", what, at, err)
		}
	}
	for bit := range len(object) * 8 {
		object[bit/8] ^= 1 << (bit % 8)
		check("flip of bit", bit, object)
		object[bit/8] ^= 1 << (bit % 8)
	}
	for n := range object {
		check("cut to", n, object[:n])
		check("beginning at", n+1, object[n+1:])
	}
	check("longer by", 1, append(bytes.Clone(object), 0))
	check("twice", 0, append(bytes.Clone(object), object...))
	open(t, object)
}

func TestI6_DamageToAListIsDetected(t *testing.T) {
	object, lists := write(t, 0, nil)
	for _, ref := range lists {
		list := bytes.Clone(object[ref.Off:][:ref.Len])
		for bit := range len(list) * 8 {
			list[bit/8] ^= 1 << (bit % 8)
			if frames, err := pack.ParseList(list); frames != nil || !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("flip of bit %d: %v, want ErrCorrupt", bit, err)
			}
			list[bit/8] ^= 1 << (bit % 8)
		}
		for n := range list {
			if frames, err := pack.ParseList(list[:n]); frames != nil || !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("cut to %d: %v, want ErrCorrupt", n, err)
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	good := chunker.Frame{Raw: 1, Hash: chunker.Sum([]byte{1}), Data: []byte{1}}
	f := func(name string, use func(w *pack.Writer)) {
		t.Helper()
		w := pack.NewWriter(set, 1, nil)
		w.Add(good)
		use(w)
		w.Add(good)
		if object, lists, err := w.Finish(); err == nil || object != nil || lists != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	f("no stored bytes", func(w *pack.Writer) { w.Add(chunker.Frame{Raw: 1}) })
	f("no raw bytes", func(w *pack.Writer) { w.Add(chunker.Frame{Data: []byte{1}}) })
	f("too many raw bytes", func(w *pack.Writer) { w.Add(chunker.Frame{Raw: chunker.MaxRaw + 1, Data: []byte{1}}) })
	f("larger than MaxSize", func(w *pack.Writer) { w.Add(chunker.Frame{Raw: 1, Data: make([]byte, pack.MaxSize)}) })
	f("long label", func(w *pack.Writer) { w.AddList(string(make([]byte, pack.MaxLabel+1)), nil) })
	f("zero reference", func(w *pack.Writer) { w.AddList("x", []pack.FrameRef{{}}) })
	f("frame that was not added", func(w *pack.Writer) {
		w.AddList("x", []pack.FrameRef{{Pack: 1, Off: 65, Len: 1, Raw: 2}})
	})
	f("frame of a later pack", func(w *pack.Writer) {
		w.AddList("x", []pack.FrameRef{{Pack: 2, Off: 64, Len: 1, Raw: 1}})
	})
	f("second Finish", func(w *pack.Writer) { finish(t, w) })
}

func TestNames(t *testing.T) {
	f := func(n uint32, want string) {
		t.Helper()
		if got := pack.Name(set, n); got != want {
			t.Errorf("named %q, want %q", got, want)
		}
		if gotSet, got, err := pack.ParseName(want); err != nil || gotSet != set || got != n {
			t.Errorf("%q parsed as %s, %d, %v", want, gotSet, got, err)
		}
	}
	f(0, "packs/000102030405060708090a0b0c0d0e0f-000000")
	f(999999, "packs/000102030405060708090a0b0c0d0e0f-999999")
	f(1<<32-1, "packs/000102030405060708090a0b0c0d0e0f-4294967295")

	for _, bad := range []string{
		"", "packs/", "packs/-", "packs/-000000",
		"000102030405060708090a0b0c0d0e0f-000000",
		"packs/000102030405060708090a0b0c0d0e0f",
		"packs/000102030405060708090a0b0c0d0e0f-",
		"packs/000102030405060708090a0b0c0d0e0f-0",
		"packs/000102030405060708090a0b0c0d0e0f-0000000",
		"packs/000102030405060708090a0b0c0d0e0f-+00000",
		"packs/000102030405060708090a0b0c0d0e0f-000000/",
		"packs/000102030405060708090a0b0c0d0e0f-4294967296",
		"packs/000102030405060708090A0B0C0D0E0F-000000",
		"packs/000102030405060708090a0b0c0d0e-000000",
		"packs/packs/000102030405060708090a0b0c0d0e0f-000000",
	} {
		if gotSet, n, err := pack.ParseName(bad); err == nil || !gotSet.IsZero() || n != 0 {
			t.Errorf("%q parsed as %s, %d, %v", bad, gotSet, n, err)
		}
	}
}

func TestReferencesAsJSON(t *testing.T) {
	type holder struct {
		Set   pack.SetID    `json:"set,omitzero"`
		List  pack.ListRef  `json:"list"`
		Frame pack.FrameRef `json:"frame"`
	}
	want := holder{
		Set:   set,
		List:  pack.ListRef{Pack: 1, Off: 2, Len: 3},
		Frame: pack.FrameRef{Pack: 1, Off: 64, Len: 5, Raw: 9, Codec: chunker.Zstd, Hash: chunker.Sum(nil)},
	}
	wantText := `{"set":"000102030405060708090a0b0c0d0e0f",` +
		`"list":{"pack":1,"off":2,"len":3},` +
		`"frame":{"pack":1,"off":64,"len":5,"raw":9,"codec":1,"transform":0,"hash":"` + want.Frame.Hash.String() + `"}}`
	b, err := json.Marshal(want)
	if err != nil || string(b) != wantText {
		t.Errorf("marshalled %s, %v, want %s", b, err, wantText)
	}
	var got holder
	if err := json.Unmarshal(b, &got); err != nil || got != want {
		t.Errorf("unmarshalled %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "00", "000102030405060708090a0b0c0d0e0f10", "xx0102030405060708090a0b0c0d0e0f"} {
		id := set
		if err := id.UnmarshalText([]byte(bad)); err == nil || id != set {
			t.Errorf("%q became %s, %v", bad, id, err)
		}
	}
	if a, b := pack.NewSetID(), pack.NewSetID(); a == b || a.IsZero() {
		t.Errorf("drew %s and %s", a, b)
	}
}
