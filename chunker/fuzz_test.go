package chunker_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sstash/sstash/chunker"
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
