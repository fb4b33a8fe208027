package commitlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sstash/sstash/chunker"
)

// ErrNewer is returned for a piece that a later version of sstash wrote, or sealed.
var ErrNewer = errors.New("written in a way that this version of sstash can't read; use a newer sstash")

// Format is the newest format that this package reads, and the one that it writes.
const Format = 1

// These numbers are part of the format.
const (
	magicHeader = 0x184D2A50
	magicSum    = 0x184D2A52
	magicCheck  = 0x184D2A53

	frameHead = 8
	checkSize = frameHead + len(chunker.Hash{})

	// maxRaw bounds the bytes of segments in one piece, and maxHeader its JSON.
	maxRaw    = 64 << 20
	maxHeader = 1 << 20
	// maxSegment bounds positions: Cassandra's are int32.
	maxSegment = 1<<31 - 1
)

// Piece is the header of an object: what it holds, and what it proves.
type Piece struct {
	Format   int      `json:"format"`
	Suite    int      `json:"suite"`              // 0: the bytes are clear
	Critical []string `json:"critical,omitempty"` // what a reader must understand or refuse
	Number   uint64   `json:"number"`             // from 1
	Cluster  string   `json:"cluster"`
	HostID   string   `json:"host_id"`
	Open     uint64   `json:"open"`   // the manifest with which its writer opened the history (I4)
	Writer   string   `json:"writer"` // the nonce of that open
	// Looked is when the look began that found the bytes, Read when they had been found, by the node's
	// clock. What was written to the log after Read is in later pieces.
	Looked time.Time `json:"looked"`
	Read   time.Time `json:"read"`
	// First is the number of the first piece of the stretch that this one belongs to, Why the reason
	// that the first one gives for not going on from what was before it.
	First uint64 `json:"first"`
	Why   string `json:"why,omitempty"`
	// Since and Until: every write that was acknowledged in [Since, Until) is in this piece, or in an
	// earlier one. Until is zero where nothing is proven (I10).
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
	// Parts are the bytes in the object, one behind the other.
	Parts []Part `json:"parts,omitempty"`
	// Going are the segments that later pieces may go on with.
	Going []Going `json:"going,omitempty"`
}

// Part is a stretch of one segment.
type Part struct {
	Segment string `json:"segment"` // the file's name
	From    int64  `json:"from"`    // what earlier pieces hold behind it, does not count
	To      int64  `json:"to"`
	// Size is how long the file is, zero behind what was written; 0 for one that grows.
	Size int64 `json:"size,omitempty"`
	// First is the number of the piece that holds the beginning of the segment.
	First uint64 `json:"first"`
}

// Going is a segment that is not known to have ended.
type Going struct {
	Segment string       `json:"segment"`
	To      int64        `json:"to"`    // pieces hold [0, To)
	First   uint64       `json:"first"` // 0: none does
	Sum     chunker.Hash `json:"sum"`   // of [0, To)
}

// object is a piece as it is stored; raw holds the bytes of its parts.
func (p Piece) encode(raw []byte) ([]byte, error) {
	p.Format = Format
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("encode log piece %d: %w", p.Number, err)
	}
	if p.raw() != int64(len(raw)) {
		return nil, fmt.Errorf("encode log piece %d: %d bytes for parts of %d", p.Number, len(raw), p.raw())
	}
	header, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode log piece %d: %w", p.Number, err)
	}
	out := appendSkippable(nil, magicHeader, header)
	check := chunker.Sum(out)
	out = appendSkippable(out, magicCheck, check[:])
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithZeroFrames(true), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	out = enc.EncodeAll(raw, out)
	sum := chunker.Sum(out)
	out = appendSkippable(out, magicSum, sum[:])
	if _, again, err := decode(out); err != nil || !bytes.Equal(again, raw) {
		return nil, fmt.Errorf("read log piece %d back: %w", p.Number, errors.Join(err, chunker.ErrCorrupt))
	}
	return out, nil
}

