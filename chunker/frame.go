package chunker

import (
	"errors"
	"fmt"
)

const (
	// FrameSize is how many raw bytes a frame holds, except a file's last and
	// those of a Data.db: see RowsSize.
	// 8 MiB would compress 1 to 2 % better, 256 KiB would need four times the
	// references.
	FrameSize = 1 << 20

	// MaxRaw is the largest raw length that a frame may have, and the largest of
	// the rows in it. It bounds what a decoder allocates, and leaves room for
	// larger frames than today's.
	MaxRaw = 16 << 20
)

var (
	// ErrCorrupt means that stored bytes are not what was once written.
	ErrCorrupt = errors.New("corrupt")

	// ErrUnsupported means that the bytes may well be right, but that this
	// version doesn't know how to read them.
	ErrUnsupported = errors.New("needs a newer sstash")
)

// Codec says how a frame's transformed bytes were compressed. The values are
// part of the format.
type Codec uint8

// The codecs.
const (
	Stored Codec = 0 // not compressed
	Zstd   Codec = 1 // one zstd frame, RFC 8878
)

// String names c for people.
func (c Codec) String() string {
	switch c {
	case Stored:
		return "stored"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// Transform says what was done to a frame's raw bytes before they were
// compressed. The values are part of the format; the package comment describes
// them.
type Transform uint8

// The transforms.
const (
	None      Transform = 0 // the raw bytes as they are
	Unchunked Transform = 1 // the rows in the chunks of a Data.db, without LZ4; with Zstd
	Columns   Transform = 2 // and these split into columns; Stored, for columns compresses them itself
	Indexed   Transform = 4 // columns, and what makes a part of Index.db of them; Stored
	Index     Transform = 5 // that part, from the same stored bytes
)

// String names t for people.
func (t Transform) String() string {
	switch t {
	case None:
		return "none"
	case Unchunked:
		return "unchunked"
	case Columns:
		return "columns"
	case Indexed:
		return "indexed"
	case Index:
		return "index"
	}
	return fmt.Sprintf("transform %d", uint8(t))
}

// Frame is a piece of a file in the form in which it is stored, with all that
// is needed to get the raw bytes back and to know that they are right.
type Frame struct {
	Codec     Codec
	Transform Transform
	Raw       uint32 // length of the raw bytes, 1 to MaxRaw
	Hash      Hash   // of the raw bytes
	Data      []byte // stored bytes; whoever hands out a Frame says how long they stay valid
}
