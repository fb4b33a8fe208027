package chunker_test

import (
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
)

// A writer makes a Data.db of rows as Cassandra does (CompressedSequentialWriter), or as it never would.
type writer struct {
	chunker.Rows
	classes []lz4.Class           // of the chunks in turn
	block   func([]byte) []byte   // instead of LZ4 with a class, if it isn't nil
	spoil   func(i int, c []byte) // each chunk, with its checksum
	empty   bool                  // one more chunk of nothing, as after a compaction
	lz4     lz4.Encoder
}

func (w *writer) piece(rows []byte) (p chunker.Piece) {
	parts := slices.Collect(slices.Chunk(rows, w.Length))
	if w.empty {
		parts = append(parts, nil)
	}
	for i, part := range parts {
		at := len(p.Raw)
		p.Raw = append(p.Raw, w.chunk(i, part)...)
		p.Raw = binary.BigEndian.AppendUint32(p.Raw, w.checksum(p.Raw[at:]))
		if w.spoil != nil {
			w.spoil(i, p.Raw[at:])
		}
		p.Ends = append(p.Ends, len(p.Raw))
	}
	return p
}

func (w *writer) chunk(i int, rows []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(rows)))
	if w.block != nil {
		b = append(b, w.block(rows)...)
	} else {
		b = w.lz4.Encode(b, rows, w.classes[i%len(w.classes)])
	}
	if len(b) >= w.MaxStored {
		b = append(slices.Clone(rows), make([]byte, max(0, w.MaxStored-len(rows)))...)
	}
	return b
}

func (w *writer) checksum(b []byte) uint32 {
	if w.Adler32 {
		return adler32.Checksum(b)
	}
	return crc32.ChecksumIEEE(b)
}

// literals is an LZ4 block without a match.
func literals(rows []byte) []byte {
	b := []byte{byte(min(len(rows), 15)) << 4}
	if n := len(rows) - 15; n >= 0 {
		b = append(append(b, slices.Repeat([]byte{255}, n/255)...), byte(n%255))
	}
	return append(b, rows...)
}

// sample is what a table of 5.0 holds.
func sample(t testing.TB) (rows []byte, schema *columns.Schema) {
	t.Helper()
	f := goldenTable(t, "nb")
	return f.inflated(t), f.rows.Schema
}

func writerOf(schema *columns.Schema) *writer {
	return &writer{Rows: chunker.Rows{Length: 16 << 10, MaxStored: 1<<31 - 1, Schema: schema}, classes: []lz4.Class{lz4.C}}
}

func TestI6_RowsInChunksOfAllLengthsAndClasses(t *testing.T) {
	rows, schema := sample(t)
	for length := 4 << 10; length <= 256<<10; length *= 2 {
		for _, class := range []lz4.Class{lz4.A, lz4.B, lz4.C} {
			var n tally
			w := writerOf(schema)
			w.Length, w.classes, w.Adler32, w.empty = length, []lz4.Class{class}, class == lz4.A, class == lz4.C
			p := w.piece(rows)
			n.check(t, newEncoder(t, chunker.Balanced), []chunker.Piece{p}, w.Rows)
			if n.frames[chunker.Columns] != 1 || n.kept > 0 {
				t.Errorf("%d, %s: %s", length, class, n)
			}
		}
	}
}

