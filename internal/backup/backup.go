// Package backup is one pass over a node: scan, find what is new, store it, commit, and unlink what
// is durable. The service runs it again and again, `sstash backup` runs it once. A pass that is
// repeated does nothing more than the first did; one that was killed is repeated.
package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/links"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// ErrIdentity: the database that answers is not the node whose history this is.
var ErrIdentity = errors.New("another node answers")

// Node is everything that a pass needs to know of one database node.
type Node struct {
	DataDirs []string
	Judge    *watcher.Judge
	Uploader *uploader.Uploader
	// Snapshots is nil where there is no nodetool: a copied tree, a node that is down.
	Snapshots *Snapshots
	// Describe asks the database who it is and for its schema; nil where there is none to ask. Either
	// result may be nil with an error: a pass goes on without them.
	Describe func(context.Context) (*manifest.Node, *manifest.Schema, error)
	// Observer tells what the database did meanwhile; without one, no barrier is passed.
	Observer *Observer
	// Tables asks the database which tables there are, and which were truncated; nil where there is none
	// to ask.
	Tables func(context.Context) (Existing, error)
	// Prune unlinks what is durable. Without it, links are only looked at.
	Prune bool
	// Scanned is told of every listing, before anything is done with it; nil for nobody.
	Scanned func(watcher.Listing)
	Now     func() time.Time

	clearedAt map[string]time.Time     // our snapshots, by tag
	absent    map[sstable.Table]absent // see drops
	// notes are those of our snapshots as they were before the newest scan: of one that had
	// succeeded by then, the scan saw every table.
	notes map[string]note

	flush *flush                     // that may become a barrier
	later *flush                     // likewise, after that one
	open  map[string]sstable.SSTable // sets that were not durable at the scan before this one, by path
}

// clearAgain is how long a snapshot that nodetool left in place is let be.
const clearAgain = time.Hour

// Report is what a pass found and did: facts, to be logged, counted and printed elsewhere.
type Report struct {
	uploader.Result
	Scan        watcher.Listing
	Waiting     []Held // not complete, or not certain, yet; look again soon
	Quarantined []Held // not complete for too long: reported, and still looked at
	Damaged     []Held // whose files don't fit together: stored as they are
	Kept        []links.Kept
	Pruned      links.Freed
	Cleared     []string // our snapshots that are stored and gone from the node
	// Problems are what did not stop the pass: the database could not be asked, a snapshot not
	// cleared. They must be reported (I10).
	Problems []error
}

// Held is a set or a snapshot that is not taken yet, or a table that may have been dropped, and why.
type Held struct {
	Path, Why string
}

// Complete tells whether everything that the scan saw is durable now.
func (r Report) Complete() bool { return len(r.Open()) == 0 }

// Open lists what the scan saw, or could not see, and that is not durable.
func (r Report) Open() (paths []string) {
	for _, h := range append(slices.Clone(r.Waiting), r.Quarantined...) {
		paths = append(paths, h.Path)
	}
	for _, f := range r.Failed {
		paths = append(paths, f.SSTable.Rel(""))
	}
	for _, e := range r.Scan.Errors {
		paths = append(paths, e.Error())
	}
	return paths
}

// Pass stores what is there. An error is one that stops a pass: the scan's or the bucket's. What
// was committed before it is in the report.
func (n *Node) Pass(ctx context.Context) (Report, error) {
	seen, observed := n.observe(ctx)
	if errors.Is(observed, ErrIdentity) {
		return Report{}, observed
	}
	r, p, err := n.look(ctx)
	if err != nil {
		return r, err
	}
	cuts := n.cuts(ctx, &r, p)
	if len(cuts) > 0 {
		problems := r.Problems
		if r, p, err = n.look(ctx); err != nil {
			return r, err
		}
		r.Problems = problems
	}
	n.awaitDrops(&r, cuts)
	if n.flush != nil && n.flush.need == nil {
		n.flush.scanned(r.Scan, p.news)
	}
	w := work{sets: n.judgeSets(&r, p.news), snapshots: n.judgeSnapshots(&r, p.snapshots), seen: p.seen}
	w.cuts, w.snapshots = settled(cuts, w.snapshots, p.news, r)
	w.node, w.gaps = n.Uploader.History.State().Compare(seen)
	w.gaps = append(w.gaps, n.holes(r, p.news)...)
	w.barrier = n.barrier(&r, w.gaps, seen, observed)
	err = n.commit(ctx, &r, w)
	n.committed(r.Manifests, len(seen))
	if err != nil {
		return r, err
	}
	if !r.Scan.Partial() {
		n.open = byPath(p.news)
	}
	if n.Prune {
		if err := n.prune(ctx, &r); err != nil {
			return r, err
		}
	}
	n.clear(ctx, &r)
	return r, nil
}

