package uploader

import (
	"bytes"
	"errors"
	"io"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// spill takes the frames of one SSTable and decides where they go: it holds them back until they
// reach ownSet, and then they go into a pack set of their own; if they never do, into the bundle.
type spill struct {
	batch  *batch
	source *source
	label  string
	level  chunker.Level
	parts  []part
	held   []heldFrame
	bytes  int // of held
	own    *packSet

	plain     chunker.Plain // why rows are not in columns
	chunks    int64         // of Data.db
	unchecked int           // those without their checksums
	misplaced bool          // one is not where CompressionInfo.db says
	mismatch  bool          // a Data.db without chunks does not match its digest
}

// part is one component on its way.
type part struct {
	file      *file
	in        io.Reader // what is left of it
	component int       // index into the SSTable's components
	hasher    *chunker.Hasher
	size      int64 // that was read
	refs      []pack.FrameRef
}

// heldFrame is a frame that is held back; its Data is its own, or that of the one before.
type heldFrame struct {
	part  *part
	frame chunker.Frame
}

// expect makes component index one that is read from f.
func (s *spill) expect(f *file, index int) {
	s.parts = append(s.parts, part{file: f, in: f, component: index, hasher: chunker.NewHasher()})
}

// part is that of a component, nil when that isn't read.
func (s *spill) part(component string) *part {
	for i := range s.parts {
		if s.parts[i].file.Component == component {
			return &s.parts[i]
		}
	}
	return nil
}

// store reads all parts to their ends.
func (s *spill) store() error {
	if len(s.parts) == 0 {
		return nil
	}
	return s.batch.u.coders.encode(s.batch.ctx, s.level, s.read, s.frame)
}

func (s *spill) read(r *reader) error {
	for i := range s.parts {
		p := &s.parts[i]
		store := s.rest
		if p.file.Component == sstable.Data {
			store = s.data
		}
		if err := store(r, p); err != nil {
			return err
		}
		if err := p.file.unchanged(p.size); err != nil {
			return err
		}
	}
	return nil
}

// rest makes pieces of what is left of p.
func (s *spill) rest(r *reader, p *part) error {
	for {
		w, err := r.next(p, chunker.FrameSize)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.start(w, w.plain)
	}
}

// data makes pieces of a Data.db: of its chunks, as long as they are where CompressionInfo.db says. What
// is left is like any other file.
func (s *spill) data(r *reader, p *part) error {
	if s.source.file(sstable.CompressionInfo) == nil {
		return s.digested(r, p)
	}
	list, ok := s.source.chunked()
	if !ok {
		s.plain = chunker.PlainChunk
		return s.rest(r, p)
	}
	if err := s.wholeChunks(r, p, list); err != nil {
		return err
	}
	return s.rest(r, p)
}

// digested makes pieces of what has no chunks, and compares it with its digest. Where there are chunks,
// nobody reads by the digest, and it may be another one: scrub leaves one that counts what it has dropped.
func (s *spill) digested(r *reader, p *part) error {
	sum, want := s.source.digest()
	if sum == nil {
		return s.rest(r, p)
	}
	p.in = io.TeeReader(p.in, sum)
	err := s.rest(r, p)
	s.mismatch = sum.Sum32() != want
	return err
}

// wholeChunks makes pieces of whole chunks, up to the first that is not where it should be.
func (s *spill) wholeChunks(r *reader, p *part, list chunkList) error {
	s.chunks, s.misplaced = list.count, true
	index := s.index()
	var state chunker.RowsState
	for {
		ends, err := list.piece()
		if errors.Is(err, io.EOF) {
			s.misplaced = false
			return nil
		}
		if err != nil {
			return nil
		}
		n := ends[len(ends)-1]
		w, err := r.next(p, n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(w.raw) < n {
			r.start(w, w.plain)
			return nil
		}
		encode := w.plain
		if list.lz4 {
			state = w.encoder.OpenRows(chunker.Piece{Raw: w.raw, Ends: ends}, list.rows, state)
			if end, ok := state.End(); ok {
				index.give(w, end)
			}
			s.plain, encode = state.Plain(), w.rows
		}
		r.start(w, func() error {
			w.unchecked = unchecked(s.source.name, w.raw, ends)
			return encode()
		})
	}
}

func (s *spill) frame(w *coding) error {
	s.unchecked += w.unchecked
	if err := s.take(w.part, w.frame); err != nil || len(w.rawIndex) == 0 {
		return err
	}
	return s.take(w.index, w.indexFrame)
}

// take takes the next frame of p.
func (s *spill) take(p *part, f chunker.Frame) error {
	s.batch.result.NewBytes += int64(f.Raw)
	s.batch.u.progress.read(int64(f.Raw))
	if s.own != nil {
		return p.add(s.own, f)
	}
	if f.Transform == chunker.Index {
		f.Data = s.held[len(s.held)-1].frame.Data
	} else {
		f.Data = bytes.Clone(f.Data) // the encoder's
		s.bytes += len(f.Data)
	}
	s.held = append(s.held, heldFrame{p, f})
	if s.bytes < ownSet {
		return nil
	}
	s.own = s.batch.newPackSet(s.batch.u.buffers.get())
	return s.release(s.own)
}

// release moves the frames that were held back into set.
func (s *spill) release(set *packSet) error {
	for _, h := range s.held {
		if err := h.part.add(set, h.frame); err != nil {
			return err
		}
	}
	s.held = nil
	return nil
}

// add puts the next frame of p into set.
func (p *part) add(set *packSet, f chunker.Frame) error {
	ref, err := set.add(f)
	p.refs = append(p.refs, ref)
	return err
}

// finish gives every component that was read its hash and its place.
func (s *spill) finish(components []manifest.Component) error {
	if len(s.parts) == 0 {
		return nil
	}
	set := s.own
	if set == nil {
		set = s.batch.bundled()
	}
	if err := s.release(set); err != nil {
		return err
	}
	for i := range s.parts {
		p := &s.parts[i]
		c := &components[p.component]
		c.Hash, c.Size = p.hasher.Sum(), p.size
		set.list(c, s.label+"-"+p.file.Component, p.refs)
	}
	if s.own != nil {
		if err := s.own.send(); err != nil {
			return err
		}
		s.batch.keep(s.own.keep(false))
	}
	for i := range s.parts {
		components[s.parts[i].component].Set = s.batch.at[set.id]
	}
	return nil
}
