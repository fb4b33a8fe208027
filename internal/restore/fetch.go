package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/pack"
)

// target is one file to be placed.
type target struct {
	*File
	set     Set
	path    string // below the directory restored to
	table   int    // index into Plan.Tables
	sstable *SSTable
	// lost: it is damaged; what is still to come of it is not worth fetching.
	lost atomic.Bool
}

// fetcher reads frames. Its methods may be used concurrently.
type fetcher struct {
	bucket   bucket.Bucket
	prefix   string
	gets     int // at a time
	decoders chan *chunker.Decoder
	fetched  atomic.Int64
}

// newFetcher returns a fetcher that decodes on all cores: more decoders would only take memory.
func newFetcher(b bucket.Bucket, prefix string, gets int) *fetcher {
	n := min(gets, runtime.GOMAXPROCS(0))
	f := &fetcher{bucket: b, prefix: prefix, gets: gets, decoders: make(chan *chunker.Decoder, n)}
	for range n {
		f.decoders <- chunker.NewDecoder()
	}
	return f
}

// parcel is the content of one frame, or of an empty file; or err, which is damage in object.
type parcel struct {
	target *target
	first  bool // of the file
	last   bool
	data   []byte
	object string
	err    error
}

// slot is what one GET needs. There are as many as GETs at a time, so they bound the memory.
type slot struct{ raw []byte }

// job is a request on its way, or parcels that need none.
type job struct {
	slot    *slot
	done    chan struct{} // closed when parcels or err are there
	parcels []parcel
	err     error
}

// each calls fn with the parcels of targets, in the order of the targets and of their bytes, one at
// a time. fn must not keep their data. Damage is in the parcels; a returned error ends everything.
func (f *fetcher) each(ctx context.Context, targets []*target, fn func(parcel) error) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *job, f.gets)
	slots := make(chan *slot, f.gets)
	for range f.gets {
		slots <- &slot{}
	}
	start := func(r request, ready []parcel) error {
		j := &job{done: make(chan struct{}), parcels: ready}
		select {
		case j.slot = <-slots:
		case <-ctx.Done():
			return ctx.Err()
		}
		jobs <- j // never waits: there is room for every slot
		g.Go(func() error {
			defer close(j.done)
			if len(r.pieces) > 0 {
				j.parcels, j.err = f.frames(ctx, r, j.slot)
			}
			return j.err
		})
		return nil
	}
	g.Go(func() error {
		defer close(jobs)
		return f.produce(ctx, targets, start)
	})
	g.Go(func() error {
		for j := range jobs {
			<-j.done
			if err := cmp.Or(j.err, ctx.Err()); err != nil {
				return err
			}
			for _, p := range j.parcels {
				if err := fn(p); err != nil {
					return err
				}
			}
			slots <- j.slot
		}
		return nil
	})
	return g.Wait()
}

// produce reads frame lists and calls start with the requests that they lead to, in order.
func (f *fetcher) produce(ctx context.Context, targets []*target, start func(request, []parcel) error) error {
	p := producer{start: start}
	for _, w := range windows(targets) {
		lists, err := f.lists(ctx, w)
		if err != nil {
			return err
		}
		for _, u := range units(w) {
			if err := p.unit(u, lists[u.file], lists[u.index]); err != nil {
				return err
			}
		}
	}
	return p.flush()
}

// producer joins the frames of files to requests.
type producer struct {
	start func(request, []parcel) error
	next  request
}

// unit adds the frames of a file, each with that of the index in the same stored bytes: so these are
// fetched, and their rows decoded, once. What is left of the index comes last.
func (p *producer) unit(u unit, l, ofIndex frameList) error {
	if err := p.empty(u.file, l); err != nil {
		return err
	}
	index := pieces(u.index, ofIndex)
	for _, c := range pieces(u.file, l) {
		if err := p.add(c); err != nil {
			return err
		}
		for len(index) > 0 && index[0].frame.SharesWith(c.frame) {
			if err := p.add(index[0]); err != nil {
				return err
			}
			index = index[1:]
		}
	}
	for _, c := range index {
		if err := p.add(c); err != nil {
			return err
		}
	}
	if u.index == nil {
		return nil
	}
	return p.empty(u.index, ofIndex)
}

