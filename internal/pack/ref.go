package pack

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/sstash/sstash/chunker"
)

// SetID names a pack set: 128 random bits. Its text form is 32 lower-case
// hexadecimal digits.
type SetID [16]byte

// NewSetID draws an id that was never used.
func NewSetID() (id SetID) {
	rand.Read(id[:]) // never fails, since Go 1.24
	return id
}

// String returns the text form.
func (id SetID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set.
func (id SetID) IsZero() bool { return id == SetID{} }

// MarshalText returns the text form.
func (id SetID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads the text form. It leaves id alone when it fails.
func (id *SetID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("parse set id %q: %w", text, err)
	}
	if len(b) != len(id) {
		return fmt.Errorf("parse set id %q: %d bytes, want %d", text, len(b), len(id))
	}
	*id = SetID(b)
	return nil
}

// Prefix is how the names of all packs begin.
const Prefix = "packs/"

// Name returns the name of pack n of a set below its node's place in the
// bucket: "packs/<set>-<n>", n with six digits or more.
func Name(set SetID, n uint32) string { return fmt.Sprintf("%s%s-%06d", Prefix, set, n) }

// ParseName is the inverse of Name. It accepts nothing that Name doesn't return.
func ParseName(name string) (SetID, uint32, error) {
	var set SetID
	id, digits, _ := strings.Cut(strings.TrimPrefix(name, Prefix), "-")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err == nil {
		err = set.UnmarshalText([]byte(id))
	}
	if err != nil || Name(set, uint32(n)) != name {
		return SetID{}, 0, fmt.Errorf("parse pack name %q: not of the form %s<32 hex digits>-<6 digits>", name, Prefix)
	}
	return set, uint32(n), nil
}

// FrameRef says where a frame is within its set, and all that is needed to
// decode and verify it. Whoever holds one knows the set.
type FrameRef struct {
	Pack      uint32            `json:"pack"` // number in the set
	Off       uint32            `json:"off"`  // of the stored bytes in the pack
	Len       uint32            `json:"len"`  // of the stored bytes
	Raw       uint32            `json:"raw"`  // length of the raw bytes
	Codec     chunker.Codec     `json:"codec"`
	Transform chunker.Transform `json:"transform"`
	Hash      chunker.Hash      `json:"hash"` // of the raw bytes
}

// Frame joins the reference with the stored bytes that were fetched for it,
// which it doesn't copy. Only decoding tells whether they are right; a wrong
// length is ErrCorrupt at once.
func (r FrameRef) Frame(stored []byte) (chunker.Frame, error) {
	if len(stored) != int(r.Len) {
		return chunker.Frame{}, fmt.Errorf("frame at %d of pack %d: %w: %d stored bytes, want %d",
			r.Off, r.Pack, chunker.ErrCorrupt, len(stored), r.Len)
	}
	return chunker.Frame{Codec: r.Codec, Transform: r.Transform, Raw: r.Raw, Hash: r.Hash, Data: stored}, nil
}

// SharesWith tells whether r and o have the same stored bytes, in packs of the same set.
func (r FrameRef) SharesWith(o FrameRef) bool {
	return r.Pack == o.Pack && r.Off == o.Off && r.Len == o.Len
}

// ListRef says where a component's frame list is within its set. Whoever holds
// one knows the set.
type ListRef struct {
	Pack uint32 `json:"pack"` // number in the set
	Off  uint32 `json:"off"`  // in the pack
	Len  uint32 `json:"len"`  // in bytes
}
