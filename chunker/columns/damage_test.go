package columns

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sample is the beginning of a random table with its schema.
func sample(t testing.TB, seed uint64, columns, size int) (schema *Schema, data []byte) {
	t.Helper()
	tab := randomTable(rand.New(rand.NewPCG(seed, 2)), columns)
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	return schema, tab.data(size)[:size]
}

// Damaged frames are refused or give so many bytes as were asked for, no more.
func TestDamagedFrames(t *testing.T) {
	e, d := newEncoder(t, Balanced), NewDecoder()
	for seed := range uint64(15) {
		schema, data := sample(t, seed, int(seed)%10, 1500)
		frame, _, err := e.Encode(nil, data, schema, State{})
		if err != nil {
			t.Fatal(err)
		}
		try := func(frame []byte, raw int) {
			t.Helper()
			out, err := d.Decode([]byte("abc"), frame, raw)
			if err == nil && len(out) != 3+raw || err != nil && (!errors.Is(err, ErrCorrupt) || len(out) != 3) {
				t.Fatalf("seed %d: %d bytes, want 3+%d: %v", seed, len(out), raw, err)
			}
		}
		try(frame, len(data)+1)
		try(frame, len(data)-1)
		try(frame, 0)
		try(frame, MaxRaw+1)
		try(frame, -1)
		for n := range frame {
			try(frame[:n], len(data))
		}
		r := rand.New(rand.NewPCG(seed, 3))
		for range 300 {
			bad := slices.Clone(frame)
			for range 1 + r.IntN(3) {
				bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
			}
			try(bad, len(data))
		}
		if out, err := d.Decode(nil, frame, len(data)); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("seed %d: the frame itself: %v", seed, err)
		}
	}
}

// Damaged rows are refused or come back as they are; so does what follows them.
func TestDamagedRows(t *testing.T) {
	e, d := newEncoder(t, Fast), NewDecoder()
	refused := 0
	for seed := range uint64(30) {
		schema, data := sample(t, seed, int(seed)%70, 20000)
		r := rand.New(rand.NewPCG(seed, 4))
		for range 15 {
			bad := slices.Clone(data)
			bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
			if !comesBack(t, e, d, schema, bad, 1000+r.IntN(9000)) {
				refused++
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d of 450 refused", refused)
	}
}

// comesBack encodes data in frames of a size and fails unless each that is made comes
// back; it says whether all were made.
func comesBack(t testing.TB, e *Encoder, d *Decoder, schema *Schema, data []byte, size int) bool {
	t.Helper()
	s, all := State{}, true
	for piece := range slices.Chunk(data, size) {
		frame, next, err := e.Encode(nil, piece, schema, s)
		s = next
		if err != nil {
			if !errors.Is(err, ErrGrammar) {
				t.Fatal(err)
			}
			all = false
			continue
		}
		if !all {
			t.Fatal("encoded again after the grammar broke")
		}
		out, err := d.Decode(nil, frame, len(piece))
		if err != nil || !bytes.Equal(out, piece) {
			t.Fatalf("%x doesn't come back: %x, %v", piece, out, err)
		}
	}
	return all
}
