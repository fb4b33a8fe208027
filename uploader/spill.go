package uploader

import (
	"bytes"
	"errors"
	"io"
	"slices"

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
	name   sstable.Name
	label  string
	held   int
	parts  []part
	own    *packSet
}

// part is one component on its way: the frames held back, or the places of those sent.
type part struct {
	component int // index into the SSTable's components
	name      string
	hash      chunker.Hash
	size      int64
	frames    []chunker.Frame
	refs      []pack.FrameRef
}

// component reads f to its end.
func (s *spill) component(f *file, index int) error {
	s.parts = append(s.parts, part{component: index, name: f.Component})
	p := &s.parts[len(s.parts)-1]
	hash := chunker.NewHasher()
	in := io.TeeReader(f, hash)
	if f.Component == sstable.Data {
		if err := s.data(p, in); err != nil {
			return err
		}
	}
	if err := s.bytes(p, in); err != nil {
		return err
	}
	p.hash = hash.Sum()
	return f.unchanged(p.size)
}

// bytes makes frames of what is left in in.
func (s *spill) bytes(p *part, in io.Reader) error {
	u := s.batch.u
	u.frame = slices.Grow(u.frame[:0], chunker.FrameSize)[:chunker.FrameSize]
	for {
		n, err := io.ReadFull(in, u.frame)
		if n > 0 {
			f, err := u.encoder.Encode(u.frame[:n])
			if err != nil {
				return err
			}
			if err := s.frame(p, f); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// data makes frames of the chunks of a Data.db, as long as they are where CompressionInfo.db says.
// What it leaves in in is like any other file.
func (s *spill) data(p *part, in io.Reader) error {
	list, ok := s.source.chunked(s.name)
	if !ok {
		return nil
	}
	u := s.batch.u
	var state chunker.RowsState
	for n, err := list.piece(); err == nil; n, err = list.piece() {
		u.frame = slices.Grow(u.frame[:0], n)[:n]
		if _, err := io.ReadFull(in, u.frame); err != nil {
			return err // even at its end: it was longer when the list was read
		}
		state = u.encoder.OpenRows(chunker.Piece{Raw: u.frame, Ends: list.ends}, list.rows, state)
		f, err := u.encoder.EncodeRows()
		if err != nil {
			return err
		}
		if err := s.frame(p, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) frame(p *part, f chunker.Frame) error {
	p.size += int64(f.Raw)
	s.batch.result.NewBytes += int64(f.Raw)
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
	s.own = s.batch.newPackSet()
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
		c.Hash, c.Size = p.hash, p.size
		set.list(c, s.label+"-"+p.name, p.refs)
	}
	if s.own != nil {
		if err := s.own.close(); err != nil {
			return err
		}
		s.batch.keep(s.own.keep(false))
	}
	for i := range s.parts {
		components[s.parts[i].component].Set = s.batch.at[set.id]
	}
	return nil
}

// abandon gives up an SSTable that could not be read to its end. Its own packs, if any went out,
// stay in the bucket without a name.
func (s *spill) abandon() error {
	if s.own == nil {
		return nil
	}
	if err := s.own.sending.Wait(); err != nil {
		return bucketError{err}
	}
	return nil
}
