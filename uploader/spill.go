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
	held   int
	parts  []part
	own    *packSet

	plain           chunker.Plain // why rows are not in columns
	chunks, damaged int           // of Data.db
}

// part is one component on its way: the frames held back, or the places of those sent.
type part struct {
	file      *file
	component int // index into the SSTable's components
	hasher    *chunker.Hasher
	size      int64 // that was read
	frames    []chunker.Frame
	refs      []pack.FrameRef
}

// expect makes component index one that is read from f.
func (s *spill) expect(f *file, index int) {
	s.parts = append(s.parts, part{file: f, component: index, hasher: chunker.NewHasher()})
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
		if p.file.Component == sstable.Data {
			if err := s.data(r, p); err != nil {
				return err
			}
		}
		if err := s.bytes(r, p); err != nil {
			return err
		}
		if err := p.file.unchanged(p.size); err != nil {
			return err
		}
	}
	return nil
}

// bytes makes pieces of what is left of p.
func (s *spill) bytes(r *reader, p *part) error {
	for {
		w, err := r.next(p, p.file, chunker.FrameSize)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.start(w, w.plain)
	}
}

// data makes pieces of the chunks of a Data.db, as long as they are where CompressionInfo.db says. What
// it leaves is like any other file.
func (s *spill) data(r *reader, p *part) error {
	list, plain, ok := s.source.chunked()
	var err error
	if ok {
		plain, err = s.rows(r, p, list)
	}
	if s.source.columns() {
		s.plain = plain
	}
	return err
}

// rows makes pieces of whole chunks, and tells why they are not in columns from somewhere on.
func (s *spill) rows(r *reader, p *part, list chunkList) (chunker.Plain, error) {
	var state chunker.RowsState
	for {
		ends, err := list.piece()
		if errors.Is(err, io.EOF) {
			return state.Plain(), nil
		}
		if err != nil {
			return chunker.PlainChunk, nil
		}
		n := ends[len(ends)-1]
		w, err := r.next(p, p.file, n)
		if errors.Is(err, io.EOF) {
			return chunker.PlainChunk, nil
		}
		if err != nil {
			return "", err
		}
		if len(w.raw) < n {
			r.start(w, w.plain)
			return chunker.PlainChunk, nil
		}
		state = w.encoder.OpenRows(chunker.Piece{Raw: w.raw, Ends: ends}, list.rows, state)
		r.start(w, w.rows)
	}
}

func (s *spill) frame(w *coding) error {
	p, f := w.part, w.frame
	s.chunks += w.report.Chunks
	s.damaged += w.report.Damaged
	s.batch.result.NewBytes += int64(f.Raw)
	s.batch.u.progress.read(int64(f.Raw))
	if s.own != nil {
		ref, err := s.own.add(f)
		p.refs = append(p.refs, ref)
		return err
	}
	f.Data = bytes.Clone(f.Data) // the encoder's
	p.frames = append(p.frames, f)
	if s.held += len(f.Data); s.held < ownSet {
		return nil
	}
	s.own = s.batch.newPackSet(s.batch.u.buffers.get())
	for i := range s.parts {
		if err := s.parts[i].release(s.own); err != nil {
			return err
		}
	}
	return nil
}

// release moves the frames that were held back into set.
func (p *part) release(set *packSet) error {
	for _, f := range p.frames {
		ref, err := set.add(f)
		if err != nil {
			return err
		}
		p.refs = append(p.refs, ref)
	}
	p.frames = nil
	return nil
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
	for i := range s.parts {
		p := &s.parts[i]
		if err := p.release(set); err != nil {
			return err
		}
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
