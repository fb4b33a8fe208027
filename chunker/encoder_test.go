package chunker

import (
	"bytes"
	"testing"
)

// A compressor that lies costs space, never data.
func TestI6_MiscompressedFramesAreStored(t *testing.T) {
	raw := bytes.Repeat([]byte("a row of a table, "), 1000)
	f := func(name string, lie func(honest []byte) []byte) {
		t.Helper()
		e, err := NewEncoder(Fast)
		if err != nil {
			t.Fatal(err)
		}
		honest := e.compress
		e.compress = func(src, dst []byte) []byte { return lie(honest(src, dst)) }
		for n := uint64(1); n <= 2; n++ { // the second one finds the encoder still in order
			f, err := e.Encode(raw)
			if err != nil || f.Codec != Stored || !bytes.Equal(f.Data, raw) || e.Mismatches != n {
				t.Errorf("%s: %s, %d mismatches, %v, want stored and %d", name, f.Codec, e.Mismatches, err, n)
			}
		}
		e.compress = honest
		if f, err := e.Encode(raw); err != nil || f.Codec != Zstd {
			t.Errorf("%s: afterwards %s, %v, want zstd", name, f.Codec, err)
		}
	}
	other, err := NewEncoder(Fast)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(raw)
	wrong[len(wrong)/2] ^= 1
	f("one other byte", func([]byte) []byte { return other.compress(wrong, nil) })
	f("one byte fewer", func([]byte) []byte { return other.compress(raw[1:], nil) })
	f("one byte more", func([]byte) []byte { return other.compress(append(bytes.Clone(raw), 'x'), nil) })
	f("cut short", func(b []byte) []byte { return b[:len(b)-1] })
	f("nothing", func(b []byte) []byte { return b[:0] })
	f("no zstd", func(b []byte) []byte { return bytes.Repeat([]byte{1}, len(b)) })
}
