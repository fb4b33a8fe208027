package manifest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/sstash/sstash/chunker"
)

// ErrNewer is returned for a manifest that a later version of sstash wrote, or sealed.
var ErrNewer = errors.New("written in a way that this version of sstash can't read; use a newer sstash")

// Format is the newest format that this package reads, and the one that it writes.
const Format = 1

// These numbers are part of the format.
const (
	magicHeader = 0x184D2A50
	magicSealed = 0x184D2A51
	magicSum    = 0x184D2A52
	zstdMagic   = 0xFD2FB528

	sumSize  = len(chunker.Hash{})
	tailSize = 8 + sumSize

	// maxBody bounds what a hostile body can make a reader allocate. A full of 100,000 SSTables is
	// about 150 MiB of JSON.
	maxBody = 1 << 30
)

// Encode writes m as an object and sets m.Format, m.Critical and m.Sum. What it returns has been decoded again and compared.
func Encode(m *Manifest) ([]byte, error) {
	m.Format, m.Critical = Format, critical(m.Body)
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("encode manifest %d: %w", m.Seq, err)
	}
	header, err := json.Marshal(m.Header)
	if err != nil {
		return nil, fmt.Errorf("encode manifest %d: %w", m.Seq, err)
	}
	body, err := json.Marshal(m.Body)
	if err != nil {
		return nil, fmt.Errorf("encode manifest %d: %w", m.Seq, err)
	}
	out := compress(appendSkippable(nil, magicHeader, header), body)
	sum := chunker.Sum(out)
	out = appendSkippable(out, magicSum, sum[:])

	back, err := split(out)
	if err != nil {
		return nil, fmt.Errorf("read manifest %d back: %w", m.Seq, err)
	}
	again, err := back.inflate()
	if err != nil || !bytes.Equal(again, body) {
		return nil, fmt.Errorf("read manifest %d back: %w", m.Seq, errors.Join(err, chunker.ErrCorrupt))
	}
	m.Sum = sum
	return out, nil
}

// Decode reads an object that Encode wrote. It verifies the checksum first, and that no name in it
// can leave the directory it will be restored to. Errors are chunker.ErrCorrupt or ErrNewer.
func Decode(object []byte) (*Manifest, error) {
	parts, err := split(object)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Sum: parts.sum}
	if m.Header, err = parts.parseHeader(); err != nil {
		return nil, err
	}
	body, err := parts.inflate()
	if err != nil {
		return nil, fmt.Errorf("manifest %d: %w", m.Seq, err)
	}
	if err := json.Unmarshal(body, &m.Body); err != nil {
		return nil, fmt.Errorf("manifest %d: body: %w: %w", m.Seq, err, chunker.ErrCorrupt)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest %d: %w", m.Seq, err)
	}
	return m, nil
}

// DecodeHeader reads the clear header alone; it works on sealed manifests too.
func DecodeHeader(object []byte) (Header, chunker.Hash, error) {
	parts, err := split(object)
	if err != nil {
		return Header{}, chunker.Hash{}, err
	}
	h, err := parts.parseHeader()
	return h, parts.sum, err
}

func appendSkippable(dst []byte, magic uint32, content []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(content)))
	return append(dst, content...)
}

func compress(dst, body []byte) []byte {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(err) // these options are valid
	}
	defer enc.Close()
	return enc.EncodeAll(body, dst)
}

// object is a manifest cut at its frames; the checksum has been verified.
type object struct {
	header, body []byte
	sum          chunker.Hash
}

func split(b []byte) (object, error) {
	var o object
	if len(b) < 8+tailSize || binary.LittleEndian.Uint32(b) != magicHeader {
		return o, fmt.Errorf("not a manifest: %w", chunker.ErrCorrupt)
	}
	tail := b[len(b)-tailSize:]
	if binary.LittleEndian.Uint32(tail) != magicSum || binary.LittleEndian.Uint32(tail[4:]) != uint32(sumSize) {
		return o, fmt.Errorf("manifest is cut short: %w", chunker.ErrCorrupt)
	}
	copy(o.sum[:], tail[8:])
	front := b[:len(b)-tailSize]
	if chunker.Sum(front) != o.sum {
		return o, fmt.Errorf("manifest does not match its checksum: %w", chunker.ErrCorrupt)
	}
	n := uint64(binary.LittleEndian.Uint32(front[4:]))
	if n > uint64(len(front)-8) {
		return o, fmt.Errorf("manifest header is cut short: %w", chunker.ErrCorrupt)
	}
	o.header, o.body = front[8:8+n], front[8+n:]
	return o, nil
}

func (o object) parseHeader() (Header, error) {
	var h Header
	if err := json.Unmarshal(o.header, &h); err != nil {
		return h, fmt.Errorf("manifest header: %w: %w", err, chunker.ErrCorrupt)
	}
	if h.Format > Format || !known(h.Critical) {
		return h, fmt.Errorf("manifest %d, format %d %v: %w", h.Seq, h.Format, h.Critical, ErrNewer)
	}
	return h, nil
}

func (o object) inflate() ([]byte, error) {
	if len(o.body) >= 4 && binary.LittleEndian.Uint32(o.body) == magicSealed {
		return nil, fmt.Errorf("sealed body: %w", ErrNewer)
	}
	if len(o.body) < 4 || binary.LittleEndian.Uint32(o.body) != zstdMagic {
		return nil, fmt.Errorf("no body: %w", chunker.ErrCorrupt)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	body, err := dec.DecodeAll(o.body, nil)
	if err != nil {
		return nil, fmt.Errorf("inflate body: %w: %w", err, chunker.ErrCorrupt)
	}
	return body, nil
}

// known tells whether this package understands all that a reader must.
func known(critical []string) bool {
	return !slices.ContainsFunc(critical, func(name string) bool { return name != criticalCut })
}

func knownKind(k Kind) bool { return slices.Contains([]Kind{Open, Full, Increment, KindCut}, k) }
