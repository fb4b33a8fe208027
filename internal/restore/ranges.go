package restore

import (
	"fmt"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

const (
	// maxRange bounds one GET, and what its frames decode to: a restore holds both once for each GET
	// at a time. A single frame may be larger, up to chunker.MaxRaw.
	maxRange = 4 << 20
	// maxGap is how many bytes that nobody wants are fetched rather than asking twice.
	maxGap = 64 << 10
	// window is how many bytes of frame lists are held at a time.
	window = 4 << 20
)

// piece is one frame of a file that is wanted.
type piece struct {
	target *target
	frame  pack.FrameRef
	first  bool // of the file
	last   bool
}

// span is a stretch of a pack.
type span struct {
	set      pack.SetID
	pack     uint32
	off, end int64
}

// grow adds [off, end) to s, if that is behind it in the same pack, near enough, and not too much.
func (s *span) grow(set pack.SetID, number uint32, off, end int64) bool {
	if s.set != set || s.pack != number || off < s.end || off-s.end > maxGap || end-s.off > maxRange {
		return false
	}
	s.end = end
	return true
}

// request is one GET for pieces that follow each other.
type request struct {
	span
	raw    int64
	pieces []piece
}

// add puts p into the request, unless that makes it too large.
func (r *request) add(p piece) bool {
	f := p.frame
	off, end := int64(f.Off), int64(f.Off)+int64(f.Len)
	switch n := len(r.pieces); {
	case n == 0:
		r.span = span{p.target.set.ID, f.Pack, off, end}
	case p.comesWith(r.pieces[n-1]): // no more is fetched
	case r.raw+int64(f.Raw) > maxRange || !r.grow(p.target.set.ID, f.Pack, off, end):
		return false
	}
	r.raw += int64(f.Raw)
	r.pieces = append(r.pieces, p)
	return true
}

// comesWith tells whether the same stored bytes make p, a part of an Index.db, and last, of its Data.db.
func (p piece) comesWith(last piece) bool {
	return p.frame.Transform == chunker.Index && last.frame.Transform == chunker.Indexed &&
		p.frame.SharesWith(last.frame) && p.target.sstable == last.target.sstable
}

// check refuses a frame list that can't be t's: chunker.ErrCorrupt, or ErrUnsupported.
func (t *target) check(frames []pack.FrameRef) error {
	var size int64
	for _, f := range frames {
		switch {
		case f.Pack >= t.set.Packs:
			return fmt.Errorf("frame list: %w: pack %d of %d", chunker.ErrCorrupt, f.Pack, t.set.Packs)
		case f.Raw > chunker.MaxRaw || f.Len > 2*chunker.MaxRaw:
			return fmt.Errorf("frame list: %w: a frame of %d bytes in %d", chunker.ErrUnsupported, f.Raw, f.Len)
		}
		size += int64(f.Raw)
	}
	if size != t.Size {
		return fmt.Errorf("frame list: %w: %d bytes in all, want %d", chunker.ErrCorrupt, size, t.Size)
	}
	return nil
}

// unit is a file; index is the Index.db of the same SSTable, if that is wanted with its Data.db.
type unit struct{ file, index *target }

// units are all targets, in their order but for the indexes.
func units(targets []*target) []unit {
	data, all := map[*SSTable]int{}, make([]unit, 0, len(targets))
	for _, t := range targets {
		if t.Name == sstable.Data {
			data[t.sstable] = len(all)
		}
		if with, ok := data[t.sstable]; ok && t.Name == sstable.Index {
			all[with].index = t
			continue
		}
		all = append(all, unit{file: t})
	}
	return all
}

// listRequest is one GET for frame lists that follow each other.
type listRequest struct {
	span
	targets []*target
}

// listRequests joins neighbours. Targets of empty files need no list and are left out.
func listRequests(targets []*target) []*listRequest {
	var all []*listRequest
	for _, t := range targets {
		if t.Size == 0 {
			continue
		}
		off, end := int64(t.List.Off), int64(t.List.Off)+int64(t.List.Len)
		if n := len(all); n > 0 && all[n-1].grow(t.set.ID, t.List.Pack, off, end) {
			all[n-1].targets = append(all[n-1].targets, t)
			continue
		}
		all = append(all, &listRequest{span{t.set.ID, t.List.Pack, off, end}, []*target{t}})
	}
	return all
}

// windows cuts targets into runs whose frame lists together are at most window long, or a single
// target.
func windows(targets []*target) [][]*target {
	var all [][]*target
	held := int64(0)
	for i, t := range targets {
		if n := int64(t.List.Len); i == 0 || held+n > window {
			all, held = append(all, nil), 0
		}
		held += int64(t.List.Len)
		all[len(all)-1] = append(all[len(all)-1], t)
	}
	return all
}