// decode reads a whole object, and verifies its checksum first.
func decode(object []byte) (Piece, []byte, error) {
	if len(object) < checkSize {
		return Piece{}, nil, fmt.Errorf("log piece is cut short: %w", chunker.ErrCorrupt)
	}
	front, tail := object[:len(object)-checkSize], object[len(object)-checkSize:]
	sum := chunker.Sum(front)
	if !bytes.Equal(tail, appendSkippable(nil, magicSum, sum[:])) {
		return Piece{}, nil, fmt.Errorf("log piece does not match its checksum: %w", chunker.ErrCorrupt)
	}
	p, n, err := decodeHeader(front)
	if err != nil {
		return Piece{}, nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return Piece{}, nil, err
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(front[n:], make([]byte, 0, p.raw()))
	if err != nil {
		return Piece{}, nil, fmt.Errorf("inflate log piece %d: %w: %w", p.Number, err, chunker.ErrCorrupt)
	}
	if int64(len(raw)) != p.raw() {
		return Piece{}, nil, fmt.Errorf("log piece %d holds %d bytes, not %d: %w", p.Number, len(raw), p.raw(), chunker.ErrCorrupt)
	}
	return p, raw, nil
}

// errShort: the object goes on, and so does its header; n bytes of it are needed.
type errShort struct{ n int64 }

func (e errShort) Error() string { return fmt.Sprintf("the header takes %d bytes", e.n) }

// decodeHeader reads the beginning of an object, and says where the bytes of the parts begin. The
// error is an errShort when b does not hold all of the header.
func decodeHeader(b []byte) (Piece, int, error) {
	if len(b) < frameHead || binary.LittleEndian.Uint32(b) != magicHeader {
		return Piece{}, 0, fmt.Errorf("not a log piece: %w", chunker.ErrCorrupt)
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if n > maxHeader {
		return Piece{}, 0, fmt.Errorf("log piece header of %d bytes: %w", n, chunker.ErrCorrupt)
	}
	end := frameHead + n
	if all := end + int64(checkSize); int64(len(b)) < all {
		return Piece{}, 0, errShort{all}
	}
	check := chunker.Sum(b[:end])
	if !bytes.Equal(b[end:end+int64(checkSize)], appendSkippable(nil, magicCheck, check[:])) {
		return Piece{}, 0, fmt.Errorf("log piece header does not match its checksum: %w", chunker.ErrCorrupt)
	}
	var p Piece
	if err := json.Unmarshal(b[frameHead:end], &p); err != nil {
		return Piece{}, 0, fmt.Errorf("log piece header: %w: %w", err, chunker.ErrCorrupt)
	}
	if p.Format > Format || p.Suite != 0 || len(p.Critical) > 0 {
		return Piece{}, 0, fmt.Errorf("log piece %d, format %d %v: %w", p.Number, p.Format, p.Critical, ErrNewer)
	}
	if err := p.validate(); err != nil {
		return Piece{}, 0, fmt.Errorf("log piece %d: %w", p.Number, err)
	}
	return p, int(end) + checkSize, nil
}

// validate holds both ways: what it lets pass can't leave a directory, nor make a reader allocate
// without bound.
func (p Piece) validate() error {
	bad := func(what string) error { return fmt.Errorf("%s: %w", what, chunker.ErrCorrupt) }
	if p.Number == 0 || p.First == 0 || p.First > p.Number {
		return bad("numbers")
	}
	var raw int64
	for _, part := range p.Parts {
		switch _, ok := ParseName(part.Segment); {
		case !ok:
			return bad(fmt.Sprintf("segment %.80q", part.Segment))
		case part.From < 0 || part.From >= part.To || part.To > maxSegment || part.Size < 0 || part.Size > maxSegment:
			return bad("bounds of " + part.Segment)
		case part.First == 0 || part.First > p.Number || part.First == p.Number && part.From != 0:
			return bad("beginning of " + part.Segment)
		}
		raw += part.To - part.From
	}
	for _, g := range p.Going {
		if _, ok := ParseName(g.Segment); !ok || g.To < 0 || g.To > maxSegment || g.First > p.Number || (g.First == 0) != (g.To == 0) {
			return bad(fmt.Sprintf("segment %.80q", g.Segment))
		}
	}
	if raw > maxRaw {
		return bad(fmt.Sprintf("%d bytes", raw))
	}
	return nil
}

// raw is the length of all parts.
func (p Piece) raw() (n int64) {
	for _, part := range p.Parts {
		n += part.To - part.From
	}
	return n
}

// numbered is p under a number. A segment that begins in it has it for its First.
func (p Piece) numbered(n uint64) Piece {
	p.Number = n
	p.Parts, p.Going = slices.Clone(p.Parts), slices.Clone(p.Going)
	if p.First == 0 {
		p.First = n
	}
	for i := range p.Parts {
		if p.Parts[i].First == 0 {
			p.Parts[i].First = n
		}
	}
	for i := range p.Going {
		if g := &p.Going[i]; g.First == 0 && g.To > 0 {
			g.First = n
		}
	}
	return p
}

func appendSkippable(dst []byte, magic uint32, content []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(content)))
	return append(dst, content...)
}
