package lz4_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker/lz4"
)

var classes = []lz4.Class{lz4.A, lz4.B, lz4.C}

// Each line of golden.txt is a file beside it, how many of its bytes, a class and
// the block that the library of that class made of them: the length and SHA-256.
func TestGolden(t *testing.T) {
	list, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	var e lz4.Encoder
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	for _, line := range lines {
		var name, class, sum string
		var n, length int
		if _, err := fmt.Sscan(line, &name, &n, &class, &length, &sum); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		raw, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		c := lz4.Class(class[0]-'A') + lz4.A
		block := e.Encode(nil, raw[:n], c)
		if h := sha256.Sum256(block); len(block) != length || hex.EncodeToString(h[:]) != sum || c.String() != class {
			t.Errorf("%s: made %d bytes, %x", line, len(block), h)
		}
		if back, err := lz4.Decode(nil, block, n); err != nil || !bytes.Equal(back, raw[:n]) {
			t.Errorf("%s: came back as %d bytes, %v", line, len(back), err)
		}
	}
	if len(lines) < 30 {
		t.Errorf("only %d lines", len(lines))
	}
}

func TestClasses(t *testing.T) {
	f := func(c lz4.Class, value uint8, text string, valid bool) {
		t.Helper()
		if uint8(c) != value || c.String() != text || c.Valid() != valid {
			t.Errorf("class %d is %s, valid %v; want %d, %s, %v", uint8(c), c, c.Valid(), value, text, valid)
		}
	}
	f(lz4.A, 1, "A", true)
	f(lz4.B, 2, "B", true)
	f(lz4.C, 3, "C", true)
	f(0, 0, "class 0", false)
	f(4, 4, "class 4", false)
}

func TestEncodeRefusesNoClass(t *testing.T) {
	defer func() {
		if r := recover(); r != "lz4: encode with class 0" {
			t.Errorf("recovered %v", r)
		}
	}()
	var e lz4.Encoder
	e.Encode(nil, []byte("raw"), 0)
}

// Both append, write only where they say, and leave nothing behind for the next.
func TestEncodeAndDecodeAppend(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, kind := range kinds {
		for _, n := range []int{0, 1, 12, 13, 21, 300, 65_546, 65_547, 200_000} {
			raw := kind(r, n)
			var e lz4.Encoder
			for _, c := range classes {
				var fresh lz4.Encoder
				block := fresh.Encode(nil, raw, c)
				if got := e.Encode([]byte("before"), raw, c); !bytes.Equal(got[6:], block) || string(got[:6]) != "before" {
					t.Errorf("%s, %d: used and appending, %s makes another block", name, n, c)
				}
				room := bytes.Repeat([]byte{0xA5}, n+12)
				got, err := lz4.Decode(room[:6], block, n)
				if err != nil || !bytes.Equal(got[6:], raw) || bytes.Count(room[:6], room[:1]) != 6 {
					t.Errorf("%s, %d, %s: decoded to %d bytes, %v", name, n, c, len(got), err)
				}
				if !bytes.Equal(room[6+n:], bytes.Repeat([]byte{0xA5}, 6)) {
					t.Errorf("%s, %d, %s: decode wrote behind the raw bytes", name, n, c)
				}
				if &got[0] != &room[0] {
					t.Errorf("%s, %d, %s: decode did not use the room there was", name, n, c)
				}
			}
		}
	}
}