func TestI6_RowsInOddChunks(t *testing.T) {
	rows, schema := sample(t)
	noise := random(48 << 10)
	f := func(name string, want chunker.Transform, kept int, rows []byte, change func(*writer)) {
		t.Helper()
		w := writerOf(schema)
		change(w)
		var n tally
		n.check(t, newEncoder(t, chunker.Balanced), []chunker.Piece{w.piece(rows)}, w.Rows)
		if n.frames[want] != 1 || n.kept != kept {
			t.Errorf("%s: %s, want %s with %d kept", name, n, want, kept)
		}
	}
	third := func(change func(c []byte)) func(int, []byte) {
		return func(i int, c []byte) {
			if i == 2 {
				change(c)
			}
		}
	}
	const columns, unchunked, none = chunker.Columns, chunker.Unchunked, chunker.None
	f("as Cassandra writes them", columns, 0, rows, func(*writer) {})
	f("rows in one chunk that isn't full", columns, 0, rows[:5000], func(*writer) {})
	f("a wrong checksum", columns, 1, rows, func(w *writer) { w.spoil = third(func(c []byte) { c[len(c)-1] ^= 1 }) })
	f("no schema", unchunked, 0, rows, func(w *writer) { w.Schema = nil })
	f("no schema, a wrong checksum", unchunked, 1, rows, func(w *writer) {
		w.Schema, w.spoil = nil, third(func(c []byte) { c[len(c)-4] ^= 0x80 })
	})
	f("other rows", unchunked, 0, slices.Concat(noise[:100], rows), func(*writer) {})
	f("no block", none, 0, rows, func(w *writer) { w.spoil = third(func(c []byte) { clear(c[4:]) }) })
	f("a block that says it is longer than a chunk", none, 0, rows, func(w *writer) { w.spoil = third(func(c []byte) { c[2]++ }) })
	f("no class", none, 0, rows, func(w *writer) { w.block = literals })
	f("no chunk compressed", columns, 0, rows, func(w *writer) { w.MaxStored = 1 })
	f("chunks that hardly shrink not compressed", unchunked, 0, slices.Concat(rows, noise, rows[:100]), func(w *writer) { w.MaxStored = 15 << 10 })
	f("the last filled up with zeros", unchunked, 0, slices.Concat(rows[:64<<10], noise[:100]), func(w *writer) { w.MaxStored = 104 })
	f("one byte of rows", none, 0, rows[:1], func(*writer) {})
	f("no rows", none, 0, nil, func(w *writer) { w.empty = true })
}

// A block that LZ4 would not have made costs its bytes, and no others.
func TestI6_ForeignBlocksAreKept(t *testing.T) {
	rows, schema := sample(t)
	w := writerOf(schema)
	w.Length = 4 << 10
	honest := w.piece(rows)
	var foreign chunker.Piece
	at := 0
	for i, end := range honest.Ends {
		chunk := honest.Raw[at:end]
		if i%10 == 5 {
			chunk = binary.LittleEndian.AppendUint32(nil, uint32(w.Length))
			chunk = append(chunk, literals(rows[i*w.Length:(i+1)*w.Length])...)
			chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk))
		}
		foreign.Raw = append(foreign.Raw, chunk...)
		foreign.Ends = append(foreign.Ends, len(foreign.Raw))
		at = end
	}
	var n tally
	n.check(t, newEncoder(t, chunker.Dense), []chunker.Piece{foreign}, w.Rows)
	if n.frames[chunker.Columns] != 1 || n.kept != (n.chunks+4)/10 {
		t.Error(n)
	}
}

// Classes that take turns in one file: it is as if the rarer ones were foreign.
func TestI6_MixedClasses(t *testing.T) {
	rows, schema := sample(t)
	w := writerOf(schema)
	w.classes = []lz4.Class{lz4.A, lz4.B, lz4.C}
	var n tally
	n.check(t, newEncoder(t, chunker.Balanced), []chunker.Piece{w.piece(rows), w.piece(rows)}, chunker.Rows{Length: w.Length, MaxStored: w.MaxStored})
	t.Log(n)
	if n.opened[chunker.Unchunked] != 2 {
		t.Error("not opened")
	}
}

// Each piece of a damaged Data.db comes back, and those after the damage are still without LZ4.
func TestI6_DamagedDataFiles(t *testing.T) {
	f := goldenTable(t, "nb")
	e := newEncoder(t, chunker.Balanced)
	r := rand.New(rand.NewPCG(1, 3))
	var n tally
	for range 60 {
		bad := f
		bad.raw = slices.Clone(f.raw)
		bad.raw[r.IntN(len(bad.raw))] ^= 1 << r.IntN(8)
		n.check(t, e, bad.pieces(1+r.IntN(3)), bad.rows)
	}
	t.Log(n)
	if n.opened[chunker.None] > 120 || n.opened[chunker.Unchunked] == 0 {
		t.Error("one flip spoils more than its piece")
	}
}

func TestI6_SchemaOfAnotherTable(t *testing.T) {
	var schemas []*columns.Schema
	files := fixtureFiles(t, "4.1.10-nb")
	for _, f := range files {
		schemas = append(schemas, f.rows.Schema)
	}
	e := newEncoder(t, chunker.Balanced)
	r := rand.New(rand.NewPCG(1, 4))
	var n tally
	for _, f := range files {
		if f.compressor == "LZ4Compressor" {
			f.rows.Schema = schemas[r.IntN(len(schemas))]
			n.check(t, e, f.pieces(2), f.rows)
		}
	}
	t.Log(n)
	if n.opened[chunker.Unchunked] == 0 || n.opened[chunker.None] > 0 {
		t.Error("rows don't fall back to unchunked")
	}
}

