package pack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sstash/sstash/chunker"
)

const (
	// MaxSize is the size in bytes beyond which a Writer refuses to go. It
	// guards against a caller that never finishes; packs are far smaller.
	MaxSize = 1 << 30

	// MaxLabel is the length in bytes of the longest label.
	MaxLabel = 4096
)

// Writer builds one pack in memory. It is for one goroutine. The first error is
// kept, makes later calls do nothing, and is returned by Finish.
type Writer struct {
	set    SetID
	number uint32
	object []byte // header and frames
	frames []FrameRef
	sums   []uint32 // CRC32C of each frame's stored bytes as they were given
	lists  []byte   // frame lists, back to back
	index  []List   // offsets are within lists, until Finish
	shared bool     // there are frames with the same stored bytes
	err    error
}

// NewWriter begins pack number of a set. The object is built in buf[:0], which
// grows when it is too short: a caller that fills one pack after the other gives
// back the last object once it has no more use for it, or nil.
func NewWriter(set SetID, number uint32, buf []byte) *Writer {
	return &Writer{set: set, number: number, object: appendHeader(buf[:0], version1, set, number)}
}

// Add copies a frame into the pack and says where it is.
func (w *Writer) Add(f chunker.Frame) FrameRef {
	if len(f.Data) < 1 || f.Raw < 1 || f.Raw > chunker.MaxRaw {
		w.fail(fmt.Errorf("add frame: %d stored bytes for %d raw ones", len(f.Data), f.Raw))
	}
	if !w.hasRoom(len(f.Data)) {
		return FrameRef{}
	}
	off := len(w.object)
	w.object = append(w.object, f.Data...)
	return w.frame(f, uint32(off), crc32c(f.Data))
}

// AddShared adds a second frame in the same stored bytes, those of the one added last.
func (w *Writer) AddShared(f chunker.Frame) FrameRef {
	sum := crc32c(f.Data)
	if n := len(w.frames); n == 0 || int(w.frames[n-1].Len) != len(f.Data) || w.sums[n-1] != sum ||
		n > 1 && w.frames[n-1].SharesWith(w.frames[n-2]) {
		w.fail(errors.New("add frame: not the stored bytes of the one before"))
	}
	if w.err != nil {
		return FrameRef{}
	}
	w.shared = true
	return w.frame(f, w.frames[len(w.frames)-1].Off, sum)
}

// frame notes that f is at off.
func (w *Writer) frame(f chunker.Frame, off, sum uint32) FrameRef {
	ref := FrameRef{
		Pack: w.number, Off: off, Len: uint32(len(f.Data)),
		Raw: f.Raw, Codec: f.Codec, Transform: f.Transform, Hash: f.Hash,
	}
	w.frames = append(w.frames, ref)
	w.sums = append(w.sums, sum)
	return ref
}

// AddList adds the frame list of a component: its frames in file order, each in
// this pack or in a lower-numbered one of the set. The label says to a human
// what it is; it has at most MaxLabel bytes. Finish tells where the list is.
func (w *Writer) AddList(label string, frames []FrameRef) {
	if len(label) > MaxLabel {
		w.fail(fmt.Errorf("add frame list: label of %d bytes, at most %d", len(label), MaxLabel))
	}
	if !w.hasRoom(len(label) + len(frames)*maxFrame) {
		return
	}
	start := len(w.lists)
	w.lists = AppendList(w.lists, frames)
	ref := ListRef{Pack: w.number, Off: uint32(start), Len: uint32(len(w.lists) - start)}
	w.index = append(w.index, List{Label: label, Ref: ref})
}

// Size returns how many bytes header, frames and frame lists have so far. Footer
// and trailer come on top: up to 54 bytes per frame, per list 12 and its label,
// and 70.
func (w *Writer) Size() int { return len(w.object) + len(w.lists) }

// Finish completes the pack, opens it again, compares it with what was added,
// and only then returns it, with the places of the frame lists in the order in
// which they were added. The object is the caller's; the Writer is spent.
func (w *Writer) Finish() (object []byte, lists []ListRef, err error) {
	if w.err == nil {
		w.fail(w.finish())
	}
	if w.err != nil {
		return nil, nil, fmt.Errorf("finish pack %d of set %s: %w", w.number, w.set, w.err)
	}
	w.err = errors.New("already finished")
	lists = make([]ListRef, len(w.index))
	for i, l := range w.index {
		lists[i] = l.Ref
	}
	return w.object, lists, nil
}

func (w *Writer) finish() error {
	if w.shared {
		appendHeader(w.object[:0], version2, w.set, w.number) // in the place of the first one
	}
	for i := range w.index {
		w.index[i].Ref.Off += uint32(len(w.object))
	}
	w.object = append(w.object, w.lists...)
	footerOff := len(w.object)
	w.object = appendFooter(w.object, w.frames, w.index)
	w.object = appendTrailer(w.object, footerOff)
	return w.check()
}

// check verifies what finish wrote before anybody relies on it. The frames
// themselves were decoded when they were encoded.
func (w *Writer) check() error {
	p, err := Open(w.object)
	if err != nil {
		return err
	}
	if p.Set != w.set || p.Number != w.number || !slices.Equal(p.Frames, w.frames) {
		return fmt.Errorf("%w: footer differs from what was added", chunker.ErrCorrupt)
	}
	for i, f := range w.frames {
		if crc32c(w.object[f.Off:][:f.Len]) != w.sums[i] {
			return fmt.Errorf("%w: frame %d differs from what was added", chunker.ErrCorrupt, i)
		}
	}
	same := func(a, b List) bool { return a.Label == b.Label && a.Ref == b.Ref }
	if !slices.EqualFunc(p.Lists, w.index, same) {
		return fmt.Errorf("%w: frame lists differ from what was added", chunker.ErrCorrupt)
	}
	return nil
}

// hasRoom reports whether n more bytes may be added.
func (w *Writer) hasRoom(n int) bool {
	if w.Size()+n > MaxSize {
		w.fail(fmt.Errorf("%d bytes more than the %d that a pack may have", w.Size()+n-MaxSize, MaxSize))
	}
	return w.err == nil
}

// fail keeps the first error.
func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
