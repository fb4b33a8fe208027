package columns

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func FuzzDecode(f *testing.F) {
	e := newEncoder(f, Fast)
	for seed := range uint64(20) {
		schema, data := sample(f, seed, int(seed)%6, 500)
		frame, _, err := e.Encode(nil, data, schema, State{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame, len(data))
	}
	f.Fuzz(func(t *testing.T, frame []byte, raw int) {
		out, err := NewDecoder().Decode(nil, frame, raw)
		if err == nil && len(out) != raw || err != nil && len(out) > 0 {
			t.Fatalf("%d bytes, want %d: %v", len(out), raw, err)
		}
	})
}

// Whatever the bytes and their schema: what is encoded comes back.
func FuzzEncode(f *testing.F) {
	for seed := range uint64(20) {
		tab := randomTable(rand.New(rand.NewPCG(seed, 5)), int(seed)%6)
		f.Add(tab.version, tab.header(), tab.data(600), uint16(100+seed*50))
	}
	e, d := newEncoder(f, Fast), NewDecoder()
	f.Fuzz(func(t *testing.T, version string, header, data []byte, size uint16) {
		schema, err := ParseSchema(version, header)
		if err != nil {
			return
		}
		comesBack(t, e, d, schema, data, int(size)+1)
	})
}

// Whatever was kept of a part of an Index.db: it makes as many bytes as it should, or is refused.
func FuzzAppendIndex(f *testing.F) {
	e := newEncoder(f, Fast)
	for seed := range uint64(10) {
		tab := randomTable(rand.New(rand.NewPCG(seed, 7)), int(seed)%6)
		tab.data(600)
		for _, p := range indexed(f, e, tab, 400, undamaged) {
			f.Add(p.frame, p.rest, len(p.rows), len(p.index), p.position)
		}
	}
	d := NewDecoder()
	f.Fuzz(func(t *testing.T, frame, rest []byte, raw, index int, position uint64) {
		rows, err := d.Decode(nil, frame, raw)
		if err != nil || index < 0 || index > 1<<20 {
			return
		}
		out, err := d.AppendIndex(nil, rest, rows, position, index)
		if err == nil && len(out) != index || err != nil && len(out) > 0 {
			t.Fatalf("%d bytes, want %d: %v", len(out), index, err)
		}
	})
}

// Whatever an Index.db holds: each part comes back.
func FuzzIndex(f *testing.F) {
	const size = 1000
	tab := randomTable(rand.New(rand.NewPCG(1, 7)), 2)
	tab.data(2 * size)
	for range 10 {
		f.Add(tab.index(0, size), tab.index(size, 2*size))
	}
	e, d := newEncoder(f, Fast), NewDecoder()
	f.Fuzz(func(t *testing.T, one, other []byte) {
		turns := func([]byte) []byte { one, other = other, one; return other }
		for i, p := range indexed(t, e, tab, size, turns) {
			rows, err := d.Decode(nil, p.frame, len(p.rows))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.AppendIndex(nil, p.rest, rows, p.position, len(p.index))
			if err != nil || !bytes.Equal(got, p.index) {
				t.Fatalf("part %d: %x, want %x: %v", i, got, p.index, err)
			}
		}
	})
}

// A schema that is understood comes back from the form that a frame carries.
func FuzzParseSchema(f *testing.F) {
	for seed := range uint64(20) {
		tab := randomTable(rand.New(rand.NewPCG(seed, 6)), int(seed)%6)
		f.Add(tab.version, tab.header())
	}
	f.Fuzz(func(t *testing.T, version string, header []byte) {
		schema, err := ParseSchema(version, header)
		if err != nil {
			return
		}
		b := schema.appendTo(nil)
		r := reader{b: b}
		back := r.schema()
		if back == nil || len(r.b) > 0 || string(back.appendTo(nil)) != string(b) {
			t.Fatalf("%x doesn't come back", b)
		}
	})
}
