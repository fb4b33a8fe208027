package commitlog

import (
	"context"
	"fmt"
)

// maxPiece is how many bytes of segments go into one piece: they pass through memory.
const maxPiece = 8 << 20

// maxNamed is how many segments a piece names as its parts, and as going on: its header is bounded. They
// are those with the lowest ids. Others are taken up from their beginning by who goes on.
const maxNamed = 1000

// ship puts what is new, in as few pieces as possible. What is proven by a look, its last piece says.
func (t *tailing) ship(ctx context.Context, all []*segment, r *Report) error {
	for {
		for {
			if t.pending == nil {
				var err error
				if t.pending, err = t.compose(&t.stretches[0], all); err != nil {
					return err
				}
				if t.pending == nil {
					break
				}
			}
			stored, size, err := t.writer.put(ctx, t.pending)
			if err != nil {
				return err
			}
			r.Pieces, r.Raw, r.Stored = r.Pieces+1, r.Raw+stored.raw(), r.Stored+size
			t.account(stored, all)
		}
		if len(t.stretches) == 1 {
			if g := t.current(); !g.until.IsZero() {
				t.proven = *g
			}
			return nil
		}
		t.stretches = t.stretches[1:]
	}
}

// compose makes the next piece of a stretch; nil when there is nothing to say.
func (t *tailing) compose(g *going, all []*segment) (*pending, error) {
	p := &pending{piece: Piece{First: g.first, Looked: g.looked, Read: g.read, Since: g.since, Until: g.stored}}
	if g.first == 0 {
		p.piece.Why = g.why
	}
	for _, s := range all {
		n := min(s.news(), int64(maxPiece-len(p.raw)))
		if n == 0 || len(p.piece.Parts) == maxNamed {
			continue
		}
		at := len(p.raw)
		p.raw = append(p.raw, make([]byte, n)...)
		if _, err := s.file.ReadAt(p.raw[at:], s.sent); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.Name, err)
		}
		part := Part{Segment: s.String(), From: s.sent, To: s.sent + n, First: s.first}
		if !s.header.Grows() {
			part.Size = s.size
		}
		p.piece.Parts = append(p.piece.Parts, part)
	}
	if !t.due(g, p) {
		return nil, nil
	}
	t.hand(p, all)
	left := int64(0)
	for _, s := range all {
		left += s.news()
		if len(p.piece.Going) == maxNamed {
			continue
		}
		if going, ok := s.going(all); ok {
			p.piece.Going = append(p.piece.Going, going)
		}
	}
	if left == 0 && g.until.After(g.stored) {
		p.piece.Until = g.until
	}
	return p, nil
}

// due tells whether a piece is worth a PUT.
func (t *tailing) due(g *going, p *pending) bool {
	return len(p.raw) > 0 || g.first == 0 ||
		g.until.After(g.stored) && (t.ending || len(t.stretches) > 1 || t.now().run-t.put >= beat)
}

// hand takes the bytes of a piece for sent: from now on it is put until it is stored.
func (t *tailing) hand(p *pending, all []*segment) {
	raw := p.raw
	for _, part := range p.piece.Parts {
		for _, s := range all {
			if s.String() == part.Segment {
				s.sum.Write(raw[:part.To-part.From])
				s.sent = part.To
			}
		}
		raw = raw[part.To-part.From:]
	}
}

// account takes over what the stored piece says.
func (t *tailing) account(stored Piece, all []*segment) {
	for _, part := range stored.Parts {
		for _, s := range all {
			if s.String() == part.Segment {
				s.first = part.First
			}
		}
	}
	g := &t.stretches[0]
	g.first, g.stored = stored.First, stored.Until
	t.put, t.pending = t.now().run, nil
}
