// Package uploader puts SSTables in and gets a durable manifest out.
//
// The order is always the same (I2): frames go into packs, packs into the bucket, and only when the
// last pack is durable does the manifest that names them. Until then nothing refers to them, and a
// process that dies leaves objects that no manifest names.
//
// An SSTable whose stored form reaches 8 MiB gets a pack set of its own. Smaller ones share the
// bundle of their manifest, so that a commit of many small flushes is two PUTs. What is durable
// already is referenced, not read again; a bundle of which less than half is still wanted is not
// referenced, so that old bundles don't stay alive for a few files.
//
// Index.db is read beside Data.db, for the rows of a Data.db make most Index.db again: see package
// chunker.
package uploader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

const (
	// packTarget is how large a pack grows. Memory holds the one being filled and those in flight.
	packTarget = 16 << 20
	// ownSet is the stored size from which an SSTable has its own pack set.
	ownSet = 8 << 20
	// inFlight is how many packs are being sent while the next is filled.
	inFlight = 2
)

// Uploader stores SSTables of one node. Not safe for concurrent use: a node has one.
type Uploader struct {
	Bucket  bucket.Bucket
	Prefix  string // "<cluster>/<host-id>/"
	History *history.Writer
	Level   chunker.Level
	// Tables have levels of their own, by "keyspace.table" or "keyspace".
	Tables map[string]chunker.Level
	// Encoders is how many frames are encoded at a time, 1 when 0. Each takes up to 48 MiB of memory.
	Encoders int
	// CPU is how many cores the process may use on average while there is something to store, for
	// fractions too; 0 for no bound.
	CPU float64
	// PartEvery is how long SSTables are stored before what there is gets committed; 0 commits only
	// at the end.
	PartEvery time.Duration
	// Progress is told of every SSTable that was stored, and of each frame on the way there; nil for
	// nobody.
	Progress func(Progress)
	Now      func() time.Time

	// For all batches, one after the other.
	coders  *coders
	buffers buffers

	progress   progress
	unreadable map[brokenKey]broken
}

// Progress is how far a pass has come.
type Progress struct {
	SSTables, OfSSTables int
	Bytes, OfBytes       int64 // of what is stored, be it that it was before
	Read                 int64 // bytes that all passes of this Uploader have read and stored
}

// Result is what a pass did.
type Result struct {
	Manifests []*manifest.Manifest
	SSTables  int   // that the manifests name
	Files     int   // their components
	Bytes     int64 // of these, as files
	NewBytes  int64 // of these, read and stored now
	Stored    int64 // bytes of the objects put
	Puts      int
	// More: there is more to store; scan and call again.
	More bool
	// Failed are the SSTables that could not be read. They don't hold up the others; a later scan
	// will find them again.
	Failed []Failure
	// Findings are of those that were stored.
	Findings []Finding
}

// Failure is an SSTable that was not stored, and why.
type Failure struct {
	SSTable sstable.SSTable
	Err     error
}

// Mismatches counts frames that did not come back from the compressor as they went in, and were
// stored uncompressed. Anything but 0 means a broken compressor or machine, and must be reported.
func (u *Uploader) Mismatches() uint64 {
	if u.coders == nil {
		return 0
	}
	return u.coders.mismatches()
}

// Increment stores the sets of w and commits one manifest, or none when there is nothing to say.
// After PartEvery it commits what it has and returns with More set; the rest is found again by the
// next scan. An error means that the commit did not happen, or that nobody knows (see
// history.Writer.Commit).
func (u *Uploader) Increment(ctx context.Context, w Increment) (Result, error) {
	b, err := u.newBatch(ctx)
	if err != nil {
		return Result{}, err
	}
	defer b.close()
	body := manifest.Body{AsOf: w.AsOf, Pending: w.Pending, Schema: w.Schema, Node: w.Node, Gaps: w.Gaps}
	p := u.begin(w.SSTables)
	began := u.Now()
	for i, set := range w.SSTables {
		if _, err := b.add(set, nil, nil); err != nil {
			return b.result, err
		}
		p.done(set)
		if b.result.More = b.partOver(began) && i < len(w.SSTables)-1; b.result.More {
			break
		}
	}
	for _, set := range w.Superseded {
		b.supersede(set)
	}
	if w.Barrier != nil && !b.result.More {
		body.Barrier = b.without(*w.Barrier)
	}
	kind := manifest.Increment
	if len(w.Cuts) > 0 && !b.result.More {
		kind = manifest.KindCut
		b.cut(w.Cuts)
	}
	if b.empty() && !w.First && body.Barrier == nil && len(w.Gaps) == 0 {
		return b.result, nil
	}
	return b.result, b.commit(kind, body)
}

