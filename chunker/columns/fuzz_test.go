package columns

import (
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
