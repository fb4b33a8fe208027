package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sstash/sstash/chunker"
)

var updateGolden = flag.Bool("update", false, "write the golden files that don't exist yet")

func examplePiece() (Piece, []byte) {
	one := makeSegment(7, 1763731234567, "")
	two := makeSegment(7, 1763731234568, lz4)
	raw := append(bytes.Clone(one.bytes[100:200]), two.bytes...)
	return Piece{
		Format: 1, Number: 12, Cluster: "prod", HostID: "1c380315", Open: 3, Writer: "0123",
		Looked: at(20), Read: at(21), First: 7, Why: "", Since: at(1), Until: at(10),
		Parts: []Part{
			{Segment: one.Name.String(), From: 100, To: 200, Size: segmentLen, First: 9},
			{Segment: two.Name.String(), From: 0, To: int64(len(two.bytes)), First: 12},
		},
		Going: []Going{{Segment: two.Name.String(), To: int64(len(two.bytes)), First: 12, Sum: chunker.Sum(two.bytes)}},
	}, raw
}

func TestPiece(t *testing.T) {
	p, raw := examplePiece()
	object, err := p.encode(raw)
	if err != nil {
		t.Fatal(err)
	}
	back, again, err := decode(object)
	if err != nil || !reflect.DeepEqual(back, p) || !bytes.Equal(again, raw) {
		t.Errorf("%+v\n%v", back, err)
	}
	h, n, err := decodeHeader(object)
	if err != nil || !reflect.DeepEqual(h, p) {
		t.Errorf("header %+v\n%v", h, err)
	}
	short := errShort{}
	if _, _, err := decodeHeader(object[:n-1]); !errors.As(err, &short) || short.n != int64(n) {
		t.Errorf("%d bytes of a header of %d: %v", n-1, n, err)
	}
	for i := range object {
		broken := bytes.Clone(object)
		broken[i] ^= 1
		if _, _, err := decode(broken); !errors.Is(err, chunker.ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, _, err := decode(object[:i]); !errors.Is(err, chunker.ErrCorrupt) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

func TestPieceRefuses(t *testing.T) {
	f := func(what string, change func(*Piece)) {
		t.Helper()
		p, raw := examplePiece()
		change(&p)
		if _, err := p.encode(raw); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	f("no number", func(p *Piece) { p.Number = 0 })
	f("a first behind it", func(p *Piece) { p.First = 13 })
	f("another directory", func(p *Piece) { p.Parts[0].Segment = "../CommitLog-7-1.log" })
	f("nothing", func(p *Piece) { p.Parts[0].To = p.Parts[0].From })
	f("a negative offset", func(p *Piece) { p.Parts[0].From, p.Parts[0].To = -100, 0 })
	f("a position that no segment has", func(p *Piece) { p.Parts[0].To = 1 << 32 })
	f("more bytes than there are", func(p *Piece) { p.Parts[0].To++ })
	f("a beginning that is none", func(p *Piece) { p.Parts[0].First = 12 })
	f("a beginning behind it", func(p *Piece) { p.Parts[0].First = 13 })
	f("no beginning of what was stored", func(p *Piece) { p.Going[0].First = 0 })
}

func TestPieceOfALaterVersion(t *testing.T) {
	for name, change := range map[string]func(*Piece){
		"format":   func(p *Piece) { p.Format = 2 },
		"suite":    func(p *Piece) { p.Suite = 1 },
		"critical": func(p *Piece) { p.Critical = []string{"x"} },
	} {
		p, _ := examplePiece()
		change(&p)
		if _, _, err := decodeHeader(headerOf(t, p)); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v, want ErrNewer", name, err)
		}
	}
}

// An object that exists is read for ever. Made with -update, and never changed.
func TestGoldenPiece(t *testing.T) {
	p, raw := examplePiece()
	path := filepath.Join("testdata", "v1", "piece")
	object, err := os.ReadFile(path)
	if *updateGolden && errors.Is(err, fs.ErrNotExist) {
		if object, err = p.encode(raw); err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, object, 0o644))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	back, again, err := decode(object)
	if err != nil || !reflect.DeepEqual(back, p) || !bytes.Equal(again, raw) {
		t.Errorf("%+v\n%v", back, err)
	}
}

func FuzzPiece(f *testing.F) {
	p, raw := examplePiece()
	object, err := p.encode(raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Add(object[:len(object)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, n, err := decodeHeader(b); err == nil && (n > len(b) || h.raw() > maxRaw) {
			t.Fatalf("%d bytes of %d: %+v", n, len(b), h)
		}
		// With a checksum that is right, the rest is what is tried.
		sum := chunker.Sum(b)
		if p, raw, err := decode(appendSkippable(b, magicSum, sum[:])); err == nil && p.raw() != int64(len(raw)) {
			t.Fatalf("%d bytes: %+v", len(raw), p)
		}
	})
}

// headerOf is the beginning of an object, whatever it says.
func headerOf(t *testing.T, p Piece) []byte {
	t.Helper()
	b := appendSkippable(nil, magicHeader, marshal(t, p))
	sum := chunker.Sum(b)
	return appendSkippable(b, magicCheck, sum[:])
}

// A header that says it is longer than any is not waited for.
func TestPieceHeaderIsBounded(t *testing.T) {
	b := binary.LittleEndian.AppendUint32(nil, magicHeader)
	b = binary.LittleEndian.AppendUint32(b, maxHeader+1)
	if _, _, err := decodeHeader(b); !errors.Is(err, chunker.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}
