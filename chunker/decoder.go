package chunker

import (
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
)

// Decoder gets raw bytes back out of frames, which may be hostile. It is for
// one goroutine and holds about 0.3 MiB, after rows of RowsSize 10 MiB; after the
// most hostile frame eleven times MaxRaw.
type Decoder struct {
	zstd    *zstd.Decoder
	columns *columns.Decoder
	rows    []byte
	lz4     lz4.Encoder

	// The stored bytes that rows are from, if they are Indexed: a hash of them.
	holding bool
	held    uint64
	seed    maphash.Seed
	rest    []byte // of a part of Index.db
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder {
	r, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true),
	)
	if err != nil {
		panic("chunker: constant options refused: " + err.Error())
	}
	return &Decoder{zstd: r, columns: columns.NewDecoder(), seed: maphash.MakeSeed()}
}

// Decode appends f's raw bytes to dst and returns the extended slice. It has
// verified them against f.Hash (I6). When it fails it returns dst as it was,
// although bytes between its length and capacity may have changed; the error is
// then ErrUnsupported for a codec, transform or size that this version doesn't
// know, else ErrCorrupt.
//
// It makes room for f.Raw bytes, whatever f.Data claims: a frame that holds
// more fails as soon as one zstd block (at most 128 KiB) goes beyond. A frame of
// rows takes room for them as well, at most MaxRaw, and for one chunk of them.
func (d *Decoder) Decode(dst []byte, f Frame) ([]byte, error) {
	out, err := d.decode(dst, f)
	if err != nil {
		return dst, fmt.Errorf("decode frame: %w", err)
	}
	if got := Sum(out[len(dst):]); got != f.Hash {
		return dst, fmt.Errorf("decode frame: %w: hash is %s, want %s", ErrCorrupt, got, f.Hash)
	}
	return out, nil
}

// decode is Decode without the hash.
func (d *Decoder) decode(dst []byte, f Frame) ([]byte, error) {
	switch {
	case f.Transform > Columns && f.Transform != Indexed && f.Transform != Index:
		return nil, fmt.Errorf("%s: %w", f.Transform, ErrUnsupported)
	case f.Raw < 1:
		return nil, fmt.Errorf("%w: no raw bytes", ErrCorrupt)
	case f.Raw > MaxRaw:
		return nil, fmt.Errorf("%d raw bytes, at most %d: %w", f.Raw, MaxRaw, ErrUnsupported)
	}
	switch f.Transform {
	case Index:
		return d.makeIndex(dst, f)
	case Unchunked, Columns, Indexed:
		return d.rechunk(dst, f)
	}
	switch f.Codec {
	case Stored:
		if len(f.Data) != int(f.Raw) {
			return nil, fmt.Errorf("%w: %d stored bytes, want %d", ErrCorrupt, len(f.Data), f.Raw)
		}
		return append(dst, f.Data...), nil
	case Zstd:
		return d.inflate(dst, f.Data, int(f.Raw))
	}
	return nil, fmt.Errorf("%s: %w", f.Codec, ErrUnsupported)
}

// rechunk appends the chunks of a Data.db, made again from their rows.
func (d *Decoder) rechunk(dst []byte, f Frame) ([]byte, error) {
	c, keep, err := d.unpackRows(f, int(f.Raw))
	if err != nil {
		return nil, err
	}
	return c.rebuild(slices.Grow(dst, int(f.Raw)), d.rows, keep, int(f.Raw), &d.lz4)
}

// unpackRows puts the rows of f into d.rows, and returns how to make chunks of them: at most raw bytes,
// of which some may be kept.
func (d *Decoder) unpackRows(f Frame, raw int) (c chunks, keep []byte, err error) {
	d.holding = false
	data, indexed := f.Data, f.Transform == Indexed || f.Transform == Index
	if indexed {
		if _, data, err = parseIndexPart(data); err != nil {
			return chunks{}, nil, err
		}
	}
	c, rest, kept, err := parseChunks(data, raw)
	if err != nil {
		return chunks{}, nil, err
	}
	packed, rows := rest[:len(rest)-kept], int(c.rows())
	switch {
	case f.Transform != Unchunked && f.Codec == Stored:
		if d.rows, err = d.columns.Decode(d.rows[:0], packed, rows); err != nil {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	case f.Transform == Unchunked && f.Codec == Zstd:
		d.rows, err = d.inflate(d.rows[:0], packed, rows)
	default:
		err = ErrUnsupported
	}
	if err != nil {
		return chunks{}, nil, fmt.Errorf("%s, %s: %w", f.Transform, f.Codec, err)
	}
	if d.holding = indexed; indexed {
		d.held = maphash.Bytes(d.seed, f.Data)
	}
	return c, rest[len(rest)-kept:], nil
}

// inflate appends exactly raw bytes, decompressed from data, to dst.
func (d *Decoder) inflate(dst, data []byte, raw int) ([]byte, error) {
	dst = slices.Grow(dst, raw)
	room := dst[len(dst) : len(dst) : len(dst)+raw] // its capacity is the limit
	out, err := d.zstd.DecodeAll(data, room)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(out) != raw {
		return nil, fmt.Errorf("%w: %d raw bytes, want %d", ErrCorrupt, len(out), raw)
	}
	return dst[:len(dst)+raw], nil
}
