package backup

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// archive reads a node's objects as somebody would who has nothing else: no cache, no index, none of
// the code that wrote them or that restores them.
type archive struct {
	t         *testing.T
	bucket    bucket.Bucket
	manifests []*manifest.Manifest // all, from number 1
	sizes     map[string]int64     // of all objects
	contents  map[place]digest     // of components that were read and verified
	decoder   *chunker.Decoder
}

// place is where a component is.
type place struct {
	set  pack.SetID
	list pack.ListRef
}

func packName(set pack.SetID, n uint32) string { return prefix + pack.Name(set, n) }

// readArchive checks what can be checked of the objects as a whole: the numbers have no gaps, each
// manifest carries the checksum of the one before, every pack that is kept exists and has its size,
// every component can be read, and its bytes have its hash.
func readArchive(t *testing.T, b bucket.Bucket) *archive {
	t.Helper()
	a := &archive{t: t, bucket: b, sizes: map[string]int64{}, contents: map[place]digest{}, decoder: chunker.NewDecoder()}
	for o, err := range b.List(context.Background(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		a.sizes[o.Name] = o.Size
		if !strings.HasPrefix(o.Name, prefix+"manifests/") {
			continue
		}
		m, err := manifest.Decode(a.get(o.Name, 0, -1))
		if err != nil {
			t.Fatalf("%s: %v", o.Name, err)
		}
		a.manifests = append(a.manifests, m)
		if want := uint64(len(a.manifests)); m.Seq != want || o.Name != history.Name(prefix, want) {
			t.Fatalf("I4: %s holds manifest %d, want %d", o.Name, m.Seq, want)
		}
	}
	all := manifest.NewState()
	for _, m := range a.manifests {
		if m.Previous.IsZero() {
			all = manifest.NewStateAfter(m.Seq - 1)
		}
		if err := all.Apply(m); err != nil {
			t.Errorf("I4: %v", err)
		}
		a.check(m)
	}
	return a
}

func (a *archive) get(name string, off, n int64) []byte {
	b, err := a.bucket.Get(context.Background(), name, off, n)
	if err != nil {
		a.t.Fatalf("I2: %v", err)
	}
	return b
}

func (a *archive) check(m *manifest.Manifest) {
	for _, k := range m.Keeps {
		var bytes int64
		for n := range k.Packs {
			size, ok := a.sizes[packName(k.Set, n)]
			if !ok {
				a.t.Errorf("I2: manifest %d keeps %s, which is not there", m.Seq, packName(k.Set, n))
			}
			bytes += size
		}
		if bytes != k.Bytes || k.Packs == 0 {
			a.t.Errorf("manifest %d: set %s has %d bytes in %d packs, want %d", m.Seq, k.Set, bytes, k.Packs, k.Bytes)
		}
	}
	for _, t := range m.Body.Tables {
		for _, s := range t.SSTables {
			for _, c := range s.Components {
				a.content(m, c)
			}
		}
	}
}

// content reads a component, verifies it and returns the hash of what it holds.
func (a *archive) content(m *manifest.Manifest, c manifest.Component) digest {
	at := place{m.Keeps[c.Set].Set, c.List}
	if d, ok := a.contents[at]; ok {
		return d
	}
	raw, err := a.read(at)
	if err != nil || int64(len(raw)) != c.Size || chunker.Sum(raw) != c.Hash {
		a.t.Errorf("I6: manifest %d: %s has %d bytes with hash %s, want %d with %s (%v)", m.Seq, c.Name, len(raw), chunker.Sum(raw), c.Size, c.Hash, err)
	}
	a.contents[at] = sha256.Sum256(raw)
	return a.contents[at]
}

func (a *archive) read(at place) (raw []byte, err error) {
	list, err := pack.ParseList(a.get(packName(at.set, at.list.Pack), int64(at.list.Off), int64(at.list.Len)))
	if err != nil {
		return nil, err
	}
	for _, ref := range list {
		f, err := ref.Frame(a.get(packName(at.set, ref.Pack), int64(ref.Off), int64(ref.Len)))
		if err != nil {
			return nil, err
		}
		if raw, err = a.decoder.Decode(raw, f); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// state is what the history says up to entry seq, from no more entries than it claims to need.
func (a *archive) state(seq uint64) *manifest.State {
	a.t.Helper()
	s := manifest.NewState()
	for _, m := range a.manifests[a.manifests[seq-1].Base-1 : seq] {
		if err := s.Apply(m); err != nil {
			a.t.Fatal(err)
		}
	}
	return s
}

// rows are what a restore of every table at entry seq brings back. Bytes that the database never
// wrote as one SSTable are an error.
func (a *archive) rows(db *database, seq uint64) map[int]bool {
	a.t.Helper()
	found := map[int]bool{}
	s := a.state(seq)
	for _, t := range s.Tables() {
		for _, st := range s.Chain(t).SSTables {
			for _, c := range st.Components {
				got := a.content(st.From, c)
				if got != db.ever[inode{c.Inode, c.Size, c.Mtime}] {
					a.t.Errorf("I9: %s-%s at entry %d is not the file that was there", st.Stem, c.Name, st.From.Seq)
				}
				if c.Name == sstable.Data {
					for _, r := range db.holds[got] {
						found[r] = true
					}
				}
			}
		}
	}
	return found
}

// files are the contents of every file that some manifest names.
func (a *archive) files() map[inode]digest {
	stored := map[inode]digest{}
	for _, m := range a.manifests {
		for _, t := range m.Body.Tables {
			for _, s := range t.SSTables {
				for _, c := range s.Components {
					stored[inode{c.Inode, c.Size, c.Mtime}] = a.content(m, c)
				}
			}
		}
	}
	return stored
}

// check is what must hold of every life, however it went.
func (w *world) check() *archive {
	w.t.Helper()
	w.guard.verifyTree()
	a := readArchive(w.t, w.store)
	for _, p := range w.points {
		a.wantRows(w.db, p.seq, p.rows)
	}
	stored := a.files()
	for id, path := range w.guard.pruned {
		if stored[id] != w.db.ever[id] {
			w.t.Errorf("I8: %s was unlinked, and what the bucket has is not the same", path)
		}
	}
	return a
}

func (a *archive) wantRows(db *database, seq uint64, want map[int]bool) {
	a.t.Helper()
	if missing := lacks(a.rows(db, seq), want); len(missing) > 0 {
		a.t.Errorf("I10: a restore of entry %d lacks rows %v", seq, missing)
	}
}

func lacks(have, want map[int]bool) (missing []int) {
	for r := range want {
		if !have[r] {
			missing = append(missing, r)
		}
	}
	return missing
}

// trace is the names of a run's operations, ids that are drawn at random by letters in order of
// their appearance.
func trace(ops []string) string {
	names := map[string]string{}
	var b strings.Builder
	for _, op := range ops {
		op = strings.ReplaceAll(op, prefix, "")
		if _, name, ok := strings.Cut(op, "packs/"); ok {
			id, _, _ := strings.Cut(name, "-")
			if names[id] == "" {
				names[id] = fmt.Sprintf("%c", 'a'+len(names))
			}
			op = strings.Replace(op, id, names[id], 1)
		}
		fmt.Fprintln(&b, op)
	}
	return b.String()
}