// Increment is what one scan found in backups/.
type Increment struct {
	First      bool      // the first entry of a history: it is committed even if it says nothing
	AsOf       time.Time // when the scan ended
	SSTables   []sstable.SSTable
	Superseded []sstable.SSTable // to be named, not stored
	Pending    []string          // tags the scan saw that no full has finished
	Schema     *manifest.Schema  // when it has changed
	Node       *manifest.Node    // likewise
	Gaps       []manifest.Gap
	// Barrier holds once all of SSTables are stored: it is left out of a part.
	Barrier *manifest.Barrier
	// Cuts make the entry one of kind cut, behind SSTables, which come before it; a part has none.
	Cuts []Cut
}

// Cut ends the chain of a table.
type Cut struct {
	Table sstable.Table
	manifest.Cut
	Lives []manifest.Stored // what Cut.Lives is to be
}

// without is the barrier, but not for tables of which an SSTable could not be read.
func (b *batch) without(barrier manifest.Barrier) *manifest.Barrier {
	barrier.Not = append(slices.Clone(barrier.Not), Holds(b.result.Failed)...)
	return &barrier
}

// Holds are the tables that a barrier does not hold for since SSTables of theirs were not stored.
func Holds(failed []Failure) (holds []manifest.Hold) {
	for _, f := range failed {
		holds = append(holds, manifest.Hold{Table: f.SSTable.Table, Why: fmt.Sprintf("%s could not be read: %v", f.SSTable.Rel(""), f.Err)})
	}
	return holds
}

// Full is a snapshot to be stored.
type Full struct {
	Part   manifest.FullPart // Last is set by the uploader
	Tables []Base
	// Snapshot is all that the node has under the tag, of tables that are stored already too: old
	// bundles are weighed by it.
	Snapshot []sstable.SSTable
	Pending  []string // other snapshots, not this one
	Node     *manifest.Node
	Schema   *manifest.Schema
	// Superseded are links in backups/ that the new bases cover, Finished the ids of bases that are
	// stored and whose snapshots are still there; both are named in the last part.
	Superseded []sstable.SSTable
	Finished   map[sstable.Table][]string
	// Final: Tables are all that the snapshot holds, so the full ends with this call.
	Final bool
}

// Base is the snapshot of one table.
type Base struct {
	Table     sstable.Table
	ID        string
	SchemaCQL string
	Proven    time.Time
	Final     manifest.Why // as in manifest.Base
	SSTables  []sstable.SSTable
}

// Store stores a full, or one part of it: after PartEvery it commits what it has and returns with
// More set, so that new increments don't wait for a snapshot of days. Called again with the same
// snapshot it goes on, also in another process: what earlier parts hold is passed over.
func (u *Uploader) Store(ctx context.Context, f Full) (Result, error) {
	b, err := u.newBatch(ctx)
	if err != nil {
		return Result{}, err
	}
	defer b.close()
	reuse := worthKeeping(b.state, f)
	p := u.begin(f.sstables())
	began := u.Now()
	for _, base := range f.Tables {
		done, stored := b.state.BaseDone(base.Table, base.ID)
		if done {
			p.done(base.SSTables...)
			continue
		}
		have, whole := contents(stored), true
		for _, set := range base.SSTables {
			if !have[fingerprint(set)] {
				ok, err := b.add(set, &base, reuse)
				if err != nil {
					return b.result, err
				}
				whole = whole && ok
			}
			p.done(set)
			if b.result.More = b.partOver(began); b.result.More {
				return b.result, b.commit(manifest.Full, f.body(u.Now(), false))
			}
		}
		if whole {
			b.complete(base)
		}
	}
	last := f.Final && len(b.result.Failed) == 0
	if last {
		for _, set := range f.Superseded {
			b.supersede(set)
		}
		for t, ids := range f.Finished {
			b.table(t).Finished = ids
		}
	}
	if b.empty() && !last {
		return b.result, nil
	}
	return b.result, b.commit(manifest.Full, f.body(u.Now(), last))
}

// partOver tells whether it is time to commit. A part that would hold nothing goes on: what can't be
// read must not hold up the rest.
func (b *batch) partOver(began time.Time) bool {
	return b.u.PartEvery > 0 && b.u.Now().Sub(began) >= b.u.PartEvery && !b.empty()
}

