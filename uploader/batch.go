package uploader

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// batch is one manifest in the making.
type batch struct {
	u      *Uploader
	ctx    context.Context // of the call that makes this manifest; ends with close
	cancel context.CancelFunc
	state  *manifest.State
	bundle *packSet // nil until something small comes
	keeps  []manifest.Keep
	at     map[pack.SetID]int // index into keeps
	tables map[sstable.Table]*manifest.Table
	result Result

	sending *errgroup.Group // packs
	sendCtx context.Context
}

func (u *Uploader) newBatch(ctx context.Context) (*batch, error) {
	if u.coders == nil {
		var err error
		if u.coders, err = newCoders(u.Encoders, u.CPU); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &batch{
		u: u, ctx: ctx, cancel: cancel, state: u.History.State(),
		at: map[pack.SetID]int{}, tables: map[sstable.Table]*manifest.Table{},
	}
	b.sending, b.sendCtx = errgroup.WithContext(ctx)
	b.sending.SetLimit(inFlight)
	return b, nil
}

// close ends what is still in flight and waits for it. What was sent and not committed stays in the
// bucket, unnamed.
func (b *batch) close() {
	b.cancel()
	_ = b.sending.Wait() // whoever needed it to succeed has asked
}

func (b *batch) empty() bool { return len(b.tables) == 0 }

func (b *batch) table(t sstable.Table) *manifest.Table {
	if b.tables[t] == nil {
		b.tables[t] = &manifest.Table{Table: t}
	}
	return b.tables[t]
}

func (b *batch) base(base *Base) *manifest.Table {
	t := b.table(base.Table)
	if t.Base == nil {
		t.Base = &manifest.Base{ID: base.ID, SchemaCQL: base.SchemaCQL, Final: base.Final}
	}
	return t
}

func (b *batch) complete(base Base) {
	t := b.base(&base)
	t.Base.Complete = true
	t.Proven = base.Proven
}

// add stores set, in base when that is not nil. Components that are durable in a pack set that reuse
// admits are referenced. It returns false, and notes the failure, when the set could not be read;
// an error is the bucket's.
func (b *batch) add(set sstable.SSTable, base *Base, reuse map[pack.SetID]bool) (bool, error) {
	if err := b.u.paused(set); err != nil {
		b.result.Failed = append(b.result.Failed, Failure{set, err})
		return false, b.ctx.Err()
	}
	source, err := openSet(set)
	if err != nil {
		b.result.Failed = append(b.result.Failed, Failure{set, err})
		return false, b.ctx.Err()
	}
	defer source.close()

	stored := manifest.SSTable{Index: set.Index, Stem: set.Stem, Facts: source.facts()}
	spill := &spill{batch: b, source: source, label: label(set), level: b.u.level(set, base == nil)}
	for i := range source.files {
		f := &source.files[i]
		c := manifest.Component{Name: f.Component, Size: f.Size, FS: f.FS, Inode: f.Inode, Mtime: f.Mtime}
		if st, known, ok := durable(b.state, set, f.File); ok && reuse[st.Set(known)] {
			c.Hash, c.List = known.Hash, known.List
			c.Set = b.keep(st.From.Keeps[known.Set])
		} else {
			spill.expect(f, i)
		}
		stored.Components = append(stored.Components, c)
	}
	if err := spill.store(); err != nil {
		if isBucket(err) || b.ctx.Err() != nil {
			return false, err
		}
		b.u.note(set, err)
		b.result.Failed = append(b.result.Failed, Failure{set, err})
		return false, nil // its own packs, if any went out, stay in the bucket without a name
	}
	b.u.note(set, nil)
	if err := spill.finish(stored.Components); err != nil {
		return false, err
	}
	if f, odd := spill.found(set); odd {
		b.result.Findings = append(b.result.Findings, f)
	}
	t := b.table(set.Table)
	if base != nil {
		t = b.base(base)
	}
	t.SSTables = append(t.SSTables, stored)
	b.result.SSTables++
	b.result.Files += len(stored.Components)
	b.result.Bytes += stored.Bytes()
	return true, nil
}

// supersede names a set without storing it.
func (b *batch) supersede(set sstable.SSTable) {
	t := b.table(set.Table)
	t.Superseded = append(t.Superseded, manifest.Unstored(set))
}

// cut ends chains. What lives on is stored already, and named once more.
func (b *batch) cut(cuts []Cut) {
	for _, c := range cuts {
		end := c.Cut
		for _, st := range c.Lives {
			again := st.SSTable
			again.Components = slices.Clone(st.Components)
			for i, component := range st.Components {
				again.Components[i].Set = b.keep(st.From.Keeps[component.Set])
			}
			end.Lives = append(end.Lives, again)
		}
		b.table(c.Table).Cut = &end
	}
}

// keep returns the place of k in the manifest's list.
func (b *batch) keep(k manifest.Keep) int {
	if i, ok := b.at[k.Set]; ok {
		return i
	}
	b.at[k.Set] = len(b.keeps)
	b.keeps = append(b.keeps, k)
	return len(b.keeps) - 1
}

// bundled returns the bundle, making it when something small comes for the first time.
func (b *batch) bundled() *packSet {
	if b.bundle == nil {
		b.bundle = b.newPackSet(nil)
		b.keep(b.bundle.keep(true))
	}
	return b.bundle
}

// commit waits until every pack is durable and then writes the manifest (I2).
func (b *batch) commit(kind manifest.Kind, body manifest.Body) error {
	if b.bundle != nil {
		if err := b.bundle.send(); err != nil {
			return err
		}
		b.keeps[b.at[b.bundle.id]] = b.bundle.keep(true)
	}
	if err := b.sending.Wait(); err != nil {
		return bucketError{err}
	}
	for _, t := range b.tables {
		body.Tables = append(body.Tables, *t)
	}
	slices.SortFunc(body.Tables, func(x, y manifest.Table) int { return manifest.CompareTables(x.Table, y.Table) })
	m, err := b.u.History.Commit(b.ctx, kind, b.keeps, body)
	if err != nil {
		return err
	}
	b.result.Puts++
	b.result.Manifests = append(b.result.Manifests, m)
	return nil
}

func label(set sstable.SSTable) string {
	return fmt.Sprintf("%s/%s/%s/%s", set.Table.Keyspace, set.Table.Dir(), set.Index, set.Stem)
}
