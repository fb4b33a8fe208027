package lz4_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sstash/sstash/chunker/lz4"
)

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	var e lz4.Encoder
	for _, name := range []string{"rows", "echoes", "random"} {
		for _, n := range []int{0, 13, 40, 3000} {
			f.Add(e.Encode(nil, kinds[name](r, n), lz4.C), n)
		}
	}
	f.Add([]byte("\x1fa\x01\x00\xff\x00\x00"), 275)
	f.Add(bytes.Repeat([]byte{255}, 300), 60_000)
	f.Fuzz(func(t *testing.T, block []byte, raw int) {
		raw %= 1 << 20
		room := bytes.Repeat([]byte{0xA5}, 8+max(raw, 0)+8)
		got, err := lz4.Decode(room[:8], block, raw)
		want := 8 + raw
		if err != nil {
			want = 8
		}
		if err != nil && !errors.Is(err, lz4.ErrCorrupt) || len(got) != want || &got[0] != &room[0] {
			t.Fatalf("%d bytes, want %d: %v", len(got), want, err)
		}
		untouched := append(bytes.Clone(room[:8]), room[len(room)-8:]...)
		if !bytes.Equal(untouched, bytes.Repeat([]byte{0xA5}, 16)) {
			t.Fatalf("wrote outside of the raw bytes: %x", untouched)
		}
		if plain, ok := slow(block, raw); ok != (err == nil) || ok && !bytes.Equal(plain, got[8:]) {
			t.Fatalf("%v, but byte by byte %v", err, ok)
		}
	})
}

// slow is Decode byte by byte, straight from the description of the format.
func slow(block []byte, raw int) (out []byte, ok bool) {
	next := func() (b int) {
		ok = ok && len(block) > 0
		if ok {
			b = int(block[0])
			block = block[1:]
		}
		return b
	}
	length := func(nibble int) int {
		for more := nibble == 15; more && ok; {
			b := next()
			nibble += b
			more = b == 255
		}
		return nibble
	}
	for ok = true; ok; {
		token := next()
		for n := length(token >> 4); n > 0 && ok; n-- {
			out = append(out, byte(next()))
		}
		if len(block) == 0 {
			break
		}
		distance := next() | next()<<8
		ok = ok && distance > 0 && distance <= len(out)
		for n := length(token&15) + 4; n > 0 && ok; n-- {
			out = append(out, out[len(out)-distance])
			ok = len(out) <= raw
		}
	}
	return out, ok && len(out) == raw
}

func FuzzRoundTrip(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"rows", "echoes", "random"} {
		for _, n := range []int{0, 12, 13, 14, 5000} {
			f.Add(kinds[name](r, n), uint16(0))
		}
	}
	f.Add([]byte("abc"), uint16(30_000))
	var e lz4.Encoder
	var block, back []byte
	f.Fuzz(func(t *testing.T, piece []byte, times uint16) {
		raw := bytes.Repeat(piece, 1+int(times))
		if len(raw) > 300_000 {
			return
		}
		for _, c := range classes {
			var err error
			block = e.Encode(block[:0], raw, c)
			if back, err = lz4.Decode(back[:0], block, len(raw)); err != nil || !bytes.Equal(back, raw) {
				t.Fatalf("%s: %d raw bytes came back as %d, %v", c, len(raw), len(back), err)
			}
			if most := len(raw) + len(raw)/255 + 16; len(block) > most {
				t.Fatalf("%s: %d raw bytes as %d, want at most %d", c, len(raw), len(block), most)
			}
		}
	})
}
