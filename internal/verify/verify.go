// Package verify compares a node's objects in the bucket with its history: presence and sizes of all,
// or every byte of some.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/manifest"
)

// Problem is an object that is not what the history says.
type Problem struct {
	Object  string   `json:"object"`
	What    string   `json:"what"`
	Affects []string `json:"affects"` // "KS.T", or points
}

// Scrub is one comparison. Shallow comes first, then Deep may follow. It is for one goroutine.
type Scrub struct {
	Source *history.Reader
	// Progress is told how far it has come, in manifests read or bytes decoded; nil for nobody.
	Progress func(what string, done, total int64)

	Manifests  int       // that could be read
	Problems   []Problem // in the order in which they were found
	Objects    int       // that the history names, and that are there
	Bytes      int64     // of these
	Stray      int       // packs that no manifest names
	StrayBytes int64

	sets map[pack.SetID]*kept
}

// kept is a pack set that some manifest keeps alive.
type kept struct {
	manifest.Keep
	tables map[string]bool // "KS.T"
	lists  lists
	sizes  map[uint32]int64 // of the packs that are there
}

// scrubReaders is how many objects are read at a time.
const scrubReaders = 4

func (s *Scrub) report(affects []string, object, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{object, fmt.Sprintf(format, args...), affects})
}

func (s *Scrub) show(what string, done, total int64) {
	if s.Progress != nil {
		s.Progress(what, done, total)
	}
}

// Shallow reads every manifest, and compares presence and sizes of every pack that one of them keeps
// alive. An error means that the bucket could not be asked.
func (s *Scrub) Shallow(ctx context.Context) error {
	s.sets = map[pack.SetID]*kept{}
	seqs, err := s.entries(ctx)
	if err != nil {
		return err
	}
	var previous *manifest.Manifest
	for batch := range slices.Chunk(seqs, scrubReaders) {
		ms, err := s.read(ctx, batch)
		if err != nil {
			return err
		}
		for _, m := range ms {
			s.follow(previous, m)
			previous = m
		}
		s.show("manifests", int64(s.Manifests), int64(len(seqs)))
	}
	if err := s.packs(ctx); err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.sets), compareSets) {
		s.compare(s.sets[id])
	}
	return nil
}

func compareSets(a, b pack.SetID) int { return cmp.Compare(a.String(), b.String()) }

// entries lists the numbers of the history, and reports holes in it.
func (s *Scrub) entries(ctx context.Context) ([]uint64, error) {
	var seqs []uint64
	for e, err := range s.Source.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		s.Objects++
		s.Bytes += e.Size
		seqs = append(seqs, e.Seq)
	}
	if len(seqs) == 0 {
		return nil, fmt.Errorf("%s: %w", s.Source.Prefix, history.ErrEmpty)
	}
	for i, seq := range seqs[1:] {
		switch missing := seqs[i] + 1; seq - missing {
		case 0:
		case 1:
			s.report(pointsFrom(missing), history.Name(s.Source.Prefix, missing), "missing")
		default:
			s.report(pointsFrom(missing), history.Name(s.Source.Prefix, missing), "missing, and all up to %d", seq-1)
		}
	}
	return seqs, nil
}

func pointsFrom(from uint64) []string {
	return []string{fmt.Sprintf("points from %d to the next full", from)}
}

