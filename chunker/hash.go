package chunker

import (
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// Hash is the BLAKE3-256 of raw bytes, unkeyed. Its text form is 64 lower-case
// hexadecimal digits.
type Hash [32]byte

// Sum returns the hash of b.
func Sum(b []byte) Hash { return blake3.Sum256(b) }

// String returns the text form.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h was never set.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText returns the text form.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads the text form. It leaves h alone when it fails.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("parse hash %q: %w", text, err)
	}
	if len(b) != len(h) {
		return fmt.Errorf("parse hash %q: %d bytes, want %d", text, len(b), len(h))
	}
	*h = Hash(b)
	return nil
}

// Hasher computes the [Hash] of a stream, such as a whole component whose
// frames pass by one at a time. It is for one goroutine.
type Hasher struct{ h *blake3.Hasher }

// NewHasher returns a Hasher that has seen nothing.
func NewHasher() *Hasher { return &Hasher{h: blake3.New()} }

// Write adds p to the stream. It never fails.
func (h *Hasher) Write(p []byte) (int, error) { return h.h.Write(p) }

// Sum returns the hash of what was written since the start or the last Reset.
// Writing may go on afterwards.
func (h *Hasher) Sum() (sum Hash) {
	h.h.Sum(sum[:0])
	return sum
}

// Reset forgets what was written.
func (h *Hasher) Reset() { h.h.Reset() }