// body is what every part of f says. asOf falls back to now where nobody knows when the snapshot
// began.
func (f Full) body(now time.Time, last bool) manifest.Body {
	part := f.Part
	part.Last = last
	asOf := f.Part.Began
	if asOf.IsZero() {
		asOf = now
	}
	pending := f.Pending
	if !last {
		pending = append(slices.Clone(pending), part.Tag)
	}
	return manifest.Body{AsOf: asOf, Node: f.Node, Schema: f.Schema, Full: &part, Pending: pending}
}

func (f Full) sstables() (all []sstable.SSTable) {
	for _, b := range f.Tables {
		all = append(all, b.SSTables...)
	}
	return all
}

// worthKeeping decides which pack sets of earlier manifests this full refers to: every set of its
// own SSTable, and the bundles of which at least half is in the snapshot.
func worthKeeping(state *manifest.State, f Full) map[pack.SetID]bool {
	live := map[pack.SetID]int64{}
	keeps := map[pack.SetID]manifest.Keep{}
	for _, set := range f.Snapshot {
		for _, file := range set.Files {
			if st, c, ok := durable(state, set, file); ok {
				k := st.From.Keeps[c.Set]
				keeps[k.Set] = k
				live[k.Set] += c.Size
			}
		}
	}
	worth := map[pack.SetID]bool{}
	for id, k := range keeps {
		worth[id] = !k.Bundle || 2*live[id] >= k.Raw
	}
	return worth
}

// durable finds the stored component that this very file is.
func durable(state *manifest.State, set sstable.SSTable, file sstable.File) (manifest.Stored, manifest.Component, bool) {
	known := state.Find(fingerprint(set))
	for i := len(known) - 1; i >= 0; i-- {
		if known[i].Superseded {
			continue
		}
		if c, ok := known[i].Component(file.Component); ok && c.Fingerprint() == file.Fingerprint {
			return known[i], c, true
		}
	}
	return manifest.Stored{}, manifest.Component{}, false
}

func contents(stored []manifest.Stored) map[sstable.Fingerprint]bool {
	have := map[sstable.Fingerprint]bool{}
	for _, st := range stored {
		if c, ok := st.Component(sstable.Data); ok {
			have[c.Fingerprint()] = true
		}
	}
	return have
}

// fingerprint is that of the set's Data.db.
func fingerprint(set sstable.SSTable) sstable.Fingerprint {
	f, _ := set.File(sstable.Data)
	return f.Fingerprint
}

// Plus adds up two results.
func (r Result) Plus(o Result) Result {
	return Result{
		More:      r.More || o.More,
		Manifests: append(r.Manifests, o.Manifests...),
		SSTables:  r.SSTables + o.SSTables, Files: r.Files + o.Files,
		Bytes: r.Bytes + o.Bytes, NewBytes: r.NewBytes + o.NewBytes,
		Stored: r.Stored + o.Stored, Puts: r.Puts + o.Puts,
		Failed: append(r.Failed, o.Failed...), Findings: append(r.Findings, o.Findings...),
	}
}

// progress counts towards what a pass has to do.
type progress struct {
	Progress
	within int64 // bytes read of the SSTable at work
	tell   func(Progress)
}

// begin is the progress of a new pass.
func (u *Uploader) begin(sets []sstable.SSTable) *progress {
	p := &u.progress
	*p = progress{Progress: Progress{OfSSTables: len(sets), Read: p.Read}, tell: u.Progress}
	for _, s := range sets {
		p.OfBytes += s.Size()
	}
	return p
}

// read counts bytes of an SSTable that is not done yet.
func (p *progress) read(n int64) {
	p.within += n
	p.Read += n
	p.say(p.within)
}

func (p *progress) done(sets ...sstable.SSTable) {
	for _, s := range sets {
		p.SSTables++
		p.Bytes += s.Size()
	}
	p.within = 0
	p.say(0)
}

func (p *progress) say(more int64) {
	if p.tell != nil {
		now := p.Progress
		now.Bytes += more
		p.tell(now)
	}
}

// Err joins the reasons of what failed, nil when nothing did.
func (r Result) Err() error {
	errs := make([]error, len(r.Failed))
	for i, f := range r.Failed {
		errs[i] = fmt.Errorf("%s/%s: %w", f.SSTable.Dir, f.SSTable.Stem, f.Err)
	}
	return errors.Join(errs...)
}
