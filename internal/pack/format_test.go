package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// join puts bytes, strings and byte slices one after the other.
func join(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func u32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

func withCRC(b []byte) []byte {
	return join(b, u32(int(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))))
}

// assemble makes an object of pack 1 whose checksums are right, by the package
// comment alone: header[8:60], frames and lists, footer.
func assemble(header, body, footer []byte) []byte {
	object := join(withCRC(join("\x89SSTPACK", header)), body, footer)
	object = join(object, u32(len(footer)), withCRC(footer)[len(footer):], "PACKEND\n")
	sum := chunker.Sum(object)
	return join(object, sum[:])
}

func goodHeader() []byte {
	return join(1, 0, 0, 0, u32(258), 0xAA, make([]byte, 14), 0xBB, make([]byte, 28))
}

func TestFormatIsAsDrawn(t *testing.T) {
	raw := bytes.Repeat([]byte("x"), 300)
	sum := chunker.Sum(raw)
	list := withCRC(join(1, 1, 0x82, 2, 64, 0xAC, 2, 0xAC, 2, 0, 0, sum[:])) // 47 bytes
	empty := withCRC(join(1, 0))
	footer := join(
		0x81, 47, list,
		0x82, 18, 2,
		0xEC, 2, 47, 4, "ks/a", // at 64 + 300 = 364 = 0x16C
		0x9B, 3, 6, 5, "ks/bc", // at 364 + 47 = 411 = 0x19B
	)
	want := assemble(goodHeader(), join(raw, list, empty), footer)

	w := NewWriter(SetID{0: 0xAA, 15: 0xBB}, 258, nil)
	ref := w.Add(chunker.Frame{Codec: chunker.Stored, Raw: 300, Hash: sum, Data: raw})
	w.AddList("ks/a", []FrameRef{ref})
	w.AddList("ks/bc", nil)
	got, lists, err := w.Finish()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v, wrote\n%x, want\n%x", err, got, want)
	}
	if want := []ListRef{{258, 364, 47}, {258, 411, 6}}; !slices.Equal(lists, want) {
		t.Errorf("lists are at %v, want %v", lists, want)
	}
}

