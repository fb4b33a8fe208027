package chunker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
)

func FuzzDecode(f *testing.F) {
	for _, kind := range []string{"random", "skewed", "rows", "zeros"} {
		raw := kinds[kind](3000)
		fr := encode(f, newEncoder(f, chunker.Balanced), raw)
		f.Add(uint8(fr.Codec), uint8(fr.Transform), fr.Raw, bytes.Clone(fr.Data))
	}
	f.Add(uint8(chunker.Zstd), uint8(0), uint32(1<<20), zstdFrame(1<<20, 9))
	f.Add(uint8(chunker.Zstd), uint8(0), uint32(1<<20), zstdFrame(-1, 8))
	f.Add(uint8(2), uint8(1), uint32(1<<31), []byte{})
	d := chunker.NewDecoder()
	f.Fuzz(func(t *testing.T, codec, transform uint8, raw uint32, data []byte) {
		fr := chunker.Frame{
			Codec: chunker.Codec(codec), Transform: chunker.Transform(transform),
			Raw: raw % (chunker.MaxRaw + 2), Hash: chunker.Sum(data), Data: data,
		}
		// The hash belongs to the stored bytes: only a stored frame can be right.
		got, err := d.Decode(nil, fr)
		if err == nil && !bytes.Equal(got, data) {
			t.Fatalf("%s: %d bytes with another hash", fr.Codec, len(got))
		}
		if err != nil && !errors.Is(err, chunker.ErrCorrupt) && !errors.Is(err, chunker.ErrUnsupported) {
			t.Fatalf("error is neither ErrCorrupt nor ErrUnsupported: %v", err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, kind := range []string{"random", "skewed", "rows", "zeros"} {
		f.Add(kinds[kind](5000), uint8(1))
	}
	f.Add([]byte{0}, uint8(40))
	d := chunker.NewDecoder()
	var encoders []*chunker.Encoder
	for _, level := range levels {
		encoders = append(encoders, newEncoder(f, level))
	}
	f.Fuzz(func(t *testing.T, piece []byte, times uint8) {
		raw := bytes.Repeat(piece, 1+int(times))
		if len(raw) == 0 || len(raw) > chunker.FrameSize {
			return
		}
		for i, e := range encoders {
			fr := encode(t, e, raw)
			got, err := d.Decode(nil, fr)
			if err != nil || !bytes.Equal(got, raw) || e.Mismatches != 0 {
				t.Fatalf("%s, %s: %v, %d mismatches", levels[i], fr.Codec, err, e.Mismatches)
			}
		}
	})
}

// FuzzDecodeRows decodes whatever claims to be chunks of rows.
func FuzzDecodeRows(f *testing.F) {
	for _, g := range goldenTables {
		table := goldenTable(f, g.version)
		e := newEncoder(f, chunker.Balanced)
		for _, schema := range []*columns.Schema{nil, table.rows.Schema} {
			table.rows.Schema = schema
			e.OpenRows(table.pieces(2)[0], table.rows, chunker.RowsState{})
			fr := encodeRows(f, e)
			f.Add(fr.Transform == chunker.Columns, fr.Raw, bytes.Clone(fr.Data))
		}
	}
	d := chunker.NewDecoder()
	f.Fuzz(func(t *testing.T, split bool, raw uint32, data []byte) {
		fr := chunker.Frame{Codec: chunker.Zstd, Transform: chunker.Unchunked, Raw: raw % (1 << 20), Data: data}
		if split {
			fr.Codec, fr.Transform = chunker.Stored, chunker.Columns
		}
		for range 2 { // the second time, it has the right hash
			got, err := d.Decode(nil, fr)
			if err == nil && (len(got) != int(fr.Raw) || chunker.Sum(got) != fr.Hash) {
				t.Fatalf("%d bytes with another hash", len(got))
			}
			if err != nil && !errors.Is(err, chunker.ErrCorrupt) && !errors.Is(err, chunker.ErrUnsupported) {
				t.Fatalf("error is neither ErrCorrupt nor ErrUnsupported: %v", err)
			}
			if fr.Hash, err = d.HashOf(fr); err != nil {
				return
			}
		}
	})
}

// FuzzRows encodes whatever claims to be chunks, with the schema of a real table or without.
func FuzzRows(f *testing.F) {
	table := goldenTable(f, "me")
	for _, p := range table.pieces(3) {
		var ends []byte
		for _, end := range p.Ends {
			ends = binary.LittleEndian.AppendUint16(ends, uint16(end))
		}
		f.Add(bytes.Clone(p.Raw), ends, uint32(table.rows.Length), int32(1<<31-1), uint8(1))
		f.Add(bytes.Clone(p.Raw), ends, uint32(table.rows.Length), int32(500), uint8(0))
	}
	d := chunker.NewDecoder()
	e := newEncoder(f, chunker.Balanced)
	f.Fuzz(func(t *testing.T, raw, list []byte, length uint32, stored int32, bits uint8) {
		if len(raw) == 0 {
			return
		}
		p := chunker.Piece{Raw: raw}
		for ; len(list) >= 2; list = list[2:] {
			p.Ends = append(p.Ends, int(binary.LittleEndian.Uint16(list)))
		}
		of := chunker.Rows{Length: int(length), MaxStored: int(stored), Adler32: bits&2 != 0}
		if bits&1 != 0 {
			of.Schema = table.rows.Schema
		}
		var s chunker.RowsState
		for range 2 {
			s = e.OpenRows(p, of, s)
			fr := encodeRows(t, e)
			got, err := d.Decode(nil, fr)
			if err != nil || !bytes.Equal(got, raw) || e.Mismatches != 0 {
				t.Fatalf("%s: %v, %d mismatches", fr.Transform, err, e.Mismatches)
			}
		}
	})
}

// FuzzDecodeIndex decodes whatever claims to be rows with a part of Index.db, as either of them, and either
// of them first.
func FuzzDecodeIndex(f *testing.F) {
	table := goldenTable(f, "me")
	e := newEncoder(f, chunker.Balanced)
	e.OpenRows(table.pieces(len(table.ends))[0], table.rows, chunker.RowsState{})
	rows, index := encodeIndexed(f, e, table.index)
	f.Add(bytes.Clone(rows.Data), rows.Raw, index.Raw, true)
	f.Add(bytes.Clone(rows.Data), rows.Raw, index.Raw, false)
	d := chunker.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte, raw, rawIndex uint32, indexFirst bool) {
		frames := []chunker.Frame{
			{Codec: chunker.Stored, Transform: chunker.Indexed, Raw: raw % (1 << 20), Data: data},
			{Codec: chunker.Stored, Transform: chunker.Index, Raw: rawIndex % (1 << 20), Data: data},
		}
		if indexFirst {
			slices.Reverse(frames)
		}
		for _, fr := range frames {
			for range 2 { // the second time, it has the right hash
				got, err := d.Decode(nil, fr)
				if err == nil && (len(got) != int(fr.Raw) || chunker.Sum(got) != fr.Hash) {
					t.Fatalf("%s: %d bytes with another hash", fr.Transform, len(got))
				}
				if err != nil && !errors.Is(err, chunker.ErrCorrupt) && !errors.Is(err, chunker.ErrUnsupported) {
					t.Fatalf("%s: error is neither ErrCorrupt nor ErrUnsupported: %v", fr.Transform, err)
				}
				if fr.Hash, err = d.HashOf(fr); err != nil {
					break
				}
			}
		}
	})
}