// read reads entries; those that are damaged are reported, and nil.
func (s *Scrub) read(ctx context.Context, seqs []uint64) ([]*manifest.Manifest, error) {
	ms := make([]*manifest.Manifest, len(seqs))
	damage := make([]error, len(seqs))
	g, ctx := errgroup.WithContext(ctx)
	for i, seq := range seqs {
		g.Go(func() (err error) {
			ms[i], err = s.Source.Manifest(ctx, seq)
			if errors.Is(err, history.ErrDamaged) || errors.Is(err, manifest.ErrNewer) {
				damage[i], err = err, nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, err := range damage {
		if err != nil {
			s.report(pointsFrom(seqs[i]), history.Name(s.Source.Prefix, seqs[i]), "%v", err)
		}
	}
	return ms, nil
}

// follow takes over what a manifest keeps alive. nil is one that could not be read.
func (s *Scrub) follow(previous, m *manifest.Manifest) {
	if m == nil {
		return
	}
	s.Manifests++
	anew := m.Kind == manifest.Open && m.Previous.IsZero()
	if previous != nil && m.Seq == previous.Seq+1 && m.Previous != previous.Sum && !anew {
		s.report(pointsFrom(m.Seq), history.Name(s.Source.Prefix, m.Seq), "does not follow manifest %d", previous.Seq)
	}
	for _, k := range m.Keeps {
		if s.sets[k.Set] == nil {
			s.sets[k.Set] = &kept{Keep: k, tables: map[string]bool{}, lists: lists{}, sizes: map[uint32]int64{}}
		}
	}
	for _, t := range m.Body.Tables {
		for _, sst := range t.SSTables {
			for _, c := range sst.Components {
				k := s.sets[m.Keeps[c.Set].Set]
				k.tables[t.Keyspace+"."+t.Name] = true
				if c.Size > 0 {
					k.lists[c.List] = c.Size
				}
			}
		}
	}
}

// packs lists what is there.
func (s *Scrub) packs(ctx context.Context) error {
	for o, err := range s.Source.Bucket.List(ctx, s.Source.Prefix+pack.Prefix, "") {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, number, err := pack.ParseName(strings.TrimPrefix(o.Name, s.Source.Prefix))
		k := s.sets[id]
		if err != nil || k == nil || number >= k.Packs {
			s.Stray++
			s.StrayBytes += o.Size
			continue
		}
		s.Objects++
		s.Bytes += o.Size
		k.sizes[number] = o.Size
	}
	return nil
}

// compare reports the packs of a set that are missing, or not as long as they were. How many the set
// has is what some manifest claims: it costs nothing to claim four billion.
func (s *Scrub) compare(k *kept) {
	var first uint32
	for k.there(first) {
		first++
	}
	var bytes int64
	for _, n := range k.sizes {
		bytes += n
	}
	switch missing := int64(k.Packs) - int64(len(k.sizes)); {
	case missing > 1:
		s.report(k.affects(), s.name(k, first), "missing, and %d more of the set's %d packs", missing-1, k.Packs)
	case missing == 1:
		s.report(k.affects(), s.name(k, first), "missing")
	case bytes != k.Bytes:
		s.report(k.affects(), s.name(k, 0), "the set's %d packs have %d bytes, not %d", k.Packs, bytes, k.Bytes)
	}
}

func (k *kept) there(number uint32) bool {
	_, ok := k.sizes[number]
	return ok
}

func (k *kept) affects() []string { return slices.Sorted(maps.Keys(k.tables)) }

func (s *Scrub) name(k *kept, number uint32) string {
	return s.Source.Prefix + pack.Name(k.Set, number)
}

// Target is a pack to be read.
type Target struct {
	Name string // of the object
	Size int64

	*kept
	number uint32
}

// Targets are all packs that are there, by name.
func (s *Scrub) Targets() []Target {
	var all []Target
	for _, k := range s.sets {
		for number, size := range k.sizes {
			all = append(all, Target{s.name(k, number), size, k, number})
		}
	}
	slices.SortFunc(all, func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Deep reads packs whole and decodes every frame in them. It tells fine of every pack that is right.
func (s *Scrub) Deep(ctx context.Context, targets []Target, fine func(name string)) error {
	var total, read int64
	for _, t := range targets {
		total += t.Size
	}
	var mu sync.Mutex // s.Problems, fine, read
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(scrubReaders)
	for _, t := range targets {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			damage, err := s.pack(ctx, t)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if damage != nil {
				s.report(t.affects(), t.Name, "%v", damage)
			} else {
				fine(t.Name)
			}
			read += t.Size
			s.show("bytes", read, total)
			return nil
		})
	}
	return g.Wait()
}

// pack reads one pack. damage is what is wrong with it, err why nobody can tell.
func (s *Scrub) pack(ctx context.Context, t Target) (damage, err error) {
	object, err := s.Source.Bucket.Get(ctx, t.Name, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("missing"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.Name, err)
	}
	p, err := pack.Open(object)
	if err != nil {
		return err, nil
	}
	if p.Set != t.Set || p.Number != t.number {
		return fmt.Errorf("holds pack %d of set %s", p.Number, p.Set), nil
	}
	return errors.Join(t.lists.check(p), decode(p)), nil
}

// lists are the sizes of files, by where their frame lists are.
type lists map[pack.ListRef]int64

// check finds every list that is in p, and compares what its frames add up to.
func (l lists) check(p *pack.Pack) error {
	there := map[pack.ListRef]int64{}
	for _, in := range p.Lists {
		for _, f := range in.Frames {
			there[in.Ref] += int64(f.Raw)
		}
	}
	for ref, want := range l {
		if got, ok := there[ref]; ref.Pack == p.Number && (!ok || got != want) {
			return fmt.Errorf("the frame list at %d is of %d bytes, not %d", ref.Off, got, want)
		}
	}
	return nil
}

// decode verifies every frame of p against its hash.
func decode(p *pack.Pack) error {
	decoder := chunker.NewDecoder()
	var raw []byte
	for _, ref := range p.Frames {
		f, err := p.Frame(ref)
		if err == nil {
			raw, err = decoder.Decode(raw[:0], f)
		}
		if err != nil {
			return fmt.Errorf("frame at %d: %w", ref.Off, err)
		}
	}
	return nil
}