// Objects whose checksums are right but that no Writer of this version makes.
func TestOpenJudgesWhatChecksumsDont(t *testing.T) {
	f := func(name string, want error, words string, object []byte) {
		t.Helper()
		p, err := Open(object)
		if !errors.Is(err, want) || (err == nil) != (p != nil) || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %v with %q", name, err, want, words)
		}
	}
	corrupt, unsupported := chunker.ErrCorrupt, chunker.ErrUnsupported

	none, one := withCRC(join(1, 0)), withCRC(join(1, 1, 0x82, 2, 64, 3, 3, 9, 9, make([]byte, 32)))
	frames := join(0x81, len(one), one)
	lists := join(0x82, 6, 1, 67, len(none), 2, "ks")
	body := join("abc", none)
	with := func(footer ...any) []byte { return assemble(goodHeader(), body, join(footer...)) }
	f("as drawn, with a codec and a transform of the future", nil, "", with(frames, lists))
	f("sections in the other order", nil, "", with(lists, frames))

	header := func(at, v int) []byte {
		h := goodHeader()
		h[at-8] = byte(v)
		return assemble(h, body, join(frames, lists))
	}
	f("version 2", nil, "", header(8, 2))
	f("next version", unsupported, "version 3: needs a newer sstash", header(8, 3))
	f("sealed", unsupported, "sealed with suite 1: needs a newer sstash", header(9, 1))
	f("reserved bytes in use", nil, "", header(10, 1))
	f("more reserved bytes in use", nil, "", header(59, 1))
	f("another number", corrupt, "of pack 2", header(13, 0))

	f("unknown section", nil, "", with(frames, 0x05, 3, "abc", lists, 0x06, 0))
	f("unknown critical section", unsupported, "section 0x85: needs a newer sstash", with(frames, 0x85, 3, "abc", lists))
	f("section twice", corrupt, "section 0x81 is there twice", with(frames, lists, frames))
	f("no frames section", corrupt, "section 0x81 is missing", with(lists))
	f("no lists section", corrupt, "section 0x82 is missing", with(frames))
	f("frames section of another version", unsupported, "frames: version 2", with(0x81, 6, withCRC(join(2, 0)), lists))
	f("no footer", corrupt, "missing", with())
	f("section longer than the footer", corrupt, "4 bytes where 5", with(frames, lists, 0x05, 5, "abcd"))
	f("section without length", corrupt, "no integer", with(frames, lists, 0x05))
	f("footer longer than the object", corrupt, "longer than the object", func() []byte {
		b := with(frames, lists)
		copy(b[len(b)-48:], u32(len(b)-64-48+1))
		sum := chunker.Sum(b[:len(b)-32])
		return join(b[:len(b)-32], sum[:])
	}())
	f("other checksum of the footer", corrupt, "footer differs", func() []byte {
		b := with(frames, lists)
		b[len(b)-44] ^= 1
		sum := chunker.Sum(b[:len(b)-32])
		return join(b[:len(b)-32], sum[:])
	}())

	f("gap before the frames", corrupt, "want at most", assemble(goodHeader(), join("-abc", none),
		join(0x81, len(one), withCRC(join(1, 1, 0x82, 2, 65, 3, 3, 0, 0, make([]byte, 32))), 0x82, 6, 1, 68, len(none), 2, "ks")))
	f("gap after the frames", corrupt, "want at most", assemble(goodHeader(), join("abc-", none),
		join(frames, 0x82, 6, 1, 68, len(none), 2, "ks")))
	f("gap after the lists", corrupt, "end at 73, want 74", assemble(goodHeader(), join(body, "-"), join(frames, lists)))
	f("frame that reaches into the footer", corrupt, "want at most", assemble(goodHeader(), []byte("ab"), join(frames, 0x82, 1, 0)))
	f("list that reaches into the footer", corrupt, "want at most", with(frames, 0x82, 6, 1, 67, len(none)+1, 2, "ks"))
	f("fewer lists than counted", corrupt, "no integer", with(frames, 0x82, 6, 2, 67, len(none), 2, "ks"))
	f("more lists than counted", corrupt, "end at 67, want 73", with(frames, 0x82, 6, 0, 67, len(none), 2, "ks"))
	f("something after the lists", corrupt, "1 bytes too many", with(frames, 0x82, 7, 1, 67, len(none), 2, "ks", 0))
	f("countless lists", corrupt, "want at most", with(frames, 0x82, 13, 0xff, 0xff, 0xff, 0xff, 15, make([]byte, 8)))
	f("label beyond the section", corrupt, "2 bytes where 3", with(frames, 0x82, 6, 1, 67, len(none), 3, "ks"))
	f("list that is none", corrupt, `lists: "ks": `, assemble(goodHeader(), join("abcxxxxxx"), join(frames, lists)))

	naming := func(ref ...any) []byte {
		list := withCRC(join(1, 1, join(ref...), make([]byte, 32)))
		return assemble(goodHeader(), join("abc", list), join(frames, 0x82, 6, 1, 67, len(list), 2, "ks"))
	}
	f("list of its own frame", nil, "", naming(0x82, 2, 64, 3, 3, 9, 9))
	f("list of an earlier pack's frame", nil, "", naming(0x81, 2, 99, 3, 3, 9, 9))
	f("list of a later pack's frame", corrupt, "does not exist", naming(0x83, 2, 64, 3, 3, 9, 9))
	f("list of a frame elsewhere", corrupt, "does not exist", naming(0x82, 2, 65, 3, 3, 9, 9))
	f("list of a frame of another length", corrupt, "does not exist", naming(0x82, 2, 64, 3, 4, 9, 9))
	f("list of a frame of another codec", corrupt, "does not exist", naming(0x82, 2, 64, 3, 3, 1, 9))
}

