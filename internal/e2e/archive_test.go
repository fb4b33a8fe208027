package e2e

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// archive is what a bucket holds of one node, read with the decoders of the formats and with nothing
// of what writes, plans or restores.
type archive struct {
	prefix    string
	objects   map[string]bucket.Object
	manifests []*manifest.Manifest // by number, from 1
	packs     map[string]*pack.Pack
	decoded   map[place]content
	decoder   *chunker.Decoder
}

// place is where a component is stored.
type place struct {
	set  pack.SetID
	list pack.ListRef
}

type content struct {
	hash chunker.Hash
	size int64
}

// readArchive reads a bucket that holds one node, all of it. Everything that must not be in it is an
// error: see the checks.
func readArchive(ctx context.Context, url string) (*archive, error) {
	b, err := bucketurl.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	a := &archive{
		objects: map[string]bucket.Object{}, packs: map[string]*pack.Pack{},
		decoded: map[place]content{}, decoder: chunker.NewDecoder(),
	}
	err = a.read(ctx, b)
	for _, check := range []func() error{a.checkNumbers, a.checkReferences, a.checkContents, a.checkOnce} {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return a, nil
}

// archived is readArchive for a test that can't go on without.
func archived(t *testing.T, url string) *archive {
	t.Helper()
	a, err := readArchive(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the bucket holds %d manifests, %v, and %d packs, %d of them unnamed", len(a.manifests), a.counts(), len(a.packs), a.unnamed())
	return a
}

// read decodes every object, whether something refers to it or not (I1: whole).
func (a *archive) read(ctx context.Context, b bucket.Bucket) error {
	for o, err := range b.List(ctx, "", "") {
		if err != nil {
			return err
		}
		data, err := b.Get(ctx, o.Name, 0, -1)
		if err != nil {
			return err
		}
		if err := a.add(o, data); err != nil {
			return fmt.Errorf("%s: %w", o.Name, err)
		}
	}
	return nil
}

func (a *archive) add(o bucket.Object, data []byte) error {
	parts := strings.SplitAfterN(o.Name, "/", 3)
	if len(parts) < 3 {
		return fmt.Errorf("belongs to no node")
	}
	prefix, name := parts[0]+parts[1], parts[2]
	if a.prefix == "" {
		a.prefix = prefix
	}
	if prefix != a.prefix {
		return fmt.Errorf("belongs to another node than %s", a.prefix)
	}
	a.objects[name] = o
	switch path.Dir(name) {
	case "manifests":
		m, err := manifest.Decode(data)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("manifests/%010d", m.Seq); name != want {
			return fmt.Errorf("holds %s", want)
		}
		a.manifests = append(a.manifests, m)
		return nil
	case "packs":
		p, err := pack.Open(data)
		if err != nil {
			return err
		}
		if pack.Name(p.Set, p.Number) != name {
			return fmt.Errorf("holds %s", pack.Name(p.Set, p.Number))
		}
		a.packs[name] = p
		return nil
	case "log": // commitlog.Read and Fetch read it
		return nil
	}
	return fmt.Errorf("is of no known kind")
}

// checkNumbers: the history has no gaps, and is one chain of hashes (I4).
func (a *archive) checkNumbers() error {
	previous := chunker.Hash{}
	for i, m := range a.manifests { // a listing is in order
		if m.Seq != uint64(i)+1 || m.Previous != previous {
			return fmt.Errorf("manifest %d stands in place %d and says that %s comes before, where %s does", m.Seq, i+1, m.Previous, previous)
		}
		previous = m.Sum
	}
	return nil
}

// checkReferences: what a manifest keeps alive was there before it (I2).
func (a *archive) checkReferences() error {
	for _, m := range a.manifests {
		at := a.objects[fmt.Sprintf("manifests/%010d", m.Seq)].Created
		for _, k := range m.Keeps {
			var size int64
			for n := range k.Packs {
				o, ok := a.objects[pack.Name(k.Set, n)]
				if !ok || o.Created.After(at) {
					return fmt.Errorf("manifest %d of %s refers to pack %d of set %s, which is missing or younger (%s)", m.Seq, at, n, k.Set, o.Created)
				}
				size += o.Size
			}
			if size != k.Bytes {
				return fmt.Errorf("manifest %d: set %s has %d bytes, want %d", m.Seq, k.Set, size, k.Bytes)
			}
		}
	}
	return nil
}

// checkContents: every component of every manifest is stored, byte for byte (I6).
func (a *archive) checkContents() error {
	for _, m := range a.manifests {
		for _, t := range m.Body.Tables {
			for _, s := range t.SSTables {
				for _, c := range s.Components {
					got, err := a.content(place{m.Keeps[c.Set].Set, c.List})
					if err != nil || got != (content{c.Hash, c.Size}) {
						return fmt.Errorf("manifest %d: %s %s %s-%s: %v, want %s and %d bytes: %w", m.Seq, t.Keyspace, t.Dir(), s.Stem, c.Name, got, c.Hash, c.Size, err)
					}
				}
			}
		}
	}
	return nil
}

func (a *archive) content(at place) (content, error) {
	if known, ok := a.decoded[at]; ok {
		return known, nil
	}
	lists := a.packs[pack.Name(at.set, at.list.Pack)]
	if lists == nil {
		return content{}, fmt.Errorf("pack %d of set %s is missing", at.list.Pack, at.set)
	}
	i := slices.IndexFunc(lists.Lists, func(l pack.List) bool { return l.Ref == at.list })
	if i < 0 {
		return content{}, fmt.Errorf("no frame list there")
	}
	h := chunker.NewHasher()
	var raw []byte
	size := int64(0)
	for _, ref := range lists.Lists[i].Frames {
		p := a.packs[pack.Name(at.set, ref.Pack)]
		if p == nil {
			return content{}, fmt.Errorf("pack %d of set %s is missing", ref.Pack, at.set)
		}
		frame, err := p.Frame(ref)
		if err != nil {
			return content{}, err
		}
		if raw, err = a.decoder.Decode(raw[:0], frame); err != nil {
			return content{}, err
		}
		h.Write(raw)
		size += int64(len(raw))
	}
	a.decoded[at] = content{h.Sum(), size}
	return a.decoded[at], nil
}

// checkOnce: no SSTable is in two increments. A full may refer to what an increment holds.
func (a *archive) checkOnce() error {
	type identity struct {
		table       sstable.Table
		index, stem string
		data        chunker.Hash
	}
	seen := map[identity]uint64{}
	for _, m := range a.manifests {
		if m.Kind != manifest.Increment {
			continue
		}
		for _, t := range m.Body.Tables {
			for _, s := range t.SSTables {
				data, _ := s.Component(sstable.Data)
				id := identity{t.Table, s.Index, s.Stem, data.Hash}
				if first, twice := seen[id]; twice {
					return fmt.Errorf("%s %s %s is in increments %d and %d", t.Keyspace, t.Dir(), s.Stem, first, m.Seq)
				}
				seen[id] = m.Seq
			}
		}
	}
	return nil
}

// counts are the manifests of each kind.
func (a *archive) counts() map[manifest.Kind]int {
	n := map[manifest.Kind]int{}
	for _, m := range a.manifests {
		n[m.Kind]++
	}
	return n
}

// unnamed counts the packs that no manifest refers to: what killed uploads leave.
func (a *archive) unnamed() int {
	named := map[pack.SetID]bool{}
	for _, m := range a.manifests {
		for _, k := range m.Keeps {
			named[k.Set] = true
		}
	}
	n := 0
	for _, p := range a.packs {
		if !named[p.Set] {
			n++
		}
	}
	return n
}

func (a *archive) packNames() []string { return slices.Sorted(maps.Keys(a.packs)) }

// holds tells whether the history stores a file of that content for the SSTable that a path names:
// one below a data directory, or below a directory restored to.
func (a *archive) holds(rel string, hash chunker.Hash) bool {
	table, index, name := parsePath(rel)
	for _, m := range a.manifests {
		for _, t := range m.Body.Tables {
			if t.Table != table {
				continue
			}
			for _, s := range t.SSTables {
				c, ok := s.Component(name.Component)
				if ok && s.Index == index && s.Stem == name.Stem && c.Hash == hash {
					return true
				}
			}
		}
	}
	return false
}

func (a *archive) hostID() string { return path.Base(a.prefix) }

// increments tells whether a table has got one after entry seq.
func (a *archive) increments(keyspace, table string, seq uint64) bool {
	for _, m := range a.manifests {
		if m.Kind != manifest.Increment || m.Seq <= seq {
			continue
		}
		for _, t := range m.Body.Tables {
			if t.Keyspace == keyspace && t.Name == table && len(t.SSTables) > 0 {
				return true
			}
		}
	}
	return false
}
