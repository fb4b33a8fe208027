package chunker_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/internal/fixtures"
)

func encodeIndexed(t testing.TB, e *chunker.Encoder, index []byte) (rows, part chunker.Frame) {
	t.Helper()
	rows, part, err := e.EncodeIndexed(index)
	if err != nil {
		t.Fatal(err)
	}
	return rows, part
}

// cutIndex returns the entries of the partitions before end, as far as they can be parsed.
func cutIndex(index []byte, end int64) (part, after []byte) {
	at := 0
	for {
		e, ok := columns.ParseIndexEntry(index[at:])
		if !ok || e.Position >= uint64(end) || e.Length > uint64(len(index)-at) {
			return index[:at], index[at:]
		}
		at += int(e.Length)
	}
}

// An indexTally counts what became of the bytes of Index.db.
type indexTally struct {
	files, made int // files, and those of which nothing is stored as in other files
	raw, rest   int // bytes, and those stored as in other files
	added       int // bytes that frames of rows are longer for it
}

func (n indexTally) String() string {
	return fmt.Sprintf("%d of %d made again; of %d bytes %d are stored as they are, and %d for the others", n.made, n.files, n.raw, n.rest, n.added)
}

// check encodes pieces of f with their parts of its Index.db. Both come back, by a decoder that knows
// nothing else and by d.
func (n *indexTally) check(t testing.TB, e *chunker.Encoder, d *chunker.Decoder, f dataFile, pieces []chunker.Piece) {
	t.Helper()
	var s chunker.RowsState
	var part []byte
	left, rest := f.index, 0
	for _, p := range pieces {
		before := s
		s = e.OpenRows(p, f.rows, before)
		end, ok := s.End()
		if !ok {
			continue
		}
		if part, left = cutIndex(left, end); len(part) == 0 {
			continue
		}
		without := len(encodeRows(t, e).Data)
		e.OpenRows(p, f.rows, before)
		rows, index := encodeIndexed(t, e, part)
		for _, decoder := range []*chunker.Decoder{chunker.NewDecoder(), d} {
			if got, err := decoder.Decode(nil, rows); err != nil || !bytes.Equal(got, p.Raw) {
				t.Fatalf("%s: rows don't come back: %v", f.path, err)
			}
		}
		for _, decoder := range []*chunker.Decoder{chunker.NewDecoder(), d} {
			if got, err := decoder.Decode(nil, index); err != nil || !bytes.Equal(got, part) || index.Hash != chunker.Sum(part) {
				t.Fatalf("%s: index doesn't come back: %v", f.path, err)
			}
		}
		if index.Transform == chunker.Index {
			n.added += len(rows.Data) - without
		} else {
			rest += len(part)
		}
	}
	rest += len(left)
	n.files++
	n.raw += len(f.index)
	n.rest += rest
	if rest == 0 {
		n.made++
	}
	if e.Mismatches != 0 {
		t.Errorf("%d mismatches", e.Mismatches)
	}
}

// Every Index.db of every generation since 3.0 is made of its Data.db, if that is split into columns.
func TestI6_IndexOfFixtures(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			var whole, cut indexTally
			e, d := newEncoder(t, chunker.Balanced), chunker.NewDecoder()
			for _, f := range fixtureFiles(t, variant) {
				if f.compressor != "LZ4Compressor" || len(f.index) == 0 {
					continue
				}
				whole.check(t, e, d, f, f.pieces(chunker.RowsSize/f.rows.Length))
				cut.check(t, e, d, f, f.pieces(1))
			}
			t.Logf("by frames of %d MiB: %s", chunker.RowsSize>>20, whole)
			t.Logf("by frames of one chunk: %s", cut)
			if big := variant > "3" && variant != "5.0.8-da"; big && whole.raw-whole.rest < whole.raw*4/5 || big && whole.files < 300 {
				t.Error("too little") // some files are too short to be compressed
			}
		})
	}
}

// Whatever Index.db holds comes back, and so do the rows.
func TestI6_DamagedIndexOfFixtures(t *testing.T) {
	e, d := newEncoder(t, chunker.Balanced), chunker.NewDecoder()
	r := rand.New(rand.NewPCG(2, 1))
	for _, version := range []string{"me", "nb"} {
		f := goldenTable(t, version)
		intact := f.index
		damaged := func(index []byte) (n indexTally) {
			t.Helper()
			f.index = index
			n.check(t, e, d, f, f.pieces(len(f.ends)))
			return n
		}
		if n := damaged(intact); n.made != 1 {
			t.Fatalf("%s: %s", version, n)
		}
		for range 100 {
			flipped := slices.Clone(intact)
			flipped[r.IntN(len(flipped))] ^= 1 << r.IntN(8)
			damaged(flipped)
			damaged(intact[:r.IntN(len(intact))])
			damaged(slices.Concat(intact, flipped))
		}
		damaged(random(1000))
		damaged(make([]byte, 1000))
	}
}

