package columns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// index writes the Index.db of the partitions from position from on up to to. Some are so wide that
// they have a promoted index.
func (t *table) index(from, to int) (b []byte) {
	for _, start := range t.starts {
		if start < from || start >= to {
			continue
		}
		key := t.out[start:]
		b = append(append(b, key[:2+binary.BigEndian.Uint16(key)]...), vint(uint64(start))...)
		var promoted []byte
		if t.chance(10) {
			promoted = t.noise(t.IntN(300))
		}
		b = append(b, lengthAnd(promoted)...)
	}
	return b
}

// pieceOf is a piece of a table that was encoded, with its part of the Index.db.
type pieceOf struct {
	rows, index []byte
	frame       []byte
	rest        []byte
	position    uint64
	partitions  int
}

// indexed encodes tab in pieces of a size.
func indexed(t testing.TB, e *Encoder, tab *table, size int, damage func(index []byte) []byte) (list []pieceOf) {
	t.Helper()
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	s, at := State{}, 0
	for rows := range slices.Chunk(tab.out, size) {
		p := pieceOf{rows: rows, index: damage(tab.index(at, at+len(rows))), position: uint64(at)}
		if s, err = e.Split(rows, schema, s); err != nil {
			t.Fatal(err)
		}
		p.rest = e.AppendIndexRest([]byte("x"), p.index, rows, p.position)[1:]
		p.partitions = len(e.last.walker.starts)
		p.frame = e.Append(nil)
		list = append(list, p)
		at += len(rows)
	}
	return list
}

func undamaged(b []byte) []byte { return b }

// Every part of an Index.db comes back, wherever Data.db is cut.
func TestIndexComesBack(t *testing.T) {
	e, d := newEncoder(t, Fast), NewDecoder()
	partitions, all := 0, 0
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 8))
		tab := randomTable(r, int(seed)%10)
		tab.data(40000)
		for _, p := range indexed(t, e, tab, 2000+r.IntN(40000), undamaged) {
			rows, err := d.Decode([]byte("abc"), p.frame, len(p.rows))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.AppendIndex([]byte("before"), p.rest, rows[3:], p.position, len(p.index))
			if err != nil || !bytes.Equal(got[6:], p.index) {
				t.Fatalf("seed %d: %x, want %x: %v", seed, got, p.index, err)
			}
			if got, err := d.AppendIndex(nil, p.rest, rows[3:], p.position, len(p.index)+1); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("seed %d: %d bytes, want more, and ErrCorrupt: %v", seed, len(got), err)
			}
			partitions += p.partitions
		}
		all += len(tab.starts)
	}
	t.Logf("%d of %d partitions are not cut in their keys", partitions, all)
	if partitions < all*3/4 {
		t.Error("too few")
	}
}

// Whatever an Index.db holds comes back, and what is right in it is still made from the rows.
func TestDamagedIndexComesBack(t *testing.T) {
	e, d := newEncoder(t, Fast), NewDecoder()
	tab := randomTable(rand.New(rand.NewPCG(1, 9)), 1)
	tab.data(200_000)
	r := rand.New(rand.NewPCG(1, 9))
	left := func(damage func(b []byte) []byte) int {
		t.Helper()
		p := indexed(t, e, tab, 1<<20, damage)[0]
		rows, err := d.Decode(nil, p.frame, len(p.rows))
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.AppendIndex(nil, p.rest, rows, p.position, len(p.index))
		if err != nil || !bytes.Equal(got, p.index) {
			t.Errorf("doesn't come back: %v", err)
		}
		return len(p.rest)
	}
	intact, whole := left(undamaged), len(tab.index(0, len(tab.out)))
	t.Logf("%d bytes of %d are left", intact, whole)
	if intact > whole/20 {
		t.Error("too many")
	}
	f := func(name string, most int, damage func(b []byte) []byte) {
		t.Helper()
		if n := left(damage); n > most {
			t.Errorf("%s: %d bytes are left, %d of the intact one", name, n, intact)
		}
	}
	const longest = 3000 + 3000 // an entry of tab, or how much its promoted indexes differ
	first := func(b []byte) int { e, _ := ParseIndexEntry(b); return int(e.Length) }
	f("none", intact, func([]byte) []byte { return nil })
	f("one key with another bit", intact+longest, func(b []byte) []byte { b[2] ^= 1; return b })
	f("another position", intact+longest, func(b []byte) []byte {
		n := first(b)
		e := b[n:]
		e[2+int(binary.BigEndian.Uint16(e))+1] ^= 1
		return b
	})
	f("cut short", intact+longest, func(b []byte) []byte { return b[:len(b)-1] })
	f("an entry twice", intact+longest, func(b []byte) []byte { return slices.Concat(b[:first(b)], b) })
	f("an entry missing", intact+longest, func(b []byte) []byte { return b[first(b):] })
	f("something behind", intact+longest, func(b []byte) []byte { return append(b, "behind"...) })
	f("something else", 1<<20, func(b []byte) []byte {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	})
}

func TestParseIndexEntry(t *testing.T) {
	f := func(name string, want IndexEntry, ok bool, parts ...[]byte) {
		t.Helper()
		if got, gotOK := ParseIndexEntry(slices.Concat(parts...)); got != want || gotOK != ok {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, gotOK, want, ok)
		}
	}
	key := []byte("\x00\x03key")
	f("short", IndexEntry{Position: 9, Length: 7}, true, key, []byte{9, 0})
	f("what follows doesn't matter", IndexEntry{Position: 9, Length: 7}, true, key, []byte{9, 0, 1, 2, 3})
	f("wide, cut in its promoted index", IndexEntry{Position: 300, Length: 1008}, true, key, vint(300), vint(999), []byte{1})
	f("without a key", IndexEntry{Position: 0, Length: 4}, true, []byte{0, 0, 0, 0})
	f("far", IndexEntry{Position: 1<<64 - 1, Length: 15}, true, key, vint(1<<64-1), vint(0))
	f("nothing", IndexEntry{}, false)
	f("half a length", IndexEntry{}, false, []byte{0})
	f("half a key", IndexEntry{}, false, key[:4])
	f("no position", IndexEntry{}, false, key)
	f("half a position", IndexEntry{}, false, key, vint(300)[:1])
	f("no promoted index", IndexEntry{}, false, key, vint(300))
	f("a promoted index beyond all", IndexEntry{}, false, key, vint(300), vint(1<<64-1))
	longest := slices.Concat([]byte{0xff, 0xff}, make([]byte, 0xffff), vint(1<<64-1), vint(1<<60))
	f("the longest", IndexEntry{Position: 1<<64 - 1, Length: uint64(len(longest)) + 1<<60}, true, longest)
	if len(longest) != MaxIndexHead {
		t.Errorf("the longest head has %d bytes", len(longest))
	}
}