// empty tells of a file without frames, or without a list of them.
func (p *producer) empty(t *target, l frameList) error {
	if t.Size > 0 && l.err == nil {
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.start(request{}, []parcel{{target: t, first: true, last: true, object: l.object, err: l.err}})
}

// pieces are the frames of t, if there is a list of them.
func pieces(t *target, l frameList) []piece {
	if l.err != nil {
		return nil
	}
	pieces := make([]piece, len(l.frames))
	for i, frame := range l.frames {
		pieces[i] = piece{target: t, frame: frame, first: i == 0, last: i == len(l.frames)-1}
	}
	return pieces
}

// add puts c into the next request, after starting that when there is no room for c.
func (p *producer) add(c piece) error {
	if c.target.lost.Load() || p.next.add(c) {
		return nil
	}
	err := p.flush()
	p.next.add(c)
	return err
}

func (p *producer) flush() error {
	full := p.next
	p.next = request{}
	if len(full.pieces) == 0 {
		return nil
	}
	return p.start(full, nil)
}

// frameList is what was found where a target's frame list should be.
type frameList struct {
	frames []pack.FrameRef
	object string
	err    error // damage
}

// lists fetches the frame lists of targets.
func (f *fetcher) lists(ctx context.Context, targets []*target) (map[*target]frameList, error) {
	requests := listRequests(targets)
	found := make([][]frameList, len(requests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.gets)
	for i, r := range requests {
		g.Go(func() (err error) {
			found[i], err = f.listsOf(ctx, r)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	lists := make(map[*target]frameList, len(targets))
	for i, r := range requests {
		for k, t := range r.targets {
			lists[t] = found[i][k]
		}
	}
	return lists, nil
}

func (f *fetcher) listsOf(ctx context.Context, r *listRequest) ([]frameList, error) {
	whole, err := f.get(ctx, r.span)
	if err != nil && !isDamage(err) {
		return nil, err
	}
	found := make([]frameList, len(r.targets))
	for i, t := range r.targets {
		at := span{t.set.ID, t.List.Pack, int64(t.List.Off), int64(t.List.Off) + int64(t.List.Len)}
		l := &found[i]
		l.object = f.name(at)
		l.err = f.twice(ctx, r.span, at, whole, err, func(stored []byte) (err error) {
			if l.frames, err = pack.ParseList(stored); err != nil {
				return err
			}
			return t.check(l.frames)
		})
		if l.err != nil && !isDamage(l.err) {
			return nil, l.err
		}
	}
	return found, nil
}

// frames fetches and decodes what r asks for. The parcels' data are s's.
func (f *fetcher) frames(ctx context.Context, r request, s *slot) ([]parcel, error) {
	whole, err := f.get(ctx, r.span)
	if err != nil && !isDamage(err) {
		return nil, err
	}
	decoder := <-f.decoders
	defer func() { f.decoders <- decoder }()
	parcels := make([]parcel, 0, len(r.pieces))
	s.raw = slices.Grow(s.raw[:0], int(r.raw)) // so that it stays where it is
	for _, p := range r.pieces {
		at := span{p.target.set.ID, p.frame.Pack, int64(p.frame.Off), int64(p.frame.Off) + int64(p.frame.Len)}
		before := len(s.raw)
		damage := f.twice(ctx, r.span, at, whole, err, func(stored []byte) error {
			frame, err := p.frame.Frame(stored)
			if err != nil {
				return err
			}
			s.raw, err = decoder.Decode(s.raw, frame)
			return err
		})
		if damage != nil && !isDamage(damage) {
			return nil, damage
		}
		if damage != nil {
			p.target.lost.Store(true)
		}
		parcels = append(parcels, parcel{
			target: p.target, first: p.first, last: p.last,
			data: s.raw[before:], object: f.name(at), err: damage,
		})
	}
	return parcels, nil
}

// twice calls use with the bytes at, which are part of whole, and if those can't be used once more
// with what a GET of their own returns: what was damaged on the way is not damaged in the bucket, and
// of a pack that is cut short the beginning is still good. getErr is why there is no whole.
func (f *fetcher) twice(ctx context.Context, of, at span, whole []byte, getErr error, use func([]byte) error) error {
	if errors.Is(getErr, fs.ErrNotExist) {
		return getErr
	}
	if getErr == nil {
		if err := use(whole[at.off-of.off : at.end-of.off]); err == nil {
			return nil
		}
	}
	alone, err := f.get(ctx, at)
	if err != nil {
		return err
	}
	return use(alone)
}

func (f *fetcher) name(s span) string { return f.prefix + pack.Name(s.set, s.pack) }

func (f *fetcher) get(ctx context.Context, s span) ([]byte, error) {
	b, err := f.bucket.Get(ctx, f.name(s), s.off, s.end-s.off)
	f.fetched.Add(int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.name(s), err)
	}
	return b, nil
}

// isDamage tells what is wrong with the backup from what keeps us from reading it.
func isDamage(err error) bool {
	if errors.Is(err, bucket.ErrUnreachable) || errors.Is(err, bucket.ErrDenied) {
		return false
	}
	return errors.Is(err, chunker.ErrCorrupt) || errors.Is(err, chunker.ErrUnsupported) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF)
}