// Since version 2, two frames may have the same place.
func TestOpenOfSharedFrames(t *testing.T) {
	frame := func(place string, transform int) []byte {
		return join(0x82, 2, place, 3, 9, transform, make([]byte, 32)) // of pack 258
	}
	f := func(name string, version int, want bool, listed []byte, all ...[]byte) {
		t.Helper()
		header := goodHeader()
		header[0] = byte(version)
		frames := withCRC(join(1, len(all), bytes.Join(all, nil)))
		list := withCRC(join(1, 1, listed))
		object := assemble(header, join("abcdef", list), join(0x81, binary.AppendUvarint(nil, uint64(len(frames))), frames, 0x82, 6, 1, 70, len(list), 2, "ks"))
		p, err := Open(object)
		if !want {
			if !errors.Is(err, chunker.ErrCorrupt) {
				t.Errorf("%s: %v, want ErrCorrupt", name, err)
			}
			return
		}
		if err != nil || len(p.Frames) != len(all) {
			t.Errorf("%s: %v", name, err)
			return
		}
		for _, ref := range p.Frames {
			if frame, err := p.Frame(ref); err != nil || frame.Transform != ref.Transform || len(frame.Data) != 3 {
				t.Errorf("%s: frame %+v: %v", name, ref, err)
			}
		}
	}
	const abc, def, half = "\x40\x03", "\x43\x03", "\x42\x03"
	f("two, the first listed", 2, true, frame(abc, 4), frame(abc, 4), frame(abc, 5), frame(def, 0))
	f("two, the second listed", 2, true, frame(abc, 5), frame(abc, 4), frame(abc, 5), frame(def, 0))
	f("two at the end", 2, true, frame(def, 5), frame(abc, 0), frame(def, 4), frame(def, 5))
	f("twice two", 2, true, frame(def, 4), frame(abc, 4), frame(abc, 5), frame(def, 4), frame(def, 5))
	f("a third listed", 2, false, frame(abc, 6), frame(abc, 4), frame(abc, 5), frame(def, 0))
	f("one of another place listed", 2, false, frame(def, 5), frame(abc, 4), frame(abc, 5), frame(def, 0))
	f("three", 2, false, frame(abc, 5), frame(abc, 4), frame(abc, 5), frame(abc, 6), frame(def, 0))
	f("two that overlap", 2, false, frame(abc, 4), frame(abc, 4), frame(half, 5), frame(def, 0))
	f("two, and a gap", 2, false, frame(abc, 4), frame(abc, 4), frame(abc, 5))
	f("version 1", 1, false, frame(abc, 4), frame(abc, 4), frame(abc, 5), frame(def, 0))
}

// A pack is of version 2 only if it must be, and AddShared takes only what is there already.
func TestAddShared(t *testing.T) {
	frame := func(data string, transform chunker.Transform) chunker.Frame {
		return chunker.Frame{Transform: transform, Raw: 1, Data: []byte(data)}
	}
	f := func(name string, ok bool, add func(w *Writer)) {
		t.Helper()
		w := NewWriter(SetID{}, 0, nil)
		add(w)
		object, _, err := w.Finish()
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if ok && object[8] != version2 {
			t.Errorf("%s: version %d", name, object[8])
		}
	}
	f("as drawn", true, func(w *Writer) {
		w.Add(frame("before", 0))
		a, b := w.Add(frame("both", 4)), w.AddShared(frame("both", 5))
		if !b.SharesWith(a) || a.Transform != 4 || b.Transform != 5 {
			t.Errorf("%+v and %+v", a, b)
		}
		w.Add(frame("behind", 0))
		w.AddList("a", []FrameRef{a})
		w.AddList("b", []FrameRef{b})
	})
	f("nothing before it", false, func(w *Writer) { w.AddShared(frame("both", 5)) })
	f("another one before it", false, func(w *Writer) { w.Add(frame("bath", 4)); w.AddShared(frame("both", 5)) })
	f("a longer one before it", false, func(w *Writer) { w.Add(frame("both.", 4)); w.AddShared(frame("both", 5)) })
	f("a third", false, func(w *Writer) {
		w.Add(frame("both", 4))
		w.AddShared(frame("both", 5))
		w.AddShared(frame("both", 6))
	})
}