func TestDecodeByHand(t *testing.T) {
	f := func(name, block string, raw int, want string) {
		t.Helper()
		dst := []byte("kept ")
		got, err := lz4.Decode(dst, []byte(block), raw)
		if err != nil || string(got) != "kept "+want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	f("nothing", "\x00", 0, "")
	f("nothing, with a match that isn't there", "\x0f", 0, "")
	f("literals", "\x30abc", 3, "abc")
	f("a run, and no literals at the end", "\x11a\x01\x00\x00", 6, "aaaaaa")
	f("no literals before a match", "\x40abcd\x04\x00\x04\x02\x00\x10e", 17, "abcdabcdcdcdcdcde")
	f("a match to the end of what liblz4 leaves to literals", "\x44abcd\x04\x00\x10e", 13, "abcdabcdabcde")
	f("long literals", "\xf0\x00"+strings.Repeat("x", 15), 15, strings.Repeat("x", 15))
	f("long match", "\x1fa\x01\x00\xff\x00\x00", 275, strings.Repeat("a", 275))
}

func TestDecodeRefuses(t *testing.T) {
	f := func(name, block string, raw int) {
		t.Helper()
		dst := []byte("kept")
		got, err := lz4.Decode(dst, []byte(block), raw)
		if !errors.Is(err, lz4.ErrCorrupt) || string(got) != "kept" {
			t.Errorf("%s: %q, %v, want ErrCorrupt and what was there", name, got, err)
		}
	}
	f("no bytes", "", 0)
	f("no bytes for some", "", 3)
	f("negative", "\x00", -1)
	f("more raw bytes", "\x30abc", 2)
	f("fewer raw bytes", "\x30abc", 4)
	f("literals cut short", "\x30ab", 3)
	f("a byte too many", "\x30abcd", 3)
	f("distance cut short", "\x30abc\x01", 7)
	f("distance 0", "\x10a\x00\x00\x00", 5)
	f("distance beyond the beginning", "\x10a\x02\x00\x00", 5)
	f("distance into dst", "\x10a\x03\x00\x00", 5)
	f("match beyond the end", "\x11a\x01\x00\x00", 5)
	f("ends with a match", "\x10a\x01\x00", 5)
	f("length of literals without end", "\xf0\xff\xff", 400)
	f("length of match without end", "\x1fa\x01\x00\xff\xff", 530)
	f("length beyond any", "\xff"+strings.Repeat("\xff", 1000)+"\x00", 1000)
}

// Every distance between a sequence and the ends of block and raw bytes, and every
// place where such a block may be cut.
func TestDecodeNearTheEnds(t *testing.T) {
	text := []byte("abcdefghijklmnopqrstuvwxyz")
	for literals := 1; literals < 15; literals++ {
		for match := 4; match < 19; match++ {
			for last := range 15 {
				distance := (literals + 1) / 2
				if last%2 == 0 {
					distance = literals
				}
				block := append([]byte{byte(literals<<4 | (match - 4))}, text[:literals]...)
				block = append(block, byte(distance), 0, byte(last<<4))
				block = append(block, text[:last]...)
				want := bytes.Clone(text[:literals])
				for range match {
					want = append(want, want[len(want)-distance])
				}
				want = append(want, text[:last]...)
				got, err := lz4.Decode(nil, slices.Clip(block), len(want))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d literals, match of %d at %d, %d literals: %q, %v, want %q", literals, match, distance, last, got, err, want)
				}
				for n := range want {
					if _, err := lz4.Decode(nil, block, n); !errors.Is(err, lz4.ErrCorrupt) {
						t.Fatalf("%x for %d raw bytes: %v, want ErrCorrupt", block, n, err)
					}
				}
				for n := range block {
					if _, err := lz4.Decode(nil, slices.Clip(block[:n]), len(want)); !errors.Is(err, lz4.ErrCorrupt) {
						t.Fatalf("%x cut to %d: %v, want ErrCorrupt", block, n, err)
					}
				}
			}
		}
	}
}

// A block that can't hold what it claims costs nothing; one that could costs that.
func TestDecodeAllocatesNoMoreThanRaw(t *testing.T) {
	f := func(block []byte, raw int, most uint64) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := lz4.Decode(nil, block, raw)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, lz4.ErrCorrupt) || got > most {
			t.Errorf("%d raw bytes in %d: %v, allocated %d, want at most %d", raw, len(block), err, got, most)
		}
	}
	bomb := bytes.Repeat([]byte{255}, 1<<20)
	f(bomb, math.MaxInt, 16<<10)
	f(bomb, 1<<20, 2<<20+16<<10) // twice under the race detector, whose append is plain
	f(bomb[:5], 5*255+1, 1<<10)
}