// Look lets the Judge see what is there, and stores nothing: what does not change any more is ready
// for a pass that begins when it has settled.
func (n *Node) Look(ctx context.Context) error {
	r, p, err := n.look(ctx)
	if err != nil {
		return err
	}
	n.judgeSets(&r, p.news)
	n.judgeSnapshots(&r, p.snapshots)
	return nil
}

// Full takes a snapshot of every table, or of those named, and stores it; where that takes long, a part
// of it, and the next passes go on (More). A snapshot that is there already under tag, and is known to
// have succeeded, is stored as it is; one that did not is cleared first. A history that is new begins
// with what there was before the snapshot, see begin.
func (n *Node) Full(ctx context.Context, tag string, tables []string) (Report, error) {
	pass := n.Pass
	if n.Uploader.History.State().Fresh() {
		pass = func(ctx context.Context) (Report, error) { return n.begin(ctx, tag, len(tables) == 0) }
	}
	r, err := pass(ctx)
	if err != nil {
		return r, err
	}
	if err := n.ensure(ctx, r.Scan, tag, tables); err != nil {
		return r, err
	}
	next, err := n.Pass(ctx)
	r.merge(next)
	return r, err
}

// ensure makes the snapshot unless it is there.
func (n *Node) ensure(ctx context.Context, l watcher.Listing, tag string, tables []string) error {
	there := contains(l, tag)
	if there && n.note(tag).ok() {
		return nil
	}
	if there {
		if err := n.Snapshots.Clear(ctx, tag); err != nil {
			return err
		}
	}
	return n.Snapshots.Take(ctx, tag, tables)
}

// merge makes r the report of two passes: what they did adds up, what they found is the later one's.
func (r *Report) merge(next Report) {
	more := next.More
	next.Result = r.Plus(next.Result)
	next.More = more
	next.Kept = append(r.Kept, next.Kept...)
	next.Damaged = append(r.Damaged, next.Damaged...)
	next.Problems = append(r.Problems, next.Problems...)
	next.Cleared = append(r.Cleared, next.Cleared...)
	next.Pruned.Files += r.Pruned.Files
	next.Pruned.Bytes += r.Pruned.Bytes
	*r = next
}

// begin makes the first entry of a history that begins with a full, even if there is nothing to say:
// from then on not the clock but the history tells what came before the snapshot. What is in backups/
// is older than a snapshot of all tables that is yet to be taken, so it is named and not stored.
func (n *Node) begin(ctx context.Context, tag string, all bool) (Report, error) {
	seen, observed := n.observe(ctx)
	if errors.Is(observed, ErrIdentity) {
		return Report{}, observed
	}
	r, p, err := n.look(ctx)
	if err != nil {
		return r, err
	}
	first := uploader.Increment{First: true, AsOf: r.Scan.Ended, Pending: p.seen}
	first.Node, _ = n.Uploader.History.State().Compare(seen)
	if all && !contains(r.Scan, tag) {
		first.Superseded = p.news
	}
	res, err := n.Uploader.Increment(ctx, first)
	r.Result = r.Plus(res)
	return r, err
}

