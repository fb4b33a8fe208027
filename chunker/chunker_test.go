package chunker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
)

var levels = []chunker.Level{chunker.Fast, chunker.Balanced, chunker.Dense}

// Kinds of raw bytes, each of any length.
var kinds = map[string]func(n int) []byte{
	"zeros":  func(n int) []byte { return make([]byte, n) },
	"random": random,
	"skewed": skewed,
	"rows":   rows,
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// skewed has no matches, but few distinct bytes.
func skewed(n int) []byte {
	b := random(n)
	for i := range b {
		b[i] &= 0x0f
	}
	return b
}

// rows looks like what a table of users holds: keys, times, words.
func rows(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+64)
	for i := uint64(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, r.Uint64())
		b = binary.BigEndian.AppendUint64(b, 1_700_000_000_000_000+i*1000+r.Uint64N(500))
		b = fmt.Appendf(b, "user%d city %d status=%d", r.Uint32N(100000), r.Uint32N(500), r.Uint32N(4))
	}
	return b[:n]
}

func newEncoder(t testing.TB, level chunker.Level) *chunker.Encoder {
	t.Helper()
	e, err := chunker.NewEncoder(level)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encode(t testing.TB, e *chunker.Encoder, raw []byte) chunker.Frame {
	t.Helper()
	f, err := e.Encode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestI6_RoundTrip(t *testing.T) {
	sizes := []int{1, 2, 63, 64, 65, 1000, 128 << 10, chunker.FrameSize - 1, chunker.FrameSize, chunker.FrameSize + 1}
	d := chunker.NewDecoder()
	for kind, fill := range kinds {
		longest := fill(sizes[len(sizes)-1])
		for _, level := range levels {
			e := newEncoder(t, level)
			for _, size := range sizes {
				raw := longest[:size]
				f := encode(t, e, raw)
				if int(f.Raw) != size || f.Hash != chunker.Sum(raw) || f.Transform != chunker.None {
					t.Errorf("%s %s %d: frame says %d bytes, transform %s, hash %s", level, kind, size, f.Raw, f.Transform, f.Hash)
				}
				got, err := d.Decode(nil, f)
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%s %s %d as %s: %d other bytes, %v", level, kind, size, f.Codec, len(got), err)
				}
			}
			if e.Mismatches != 0 {
				t.Errorf("%s %s: %d mismatches", level, kind, e.Mismatches)
			}
		}
	}
}

func TestLargestFrame(t *testing.T) {
	e := newEncoder(t, chunker.Fast)
	raw := bytes.Repeat(rows(chunker.FrameSize), chunker.MaxRaw/chunker.FrameSize)
	f := encode(t, e, raw)
	got, err := chunker.NewDecoder().Decode(nil, f)
	if err != nil || !bytes.Equal(got, raw) || f.Codec != chunker.Zstd {
		t.Errorf("%s: %d other bytes, %v", f.Codec, len(got), err)
	}
	for _, bad := range [][]byte{nil, {}, make([]byte, chunker.MaxRaw+1)} {
		if f, err := e.Encode(bad); err == nil {
			t.Errorf("%d raw bytes became %v", len(bad), f.Codec)
		}
	}
}

func TestCodecFollowsWhatIsSaved(t *testing.T) {
	f := func(kind string, size int, want chunker.Codec) {
		t.Helper()
		raw := kinds[kind](size)
		got := encode(t, newEncoder(t, chunker.Fast), raw)
		if got.Codec != want {
			t.Errorf("%d %s bytes are %s, want %s", size, kind, got.Codec, want)
		}
		if saved := size - len(got.Data); (want == chunker.Zstd) != (saved > size/64) {
			t.Errorf("%d %s bytes: %s, although it saves %d", size, kind, got.Codec, saved)
		}
		if want == chunker.Stored && &got.Data[0] != &raw[0] {
			t.Errorf("%d %s bytes were copied", size, kind)
		}
	}
	f("random", 1, chunker.Stored)
	f("zeros", 1, chunker.Stored)
	f("random", 5000, chunker.Stored)
	f("random", chunker.FrameSize, chunker.Stored)
	f("zeros", 100, chunker.Zstd)
	f("rows", chunker.FrameSize, chunker.Zstd)
	f("skewed", chunker.FrameSize, chunker.Zstd) // WithAllLitEntropyCompression

	// 1 part in 40 compressible is worth it, 1 in 100 is not.
	part := func(n int) []byte {
		raw := random(chunker.FrameSize)
		clear(raw[:len(raw)/n])
		return raw
	}
	for n, want := range map[int]chunker.Codec{40: chunker.Zstd, 100: chunker.Stored} {
		if got := encode(t, newEncoder(t, chunker.Balanced), part(n)); got.Codec != want {
			t.Errorf("1/%d compressible is %s, want %s", n, got.Codec, want)
		}
	}
}

// With Fast, large frames that hardly shrink are not worth their time.
func TestFastLeavesWhatHardlyShrinks(t *testing.T) {
	// All bytes below n are equally frequent: log2(n) of 8 bits are left.
	below := func(n byte, size int) []byte {
		raw := random(size)
		for i := range raw {
			raw[i] = byte(int(raw[i]) * int(n) >> 8)
		}
		return raw
	}
	f := func(level chunker.Level, n byte, size int, want chunker.Codec) {
		t.Helper()
		if got := encode(t, newEncoder(t, level), below(n, size)); got.Codec != want {
			t.Errorf("%s: %d bytes below %d are %s, want %s", level, size, n, got.Codec, want)
		}
	}
	f(chunker.Fast, 160, chunker.FrameSize, chunker.Stored) // would save 8.5 %
	f(chunker.Fast, 128, chunker.FrameSize, chunker.Zstd)   // 12.5 %
	f(chunker.Fast, 160, 200<<10, chunker.Zstd)
	f(chunker.Balanced, 160, chunker.FrameSize, chunker.Zstd)
}

func TestDecodeAppendsAndReuses(t *testing.T) {
	e, d := newEncoder(t, chunker.Fast), chunker.NewDecoder()
	for _, kind := range []string{"random", "rows"} {
		raw := kinds[kind](chunker.FrameSize)
		f := encode(t, e, raw)
		got, err := d.Decode([]byte("before"), f)
		if err != nil || string(got[:6]) != "before" || !bytes.Equal(got[6:], raw) {
			t.Errorf("%s: prefix %q, %v", kind, got[:6], err)
		}
		buf := make([]byte, 0, chunker.FrameSize)
		got, err = d.Decode(buf, f)
		if err != nil || !bytes.Equal(got, raw) || &got[0] != &buf[:1][0] {
			t.Errorf("%s: decoded elsewhere than in the buffer that had room, %v", kind, err)
		}
		if again := encode(t, e, raw); &again.Data[0] != &f.Data[0] {
			t.Errorf("%s: the encoder doesn't reuse its buffer", kind)
		}
	}
}

func TestI6_DecodeRefuses(t *testing.T) {
	raw := rows(10_000)
	good := encode(t, newEncoder(t, chunker.Balanced), raw)
	d := chunker.NewDecoder()
	f := func(name string, want error, words string, change func(*chunker.Frame)) {
		t.Helper()
		bad := good
		bad.Data = bytes.Clone(good.Data)
		change(&bad)
		dst := []byte("before")
		got, err := d.Decode(dst, bad)
		if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), words) {
			t.Errorf("%s: error %v, want %v with %q", name, err, want, words)
		}
		if string(got) != "before" {
			t.Errorf("%s: returned %d bytes", name, len(got))
		}
	}
	f("unknown codec", chunker.ErrUnsupported, "codec 9", func(f *chunker.Frame) { f.Codec = 9 })
	f("unknown transform", chunker.ErrUnsupported, "transform 3", func(f *chunker.Frame) { f.Transform = 3 })
	f("too large", chunker.ErrUnsupported, "newer sstash", func(f *chunker.Frame) { f.Raw = chunker.MaxRaw + 1 })
	f("no raw bytes", chunker.ErrCorrupt, "no raw", func(f *chunker.Frame) { f.Raw = 0 })
	f("holds more", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Raw-- })
	f("holds less", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Raw++ })
	f("other hash", chunker.ErrCorrupt, "hash", func(f *chunker.Frame) { f.Hash[31] ^= 1 })
	f("no hash", chunker.ErrCorrupt, "hash", func(f *chunker.Frame) { f.Hash = chunker.Hash{} })
	f("nothing", chunker.ErrCorrupt, "0 raw bytes", func(f *chunker.Frame) { f.Data = nil })
	f("cut short", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Data = f.Data[:len(f.Data)-1] })
	f("too long", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Data = append(f.Data, 0) })
	f("twice", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Data = append(f.Data, f.Data...) })
	f("zstd called stored", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Codec = chunker.Stored })
	f("stored called zstd", chunker.ErrCorrupt, "", func(f *chunker.Frame) { f.Data = raw })
	f("stored, cut short", chunker.ErrCorrupt, "9999", func(f *chunker.Frame) { f.Codec, f.Data = chunker.Stored, raw[:9999] })
}

