package chunker_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/fixtures"
)

// A tally counts what became of pieces.
type tally struct {
	opened       [3]int // by transform
	frames       [3]int // likewise: those that would not have become smaller are none
	chunks, kept int    // of frames that aren't None
	raw, stored  int
}

func (n tally) String() string {
	return fmt.Sprintf("none, unchunked, columns: opened %d, encoded %d; %d of %d chunks kept; %d of %d bytes stored: %.3f",
		n.opened, n.frames, n.kept, n.chunks, n.stored, n.raw, float64(n.stored)/float64(n.raw))
}

func (n *tally) add(m tally) {
	for i := range n.frames {
		n.opened[i] += m.opened[i]
		n.frames[i] += m.frames[i]
	}
	n.chunks, n.kept = n.chunks+m.chunks, n.kept+m.kept
	n.raw, n.stored = n.raw+m.raw, n.stored+m.stored
}

// comesBack counts f, a frame of p, and fails unless it decodes to it.
func (n *tally) comesBack(t testing.TB, d *chunker.Decoder, f chunker.Frame, p chunker.Piece) {
	t.Helper()
	n.frames[f.Transform]++
	n.raw += len(p.Raw)
	n.stored += len(f.Data)
	if f.Transform != chunker.None {
		all, kept, err := chunker.Chunks(f)
		if err != nil || all != len(p.Ends) {
			t.Errorf("%d chunks, want %d: %v", all, len(p.Ends), err)
		}
		n.chunks += all
		n.kept += kept
	}
	if got, err := d.Decode(nil, f); err != nil || !bytes.Equal(got, p.Raw) || f.Hash != chunker.Sum(p.Raw) {
		t.Fatalf("%s: %d other bytes for %d: %v", f.Transform, len(got), len(p.Raw), err)
	}
}

func encodeRows(t testing.TB, e *chunker.Encoder) chunker.Frame {
	t.Helper()
	f, err := e.EncodeRows()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// check encodes pieces of a file one after the other, each frame decoded by a Decoder that knows no other.
func (n *tally) check(t testing.TB, e *chunker.Encoder, pieces []chunker.Piece, of chunker.Rows) {
	t.Helper()
	var s chunker.RowsState
	for _, p := range pieces {
		s = e.OpenRows(p, of, s)
		n.opened[e.Opened()]++
		n.comesBack(t, chunker.NewDecoder(), encodeRows(t, e), p)
	}
	if e.Mismatches != 0 {
		t.Errorf("%d mismatches", e.Mismatches)
	}
}

// checkTwo has two encoders take turns: each piece is opened while the one before it is encoded.
func (n *tally) checkTwo(t testing.TB, e [2]*chunker.Encoder, pieces []chunker.Piece, of chunker.Rows) {
	t.Helper()
	d := chunker.NewDecoder()
	s := e[0].OpenRows(pieces[0], of, chunker.RowsState{})
	for i, p := range pieces {
		n.opened[e[i%2].Opened()]++
		var f chunker.Frame
		var err error
		var encoding sync.WaitGroup
		encoding.Go(func() { f, err = e[i%2].EncodeRows() })
		if i+1 < len(pieces) {
			s = e[(i+1)%2].OpenRows(pieces[i+1], of, s)
		}
		encoding.Wait()
		if err != nil {
			t.Fatal(err)
		}
		n.comesBack(t, d, f, p)
	}
}

// Every Data.db of every generation comes back from frames of one chunk, of three, and of RowsSize.
func TestI6_RowsOfFixtures(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			var lz4, others tally
			e := [2]*chunker.Encoder{newEncoder(t, chunker.Balanced), newEncoder(t, chunker.Balanced)}
			files := fixtureFiles(t, variant)
			for _, f := range files {
				n := &lz4
				if f.compressor != "LZ4Compressor" {
					n = &others
				}
				n.check(t, e[0], f.pieces(chunker.RowsSize/f.rows.Length), f.rows)
				n.checkTwo(t, e, f.pieces(1), f.rows)
				n.checkTwo(t, e, f.pieces(3), f.rows)
			}
			t.Logf("%d files; LZ4: %s", len(files), lz4)
			t.Logf("other compressors: %s", others)
			if len(files) < 200 {
				t.Errorf("only %d files", len(files))
			}
			if lz4.kept > 0 {
				t.Errorf("%d chunks of LZ4 are not made again", lz4.kept)
			}
			want := chunker.Columns
			if variant < "3" {
				want = chunker.Unchunked // whose rows have another grammar
			}
			if pieces := lz4.opened[0] + lz4.opened[1] + lz4.opened[2]; lz4.opened[want] != pieces {
				t.Errorf("only %d of %d pieces were opened as %s", lz4.opened[want], pieces, want)
			}
		})
	}
}

// An encoder whose level changes makes the frames of a new one.
func TestSetLevel(t *testing.T) {
	table := goldenTable(t, "nb")
	p := table.pieces(len(table.ends))[0]
	e := newEncoder(t, chunker.Fast)
	for _, level := range []chunker.Level{chunker.Dense, chunker.Fast, chunker.Fast, chunker.Dense, chunker.Balanced, chunker.Dense} {
		if err := e.SetLevel(level); err != nil {
			t.Fatal(err)
		}
		fresh := newEncoder(t, level)
		for _, e := range []*chunker.Encoder{e, fresh} {
			e.OpenRows(p, table.rows, chunker.RowsState{})
		}
		got, want := encodeRows(t, e), encodeRows(t, fresh)
		if got.Transform != want.Transform || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s: a frame of %s, %d bytes, want %s, %d", level, got.Transform, len(got.Data), want.Transform, len(want.Data))
		}
	}
	if err := e.SetLevel(99); err == nil {
		t.Error("a level that is none is taken")
	}
}