func TestParseListJudgesWhatChecksumsDont(t *testing.T) {
	largest := []byte{0xff, 0xff, 0xff, 0xff, 15}
	f := func(name string, want error, parts ...any) {
		t.Helper()
		list := withCRC(join(parts...))
		frames, err := ParseList(list)
		if !errors.Is(err, want) || err != nil && frames != nil {
			t.Errorf("%s: %d frames, %v, want %v", name, len(frames), err, want)
		}
		if err == nil && !bytes.Equal(AppendList(nil, frames), list) {
			t.Errorf("%s: encodes to other bytes", name)
		}
	}
	hash := make([]byte, 32)
	corrupt, unsupported := chunker.ErrCorrupt, chunker.ErrUnsupported
	f("empty", nil, 1, 0)
	f("one frame", nil, 1, 1, 0, 64, 1, 1, 0, 0, hash)
	f("largest numbers", nil, 1, 1, largest, 0xfe, 0xff, 0xff, 0xff, 15, 1, largest, 255, 255, hash)
	f("no version", corrupt)
	f("version 0", unsupported, 0, 0)
	f("version 2", unsupported, 2, 0)
	f("no count", corrupt, 1)
	f("count of none", corrupt, 1, 1)
	f("count beyond the list", corrupt, 1, 2, 0, 64, 1, 1, 0, 0, hash)
	f("count that would need 200 GB", corrupt, 1, largest, 0, 64, 1, 1, 0, 0, hash)
	f("count above 2^32", corrupt, 1, 0x80, 0x80, 0x80, 0x80, 16)
	f("count above 2^64", corrupt, 1, bytes.Repeat([]byte{0xff}, 10), 1)
	f("count in two bytes", corrupt, 1, 0x81, 0, 0, 64, 1, 1, 0, 0, hash)
	f("something after the frames", corrupt, 1, 1, 0, 64, 1, 1, 0, 0, hash, 0)
	f("a second frame cut short", corrupt, 1, 2, 0, 64, 1, 1, 0, 0, hash, 0, 65, 1, 1, 0, 0, hash[:31])
	f("no stored bytes", corrupt, 1, 1, 0, 64, 0, 1, 0, 0, hash)
	f("no raw bytes", corrupt, 1, 1, 0, 64, 1, 0, 0, 0, hash)
	f("ends above 2^32", corrupt, 1, 1, 0, largest, 1, 1, 0, 0, hash)

	frames := slices.Repeat([]FrameRef{{Off: 64, Len: 1, Raw: 1<<32 - 1}}, 1000)
	got, err := ParseList(AppendList(nil, frames))
	if err != nil || !slices.Equal(got, frames) {
		t.Errorf("1000 frames of 4 GiB: %d frames, %v", len(got), err)
	}
	if got := AppendList([]byte("before"), frames); string(got[:6]) != "before" || !bytes.Equal(got[6:], AppendList(nil, frames)) {
		t.Error("AppendList doesn't append")
	}
}

// What happens to the pack in memory between Add and Finish doesn't get out.
func TestFinishChecksWhatItWrote(t *testing.T) {
	f := func(name string, harm func(w *Writer)) {
		t.Helper()
		w := NewWriter(SetID{}, 0, nil)
		data := []byte("some stored bytes")
		ref := w.Add(chunker.Frame{Raw: uint32(len(data)), Hash: chunker.Sum(data), Data: data})
		w.AddList("label", []FrameRef{ref})
		harm(w)
		if object, _, err := w.Finish(); !errors.Is(err, chunker.ErrCorrupt) || object != nil {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	f("set", func(w *Writer) { w.set[0] ^= 1 })
	f("header", func(w *Writer) { w.object[20] ^= 1 })
	f("frame", func(w *Writer) { w.object[headerSize+3] ^= 1 })
	f("list", func(w *Writer) { w.lists[10] ^= 1 })
	f("footer", func(w *Writer) { w.frames[0].Hash[5] ^= 1 })
	f("index", func(w *Writer) { w.index[0].Ref.Len++ })
}
