package pack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

func goldenPacks(t testing.TB) (objects [][]byte) {
	for _, name := range []string{"v1/spanning-0.pack", "v1/spanning-1.pack", "v1/stored-2.pack", "v2/shared-3.pack"} {
		objects = append(objects, golden(t, name, nil))
	}
	return objects
}

func isExpected(err error) bool {
	return errors.Is(err, chunker.ErrCorrupt) || errors.Is(err, chunker.ErrUnsupported)
}

// reseal makes all checksums of an object right where it is long enough, so that
// fuzzing gets beyond them.
func reseal(object []byte) []byte {
	b := bytes.Clone(object)
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	if len(b) < 64+48 {
		return b
	}
	binary.LittleEndian.PutUint32(b[60:], crc(b[:60]))
	trailer := len(b) - 48
	if n := int(binary.LittleEndian.Uint32(b[trailer:])); n <= trailer-64 {
		binary.LittleEndian.PutUint32(b[trailer+4:], crc(b[trailer-n:trailer]))
	}
	sum := chunker.Sum(b[:len(b)-32])
	copy(b[len(b)-32:], sum[:])
	return b
}

func FuzzOpen(f *testing.F) {
	for _, object := range goldenPacks(f) {
		f.Add(object)
	}
	d := chunker.NewDecoder()
	f.Fuzz(func(t *testing.T, object []byte) {
		for _, b := range [][]byte{object, reseal(object)} {
			p, err := pack.Open(b)
			if err != nil {
				if p != nil || !isExpected(err) {
					t.Fatalf("pack %v, error neither ErrCorrupt nor ErrUnsupported: %v", p, err)
				}
				continue
			}
			size := 64
			for i, ref := range p.Frames {
				fr, err := p.Frame(ref)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Decode(nil, fr); err != nil && !isExpected(err) {
					t.Fatal(err)
				}
				if i == 0 || !ref.SharesWith(p.Frames[i-1]) {
					size += len(fr.Data)
				}
			}
			for _, l := range p.Lists {
				if got := pack.AppendList(nil, l.Frames); !bytes.Equal(got, b[l.Ref.Off:][:l.Ref.Len]) {
					t.Fatalf("list %q encodes to other bytes", l.Label)
				}
				size += int(l.Ref.Len)
			}
			if size > len(b)-48 {
				t.Fatalf("frames and lists of %d bytes in an object of %d", size, len(b))
			}
		}
	})
}

func FuzzParseList(f *testing.F) {
	for _, object := range goldenPacks(f) {
		for _, l := range open(f, object).Lists {
			f.Add(object[l.Ref.Off:][:l.Ref.Len])
		}
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		crc := crc32.Checksum(list, crc32.MakeTable(crc32.Castagnoli))
		for _, b := range [][]byte{list, binary.LittleEndian.AppendUint32(bytes.Clone(list), crc)} {
			frames, err := pack.ParseList(b)
			if err != nil && (frames != nil || !isExpected(err)) {
				t.Fatalf("%d frames, error neither ErrCorrupt nor ErrUnsupported: %v", len(frames), err)
			}
			if err == nil && !bytes.Equal(pack.AppendList(nil, frames), b) {
				t.Fatal("encodes to other bytes")
			}
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(pack.Name(set, 0))
	f.Add("packs/000102030405060708090a0b0c0d0e0f-1")
	f.Fuzz(func(t *testing.T, name string) {
		if id, n, err := pack.ParseName(name); err == nil && pack.Name(id, n) != name {
			t.Fatalf("%q parsed as what is named %q", name, pack.Name(id, n))
		}
	})
}
