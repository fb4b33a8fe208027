package columns

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// roundTrip encodes pieces one after the other, checks that each comes back, and says
// in which state the last one ends.
func roundTrip(t *testing.T, schema *Schema, pieces ...[]byte) (last State) {
	t.Helper()
	e, d := newEncoder(t, Fast), NewDecoder()
	for i, piece := range pieces {
		frame, next, err := e.Encode(nil, piece, schema, last)
		if err != nil {
			t.Fatalf("piece %d of %d bytes: %v", i, len(piece), err)
		}
		out, err := d.Decode(nil, frame, len(piece))
		if err != nil || !bytes.Equal(out, piece) {
			t.Fatalf("piece %d of %d bytes doesn't come back: %v", i, len(piece), err)
		}
		last = next
	}
	return last
}

// However a table is cut into three, the state after the last piece is the same, and
// it is the one that no cut gives.
func TestEveryCut(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4} {
		tab := randomTable(rand.New(rand.NewPCG(seed, 11)), 3)
		tab.longest = 10
		schema, err := ParseSchema(tab.version, tab.header())
		if err != nil {
			t.Fatal(err)
		}
		data := tab.data(200)
		data = data[:min(len(data), 700)]
		want := roundTrip(t, schema, data)
		for i := range len(data) {
			j := min(i+1+i%50, len(data))
			got := roundTrip(t, schema, data[:i], data[i:j], data[j:])
			if got.place != want.place || got.skip != want.skip || !bytes.Equal(got.pending, want.pending) ||
				got.skip == 0 && got.previous != want.previous {
				t.Fatalf("cut at %d and %d of %d: ends in %+v, want %+v", i, j, len(data), got, want)
			}
		}
	}
}

// A row of many frames is stepped over by the size that it says it has.
func TestGiantRow(t *testing.T) {
	huge := cqlType{"BytesType", -1, false, func(t *table) []byte { return bytes.Repeat([]byte{byte(t.IntN(9))}, 20000) }}
	tab := steadyTable(rand.New(rand.NewPCG(1, 12)), huge)
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	data := tab.data(1)[:400010]
	last := roundTrip(t, schema, slices.Collect(slices.Chunk(data, 4<<10))...)
	if last.skip == 0 || last.pending != nil {
		t.Errorf("ends in %+v", last)
	}
}

// A key of many frames waits in the state.
func TestGiantKey(t *testing.T) {
	schema, err := ParseSchema("nb", (&table{}).header())
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte{0xff, 0xff}, make([]byte, 65535)...)
	data = append(data, 0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1)
	last := roundTrip(t, schema, slices.Collect(slices.Chunk(data, 1000))...)
	if last.place != atPartition || last.pending != nil || last.skip != 0 {
		t.Errorf("ends in %+v", last)
	}
}

func TestGrammarBroken(t *testing.T) {
	e := newEncoder(t, Fast)
	schema, data := sample(t, 1, 3, 1000)
	bad := bytes.Repeat([]byte{0xfe}, 1<<20)
	out, lost, err := e.Encode([]byte("x"), bad, schema, State{place: atRow})
	if !errors.Is(err, ErrGrammar) || string(out) != "x" {
		t.Fatalf("%q, %v", out, err)
	}
	if _, _, err := e.Encode(nil, data, schema, lost); !errors.Is(err, ErrGrammar) {
		t.Errorf("after that: %v", err)
	}
	if _, _, err := e.Encode(nil, make([]byte, MaxRaw+1), schema, State{}); err == nil {
		t.Errorf("%d bytes are accepted", MaxRaw+1)
	}
	if _, err := NewEncoder(99); err == nil {
		t.Error("level 99 is accepted")
	}
}

// 3.0 writes a frozen user type as the same text as 3.11 one that is not frozen.
func TestFrozenUserTypes(t *testing.T) {
	frozen := variableType("UserType(ks,61,62:org.apache.cassandra.db.marshal.Int32Type)")
	tab := steadyTable(rand.New(rand.NewPCG(1, 13)), frozen, variableType("UTF8Type"))
	tab.version = "md"
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	last := roundTrip(t, schema, slices.Collect(slices.Chunk(tab.data(50000), 7000))...)
	if !last.frozen || last.lost {
		t.Errorf("ends in %+v", last)
	}
	tab.version = "nb"
	if schema, err = ParseSchema(tab.version, tab.header()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newEncoder(t, Fast).Encode(nil, tab.out, schema, State{}); !errors.Is(err, ErrGrammar) {
		t.Errorf("as 4.0: %v", err)
	}
}

// What an encoder and a decoder hold after frames of 4 MiB.
func TestMemory(t *testing.T) {
	tab := metricsTable(rand.New(rand.NewPCG(1, 14)))
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	data := tab.data(4 << 20)
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	e, d := newEncoder(t, Balanced), NewDecoder()
	frame, _, err := e.Encode(nil, data, schema, State{})
	if err != nil {
		t.Fatal(err)
	}
	encoder := held() - before
	if _, err := d.Decode(nil, frame, len(data)); err != nil {
		t.Fatal(err)
	}
	decoder := held() - before - encoder
	t.Logf("encoder %d KiB, decoder %d KiB", encoder>>10, decoder>>10)
	if encoder > 32<<20 || decoder > 32<<20 {
		t.Errorf("encoder %d bytes, decoder %d bytes", encoder, decoder)
	}
	runtime.KeepAlive(e)
	runtime.KeepAlive(d)
}

// The memory of one SSTable's streams serves the next one of its table, and nothing stays in it.
func TestStreamsServeTheNextSSTable(t *testing.T) {
	e, d := newEncoder(t, Balanced), NewDecoder()
	var used [2]*walker
	for i, minTimestamp := range []uint64{3e14, 4e14} {
		tab := metricsTable(rand.New(rand.NewPCG(uint64(i), 13)))
		tab.minTimestamp = minTimestamp
		schema, err := ParseSchema(tab.version, tab.header())
		if err != nil {
			t.Fatal(err)
		}
		data := tab.data(50_000 >> i)
		frame, _, err := e.Encode(nil, data, schema, State{})
		if err != nil {
			t.Fatal(err)
		}
		if fresh, _, _ := newEncoder(t, Balanced).Encode(nil, data, schema, State{}); !bytes.Equal(frame, fresh) {
			t.Errorf("SSTable %d: %d bytes, a new encoder makes %d others", i, len(frame), len(fresh))
		}
		if out, err := d.Decode(nil, frame, len(data)); err != nil || !bytes.Equal(out, data) {
			t.Errorf("SSTable %d doesn't come back: %v", i, err)
		}
		now := [2]*walker{e.walkers[0], d.walker}
		if i > 0 && now != used {
			t.Error("the second SSTable got streams of its own")
		}
		used = now
	}
}