// zstd headers have bits that mean nothing, so a flip may go unseen; but what
// comes out is then still right.
func TestI6_NoBitFlipYieldsOtherBytes(t *testing.T) {
	d := chunker.NewDecoder()
	for _, raw := range [][]byte{rows(700), random(40)} {
		f := encode(t, newEncoder(t, chunker.Dense), raw)
		f.Data = bytes.Clone(f.Data)
		for bit := range len(f.Data) * 8 {
			f.Data[bit/8] ^= 1 << (bit % 8)
			if got, err := d.Decode(nil, f); err == nil && !bytes.Equal(got, raw) {
				t.Errorf("%s: flip of bit %d yields other bytes", f.Codec, bit)
			} else if err != nil && !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("%s: flip of bit %d: %v, want ErrCorrupt", f.Codec, bit, err)
			}
			f.Data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestLevelText(t *testing.T) {
	for _, want := range levels {
		text, err := want.MarshalText()
		got := chunker.Level(99)
		if err := errors.Join(err, got.UnmarshalText(text)); err != nil || got != want {
			t.Errorf("%s became %q, then %s, %v", want, text, got, err)
		}
	}
	if zero := chunker.Level(0); zero != chunker.Balanced {
		t.Errorf("the zero level is %s", zero)
	}
	for _, bad := range []string{"", "Fast", "best", "level 0"} {
		level := chunker.Dense
		if err := level.UnmarshalText([]byte(bad)); err == nil || level != chunker.Dense {
			t.Errorf("%q became %s, %v", bad, level, err)
		}
	}
	if _, err := chunker.NewEncoder(99); err == nil {
		t.Error("level 99 was accepted")
	}
}

func TestNames(t *testing.T) {
	got := fmt.Sprint(chunker.Stored, chunker.Zstd, chunker.Codec(7), chunker.None, chunker.Transform(3))
	if want := "stored zstd codec 7 none transform 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