// The rows of an index are those of its own stored bytes, whatever was decoded before.
func TestIndexAfterOtherRows(t *testing.T) {
	d := chunker.NewDecoder()
	var frames []chunker.Frame
	for _, version := range []string{"me", "nb"} {
		f := goldenTable(t, version)
		e := newEncoder(t, chunker.Balanced)
		p := f.pieces(len(f.ends))[0]
		e.OpenRows(p, f.rows, chunker.RowsState{})
		plain := encodeRows(t, e)
		plain.Data = bytes.Clone(plain.Data)
		e.OpenRows(p, f.rows, chunker.RowsState{})
		rows, index := encodeIndexed(t, e, f.index)
		frames = append(frames, plain, rows, index)
	}
	for i, first := range frames {
		for k, second := range frames {
			if _, err := d.Decode(nil, first); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Decode(nil, second); err != nil {
				t.Errorf("frame %d after %d: %v", k, i, err)
			}
			bad := first
			bad.Data = first.Data[:len(first.Data)-1]
			if _, err := d.Decode(nil, bad); !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("frame %d, cut short: %v", i, err)
			}
			if _, err := d.Decode(nil, second); err != nil {
				t.Errorf("frame %d after a damaged %d: %v", k, i, err)
			}
		}
	}
}

// A part of an index without rows in columns is a frame of its own, and one that no frame can hold an
// error.
func TestIndexWithoutColumns(t *testing.T) {
	rows, schema := sample(t)
	index := random(300 << 10) // so much that a sample of it is tried
	f := func(name string, level chunker.Level, w *writer, rows []byte) {
		t.Helper()
		e := newEncoder(t, level)
		p := w.piece(rows)
		if _, ok := e.OpenRows(p, w.Rows, chunker.RowsState{}).End(); ok {
			t.Errorf("%s: asks for an index", name)
		}
		data, part := encodeIndexed(t, e, index)
		for want, f := range map[string]chunker.Frame{string(p.Raw): data, string(index): part} {
			if got, err := chunker.NewDecoder().Decode(nil, f); err != nil || string(got) != want || f.Transform > chunker.Unchunked {
				t.Errorf("%s: %s doesn't come back: %v", name, f.Transform, err)
			}
		}
	}
	f("fast", chunker.Fast, writerOf(schema), rows)
	f("no schema", chunker.Balanced, writerOf(nil), rows)
	f("other rows", chunker.Balanced, writerOf(schema), slices.Concat(random(100), rows))
	e := newEncoder(t, chunker.Balanced)
	w := writerOf(schema)
	e.OpenRows(w.piece(rows), w.Rows, chunker.RowsState{})
	if _, _, err := e.EncodeIndexed(make([]byte, chunker.MaxRaw+1)); err == nil {
		t.Error("an index that no frame can hold is no error")
	}
	if data, part := encodeIndexed(t, e, nil); data.Transform != chunker.Columns || part.Raw != 0 {
		t.Errorf("without an index: %s and %+v", data.Transform, part)
	}
}

// Whatever a frame claims of its index, it takes no more than what an honest one may take.
func TestDecodeOfIndexIsBounded(t *testing.T) {
	table := goldenTable(t, "nb")
	e := newEncoder(t, chunker.Balanced)
	p := table.pieces(len(table.ends))[0]
	e.OpenRows(p, table.rows, chunker.RowsState{})
	rows := bytes.Clone(encodeRows(t, e).Data)
	d := chunker.NewDecoder()
	const max, most = chunker.MaxRaw, 5 * chunker.MaxRaw
	f := func(name string, raw uint32, data ...[]byte) {
		t.Helper()
		for _, transform := range []chunker.Transform{chunker.Index, chunker.Indexed} {
			bomb := chunker.Frame{Transform: transform, Raw: raw, Data: slices.Concat(data...)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := d.Decode(nil, bomb)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("%s, %s: %v, want ErrCorrupt", name, transform, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%s, %s: allocated %d bytes", name, transform, got)
			}
		}
	}
	bomb := zstdFrame(max, max>>17)
	n := uint64(len(bomb))
	f("nothing", 1)
	f("no rows", 1, vints(0, max, n), bomb)
	f("a rest of more than any", 1, vints(0, max+1, n), bomb, rows)
	f("a rest that is longer than it says", 1, vints(0, 1, n), bomb, rows)
	f("a rest that is shorter than it says", 1, vints(0, max, 0), rows)
	f("a rest beyond the frame", 1, vints(0, 9, max), rows)
	f("a position beyond 63 bits", 1, vints(1<<63, 0, 0), rows)
	f("zeros for an index of one byte", 1, vints(0, max, n), bomb, rows)
	f("zeros for the longest index", max, vints(1<<62, max, n), bomb, rows)
}