func (n *Node) look(ctx context.Context) (Report, plan, error) {
	// A commit in doubt changes what is new.
	if err := n.Uploader.History.Settle(ctx); err != nil {
		return Report{}, plan{}, err
	}
	if n.Snapshots != nil {
		n.notes = n.Snapshots.notes()
	}
	l, err := watcher.Scan(ctx, n.DataDirs)
	if err != nil {
		return Report{}, plan{}, err
	}
	n.Judge.Listed(l)
	if n.Scanned != nil {
		n.Scanned(l)
	}
	return Report{Scan: l}, compare(l, n.Uploader.History.State()), nil
}

// note is what is known of the snapshot called tag: nothing, if sstash did not take it.
func (n *Node) note(tag string) note { return n.notes[tag] }

// prune unlinks every set of the scan that the history holds now.
func (n *Node) prune(ctx context.Context, r *Report) error {
	for _, h := range compare(r.Scan, n.Uploader.History.State()).held {
		if h.stored.Superseded {
			continue
		}
		freed, kept, err := links.Prune(ctx, h.set, h.stored.SSTable)
		r.Pruned.Files += freed.Files
		r.Pruned.Bytes += freed.Bytes
		r.Kept = append(r.Kept, kept...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.Problems = append(r.Problems, err)
		}
	}
	return nil
}

// clear removes our snapshots that have served. What nodetool leaves behind is reported and not
// tried again for a while: Cassandra 5.0.8 does not see snapshots in a keyspace called backups, and
// we remove nothing ourselves (I8).
func (n *Node) clear(ctx context.Context, r *Report) {
	if n.Snapshots == nil || r.Scan.Partial() {
		return
	}
	state := n.Uploader.History.State()
	left := map[string]string{} // a table that has files of it, by tag
	for _, w := range r.Scan.Snapshots {
		left[w.Tag] = fmt.Sprintf("%s.%s", w.Table.Keyspace, w.Table.Name)
	}
	maps.DeleteFunc(n.clearedAt, func(tag string, _ time.Time) bool { return left[tag] == "" }) // it may be used again
	for tag, table := range left {
		if !Own(tag) || !n.ended(tag) || !served(state, r.Scan, tag, n.note(tag).Began) {
			continue
		}
		if n.tried(tag) {
			r.Problems = append(r.Problems, fmt.Errorf("nodetool cleared snapshot %s, but files of it are left in table %s; remove them by hand", tag, table))
			continue
		}
		if err := n.Snapshots.Clear(ctx, tag); err != nil {
			r.Problems = append(r.Problems, err)
			continue
		}
		n.clearedAt[tag] = n.Now()
		r.Cleared = append(r.Cleared, tag)
	}
}

// tried tells whether nodetool has cleared the snapshot not long ago. One that was taken since, under the
// same tag, is another: `sstash snapshot` names it like the full of the schedule's slot.
func (n *Node) tried(tag string) bool {
	if n.clearedAt == nil {
		n.clearedAt = map[string]time.Time{}
	}
	at, ok := n.clearedAt[tag]
	return ok && n.Now().Sub(at) < clearAgain && !n.note(tag).Began.After(at)
}

// ended tells whether nodetool is certainly through with our snapshot: it said so, or the note is
// lost and no snapshot takes an hour.
func (n *Node) ended(tag string) bool {
	note := n.note(tag)
	if note.ok() {
		return true
	}
	return note.Began.IsZero() || n.Now().Sub(note.Began) > time.Hour
}

// baseID names one snapshot of one table: another one under the same tag has another manifest.json.
func baseID(w watcher.Snapshot) string {
	h := chunker.NewHasher()
	fmt.Fprintf(h, "%q", w.Tag)
	for _, m := range w.Manifests {
		fmt.Fprintf(h, " %d %d %d %d", m.FS, m.Inode, m.Size, m.Mtime)
	}
	return h.Sum().String()[:16]
}

// Seq is the newest manifest that the pass committed, 0 when none.
func (r Report) Seq() uint64 {
	if len(r.Manifests) == 0 {
		return 0
	}
	return r.Manifests[len(r.Manifests)-1].Seq
}
