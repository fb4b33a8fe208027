package chunker

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
)

// Encoder makes frames. It is for one goroutine. With frames of up to FrameSize
// it holds 4 MiB (Fast), 5.4 MiB (Balanced) or 8.2 MiB (Dense), 2 of them for what
// goes out and for checking it; with pieces of RowsSize 36 MiB (Balanced) or 42 MiB
// (Dense), and up to three times as much as the parts of Index.db have.
type Encoder struct {
	// Mismatches counts frames whose compressed form did not decode to the
	// bytes that went in, and that were stored uncompressed instead. Anything
	// but 0 is a bug in the compressor or a broken machine: report it (I10).
	Mismatches uint64

	compress func(src, dst []byte) []byte
	decoder  *Decoder
	packed   []byte // the last frame's Data
	unpacked []byte // the last frame decoded again

	// Of OpenRows and EncodeRows.
	piece   piece
	level   Level
	columns columns.Encoder
	rows    []byte
	chunk   []byte // one made again
	rest    []byte // of a part of Index.db: what the rows don't say
	index   []byte // and that compressed, or the last Data of a part of Index.db alone
	lz4     lz4.Encoder
}

// NewEncoder returns an Encoder; it fails only on a level that is none of the
// constants.
func NewEncoder(level Level) (*Encoder, error) {
	e := &Encoder{decoder: NewDecoder()}
	if err := e.SetLevel(level); err != nil {
		return nil, fmt.Errorf("create encoder: %w", err)
	}
	return e, nil
}

// SetLevel makes the next frames ones of level, those of the next file: a Data.db goes
// on with the level that it began with. It fails as NewEncoder does. A change costs the
// memory of a compressor, which the garbage collector takes back.
func (e *Encoder) SetLevel(level Level) error {
	if e.compress != nil && level == e.level {
		return nil
	}
	w, err := level.compressor()
	if err != nil {
		return err
	}
	if level != Fast { // which has no use for columns
		if err := e.columns.SetLevel(level.columns()); err != nil {
			return err
		}
	}
	e.level, e.compress = level, w.EncodeAll
	return nil
}

// Encode makes a frame of raw, which has 1 to MaxRaw bytes; any other length is
// the only error. The frame's Data belongs to e, or is raw itself: it is valid
// until the next Encode, and as long as raw doesn't change.
//
// A frame that compression shrinks by 1/64 or less is stored as it is; with Fast, one
// that it seems to shrink by less than 12 %. So is one whose compressed form does
// not decode to raw again: this compressor has corrupted silently before (restic #4523,
// #4677).
func (e *Encoder) Encode(raw []byte) (Frame, error) { return e.encode(raw, &e.packed) }

// encode is Encode with a place for the Data.
func (e *Encoder) encode(raw []byte, packed *[]byte) (Frame, error) {
	plain, err := stored(raw)
	if err != nil {
		return Frame{}, err
	}
	if e.level == Fast && !e.promises(raw, packed) {
		return plain, nil
	}
	// Room for bytes that don't compress: growing step by step would overshoot.
	*packed = slices.Grow((*packed)[:0], len(raw)+1024)
	*packed = e.compress(raw, *packed)
	f := plain
	f.Codec, f.Data = Zstd, *packed
	if !small(f) {
		return plain, nil
	}
	if !e.comesBack(raw, f) {
		e.Mismatches++
		return plain, nil
	}
	return f, nil
}

const (
	sampleSize = 64 << 10
	leastGain  = 12 // percent
)

// promises tells, by a sample out of the middle, whether raw is likely to shrink by 12 %: less is not worth
// its time at Fast. What LZ4 has made of ids and numbers loses 7 to 12 %, and takes as long as what it left of texts.
func (e *Encoder) promises(raw []byte, packed *[]byte) bool {
	if len(raw) < 4*sampleSize {
		return true
	}
	*packed = e.compress(raw[len(raw)/2:][:sampleSize], (*packed)[:0])
	return len(*packed) <= sampleSize-sampleSize*leastGain/100
}

// stored is the frame of raw as it is.
func stored(raw []byte) (Frame, error) {
	if len(raw) < 1 || len(raw) > MaxRaw {
		return Frame{}, fmt.Errorf("encode frame: %d raw bytes, want 1 to %d", len(raw), MaxRaw)
	}
	return Frame{Codec: Stored, Transform: None, Raw: uint32(len(raw)), Hash: Sum(raw), Data: raw}, nil
}

// small reports whether f is worth the time that decoding will take.
func small(f Frame) bool { return len(f.Data) < int(f.Raw-f.Raw/64) }

// comesBack reports whether f decodes to raw.
func (e *Encoder) comesBack(raw []byte, f Frame) bool {
	var err error
	e.unpacked, err = e.decoder.decode(e.unpacked[:0], f)
	return err == nil && bytes.Equal(e.unpacked, raw)
}
