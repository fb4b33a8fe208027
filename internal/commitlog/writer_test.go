package commitlog

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sstash/sstash/internal/bucket/buckettest"
)

// Whatever goes wrong with one operation, the piece is stored once, under one number.
func TestPutAgain(t *testing.T) {
	for _, kind := range []buckettest.Kind{buckettest.FailBefore, buckettest.FailAfter} {
		b := new(buckettest.Memory)
		w := newWriter(t, b, 1)
		mustPut(t, w, Piece{Read: at(1)}, nil)
		w.bucket = &buckettest.Fault{Bucket: b, At: 1, Kind: kind}
		p := &pending{piece: Piece{Read: at(2)}}
		if _, _, err := w.put(t.Context(), p); err == nil {
			t.Fatalf("%s: no error", kind)
		}
		stored, _, err := w.put(t.Context(), p)
		if err != nil || stored.Number != 2 {
			t.Errorf("%s: piece %d, %v", kind, stored.Number, err)
		}
		if l := mustRead(t, b); len(l.pieces) != 2 {
			t.Errorf("%s: %d pieces", kind, len(l.pieces))
		}
	}
}

func TestI4_WriterThatOpenedLaterWins(t *testing.T) {
	b := new(buckettest.Memory)
	first := newWriter(t, b, 1)
	mustPut(t, first, Piece{Read: at(1)}, nil)
	second := newWriter(t, b, 2)
	// A piece of the first that arrives late is what the second comes behind.
	mustPut(t, first, Piece{Read: at(2)}, nil)
	if p := mustPut(t, second, Piece{Read: at(3)}, nil); p.Number != 3 {
		t.Errorf("the second got piece %d", p.Number)
	}
	if _, _, err := first.put(t.Context(), &pending{piece: Piece{Read: at(4)}}); !errors.Is(err, ErrFenced) {
		t.Errorf("the first: %v, want ErrFenced", err)
	}
	if _, _, err := OpenWriter(t.Context(), b, prefix, Identity{Open: 1}); !errors.Is(err, ErrFenced) {
		t.Errorf("the first once more: %v, want ErrFenced", err)
	}
}

// Two machines that were one have written different bytes at the same place of a segment: what the
// newer writer has gone on from is what counts.
func TestI4_BytesOfTheNewerWriterCount(t *testing.T) {
	b := new(buckettest.Memory)
	common := makeSegment(7, 1000, "").write(t, "common").sync(t)
	one, two := *common, *common
	one.bytes, two.bytes = bytes.Clone(common.bytes), bytes.Clone(common.bytes)
	one.write(t, "of the first, and longer").sync(t)
	two.write(t, "of the second").sync(t)
	part := func(from, to int, first uint64) []Part {
		return []Part{{Segment: common.Name.String(), From: int64(from), To: int64(to), Size: segmentLen, First: first}}
	}
	w1 := newWriter(t, b, 1)
	mustPut(t, w1, Piece{Read: at(1), Since: at(0), Until: at(1), Parts: part(0, common.marker, 0)}, common.bytes[:common.marker])
	w2 := newWriter(t, b, 2)
	mustPut(t, w1, Piece{First: 1, Read: at(2), Since: at(0), Until: at(2), Parts: part(common.marker, one.marker, 1)}, one.bytes[common.marker:one.marker])
	mustPut(t, w2, Piece{First: 1, Read: at(3), Since: at(0), Until: at(3), Parts: part(common.marker, two.marker, 1)}, two.bytes[common.marker:two.marker])
	if got := fetch(t, mustRead(t, b), at(0), at(3)); !bytes.Equal(got[common.Name.String()], two.bytes) {
		t.Errorf("%q", bytes.Trim(got[common.Name.String()], "\x00"))
	}
}

// An object whose number leaves none behind it blocks the log only for as long as it is there, and one
// with a longer name is none of the log: names of more digits would not be listed in order.
func TestI4_StrayNumbers(t *testing.T) {
	f := func(name string, want error) {
		t.Helper()
		b := new(buckettest.Memory)
		w := newWriter(t, b, 1)
		mustPut(t, w, Piece{Read: at(1)}, nil)
		late := newWriter(t, b, 2)
		mustPut(t, w, Piece{Read: at(2)}, nil) // late's number is taken: it looks for the end of the log
		if err := b.Put(t.Context(), prefix+"log/"+name, []byte("stray")); err != nil {
			t.Fatal(err)
		}
		_, _, err := OpenWriter(t.Context(), b, prefix, Identity{Open: 3})
		_, _, putErr := late.put(t.Context(), &pending{piece: Piece{Read: at(3)}})
		for _, err := range []error{err, putErr} {
			if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
	f("9999999999", ErrDamaged)
	f("9000000000", ErrDamaged)
	f("8999999999", nil)
	f("10000000000", nil)
	f("0000000000", nil)
}
