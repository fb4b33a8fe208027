package columns

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// newEncoder is for tests that don't test NewEncoder.
func newEncoder(t testing.TB, level Level) *Encoder {
	t.Helper()
	e, err := NewEncoder(level)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Rows of random tables come back from frames cut anywhere.
func TestRandomTables(t *testing.T) {
	e, d := newEncoder(t, Fast), NewDecoder()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		tab := randomTable(r, []int{0, 1, 5, 63, 64, 65, 200}[seed%7])
		t.Run(fmt.Sprintf("%d_%d_columns", seed, len(tab.regular)), func(t *testing.T) {
			schema, err := ParseSchema(tab.version, tab.header())
			if err != nil {
				t.Fatal(err)
			}
			data := tab.data([]int{100, 5000, 150000}[r.IntN(3)])
			checkAllColumns(t, e, schema, data)
			s := State{}
			biggest := []int{3, 100, 5000, 1 << 20}[r.IntN(4)]
			frames := 0
			for at := 0; at < len(data) && frames < 300; frames++ {
				piece := data[at:min(len(data), at+1+r.IntN(biggest))]
				at += len(piece)
				prefix := []byte("before")
				out, next, err := e.Encode(prefix, piece, schema, s)
				if err != nil {
					t.Fatalf("frame of %d bytes up to %d of %d in %+v: %v", len(piece), at, len(data), s, err)
				}
				back, err := d.Decode(prefix, out[len(prefix):], len(piece))
				if err != nil || !bytes.Equal(back, slices.Concat(prefix, piece)) {
					t.Fatalf("frame of %d bytes up to %d of %d in %+v doesn't come back: %v", len(piece), at, len(data), s, err)
				}
				s = next
				if at == len(data) && (s.place != atPartition || s.skip > 0 || s.pending != nil) {
					t.Fatalf("ends in %+v", s)
				}
			}
		})
	}
}

// checkAllColumns encodes a whole table: nothing of it is kept as it is.
func checkAllColumns(t *testing.T, e *Encoder, schema *Schema, data []byte) {
	t.Helper()
	if _, _, err := e.Encode(nil, data, schema, State{}); err != nil {
		t.Fatal(err)
	}
	r := reader{b: e.packer.directory}
	r.schema()
	place, previous, head, tail := r.byte(), r.vint(), r.vint(), r.vint()
	if r.bad || place != 0 || previous != 0 || head != 0 || tail != 0 {
		t.Fatalf("starts at %d after %d, with %d literal bytes before and %d after", place, previous, head, tail)
	}
}