// Ends that aren't those of the chunks: the piece is encoded as it is.
func TestI6_EndsThatDontFit(t *testing.T) {
	rows, schema := sample(t)
	w := writerOf(schema)
	good := w.piece(rows)
	last := len(good.Ends) - 1
	e := newEncoder(t, chunker.Balanced)
	f := func(name string, of chunker.Rows, change func(ends []int) []int) {
		t.Helper()
		p := chunker.Piece{Raw: good.Raw, Ends: change(slices.Clone(good.Ends))}
		var n tally
		n.check(t, e, []chunker.Piece{p}, of)
		if n.frames[chunker.None] != 1 {
			t.Errorf("%s: %s", name, n)
		}
	}
	same := func(ends []int) []int { return ends }
	for _, length := range []int{-1, 0, 1, 16<<10 - 1, chunker.MaxRaw + 1, 1 << 40} {
		of := w.Rows
		of.Length = length
		f("chunks of another length", of, same)
	}
	f("none", w.Rows, func([]int) []int { return nil })
	f("one too few", w.Rows, func(e []int) []int { return e[:last] })
	f("one too many", w.Rows, func(e []int) []int { return append(e, e[last]+100) })
	f("one twice", w.Rows, func(e []int) []int { return slices.Insert(e, 1, e[0]) })
	f("one wrong", w.Rows, func(e []int) []int { e[1]++; return e })
	f("one behind", w.Rows, func(e []int) []int { e[1] += len(good.Raw); return e })
	f("one before", w.Rows, func(e []int) []int { e[1] = -1; return e })
	f("not in order", w.Rows, func(e []int) []int { slices.Reverse(e); return e })
	f("at every byte", w.Rows, func([]int) []int {
		e := make([]int, len(good.Raw))
		for i := range e {
			e[i] = i + 1
		}
		return e
	})
	for _, raw := range [][]byte{nil, make([]byte, chunker.MaxRaw+1)} {
		e.OpenRows(chunker.Piece{Raw: raw, Ends: []int{len(raw)}}, w.Rows, chunker.RowsState{})
		if f, err := e.EncodeRows(); err == nil {
			t.Errorf("%d raw bytes became %s", len(raw), f.Transform)
		}
	}
}

// A level of Fast leaves chunks as they are.
func TestFastLeavesChunks(t *testing.T) {
	rows, schema := sample(t)
	w := writerOf(schema)
	p := w.piece(rows)
	var n tally
	n.check(t, newEncoder(t, chunker.Fast), []chunker.Piece{p, p}, w.Rows)
	if n.frames[chunker.None] != 2 {
		t.Error(n)
	}
}

// Rows that compressor or columns got wrong are stored as they were, and counted.
func TestI6_MiscompressedRowsAreStored(t *testing.T) {
	rows, schema := sample(t)
	wrong := slices.Clone(rows)
	wrong[len(wrong)/2] ^= 1
	f := func(name string, schema *columns.Schema, spoil func(int, []byte)) {
		t.Helper()
		w := writerOf(schema)
		w.spoil = spoil
		p := w.piece(rows)
		e := newEncoder(t, chunker.Balanced)
		for n := uint64(1); n <= 2; n++ {
			e.OpenRows(p, w.Rows, chunker.RowsState{})
			if schema == nil {
				e.Lie(func(b []byte) []byte { return b[:len(b)-1] })
			} else if err := e.Resplit(wrong[:len(wrong)-1], schema); err != nil {
				t.Fatal(err)
			}
			got := encodeRows(t, e)
			new(tally).comesBack(t, chunker.NewDecoder(), got, p)
			if got.Transform != chunker.None || e.Mismatches < n {
				t.Errorf("%s: %s, %d mismatches, want none and %d", name, got.Transform, e.Mismatches, n)
			}
		}
	}
	checksum := func(i int, c []byte) {
		if i == 1 {
			c[len(c)-1] ^= 1
		}
	}
	f("unchunked", nil, nil)
	f("unchunked, one chunk kept", nil, checksum)
	f("columns", schema, nil)
	f("columns, one chunk kept", schema, checksum)
}
