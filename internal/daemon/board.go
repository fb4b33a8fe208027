package daemon

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// board holds the status that is served while passes go on, and what has been reported already, so
// that a log says each thing once.
type board struct {
	mu   sync.Mutex
	now  status.Status
	seen map[string]bool
	node *Node
	// open are the things that are not durable yet, each with what was covered before it appeared;
	// scanned is when the scan before this one began.
	open    map[string]time.Time
	scanned time.Time
	log     logState
}

func newBoard(n *Node) *board {
	host, _ := os.Hostname()
	return &board{node: n, seen: map[string]bool{}, now: status.Status{
		Cluster: n.Cluster, HostID: n.HostID, Node: host, Service: true, Warnings: []string{}, Notes: []string{},
	}}
}

// Status is the newest status. Safe for concurrent use.
func (b *board) Status() status.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.now
	s.Warnings, s.Notes = slices.Clone(s.Warnings), slices.Clone(s.Notes)
	s.LogUntil = b.log.Until
	s.LastDrill = LastDrill(b.node.Config.State) // which a verb may have run just now
	for _, w := range []string{b.log.warning, s.LastDrill.Warning()} {
		if w != "" {
			s.Warnings, s.OK = append(s.Warnings, w), false
		}
	}
	return s
}

// update takes over what a pass found.
func (b *board) update(r backup.Report, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.now
	s.LastError = ""
	if err != nil {
		s.LastError = err.Error()
	}
	state := b.node.Uploader.History.State()
	if !r.Scan.Started.IsZero() {
		Measure(s, r.Scan, state)
		// A pass that has more to do has stored all increments, or not even those.
		if err == nil && (!r.More || s.QueueFiles == 0) {
			s.CoveredUntil = b.covered(r)
		}
	}
	s.LastFull, s.Seq = state.Whole().Began, state.Seq()
	s.Warnings = append(warnings(r), Unproven(state)...)
	if b.node.Snapshots != nil && s.LastFull.IsZero() {
		s.Warnings = append(s.Warnings, "no full of this node is stored yet: nothing is proven")
	}
	s.Judge(now, b.limit())
}

// covered is when the scan began that saw nothing but what is durable now, and what appeared since.
func (b *board) covered(r backup.Report) time.Time {
	open := map[string]time.Time{}
	until := r.Scan.Started.UTC()
	for _, path := range r.Open() {
		before, known := b.open[path]
		if !known {
			before = b.scanned
		}
		open[path] = before
		if before.Before(until) {
			until = before
		}
	}
	b.open, b.scanned = open, r.Scan.Started.UTC()
	return until
}

// limit is how old a clean scan may be before the node counts as uncovered.
func (b *board) limit() time.Duration { return MaxAge(b.node.Config) }

// MaxAge is how old what is covered may be before a node counts as uncovered.
func MaxAge(c config.Config) time.Duration { return 2*c.Watch.Rescan + 2*c.CommitEvery }

func warnings(r backup.Report) []string {
	w := []string{}
	for _, h := range r.Quarantined {
		w = append(w, h.Path+": "+h.Why)
	}
	for _, f := range r.Failed {
		w = append(w, f.SSTable.Rel("")+": "+f.Err.Error())
	}
	for _, e := range append(r.Problems, r.Scan.Errors...) {
		w = append(w, e.Error())
	}
	return w
}

// Unproven says what keeps newer points from being proven, and that the next full mends it.
func Unproven(state *manifest.State) (warnings []string) {
	for _, g := range state.Gaps() {
		of := ""
		if g.Table != nil {
			of = g.Table.Keyspace + "." + g.Table.Name + ": "
		}
		warnings = append(warnings, of+g.String()+": later points are proven again from the next full on")
	}
	if n := state.Node(); n != nil && n.Backups == manifest.BackupsOff {
		warnings = append(warnings, "incremental backups are off: nothing is proven after the last full (nodetool enablebackup, and incremental_backups: true in cassandra.yaml)")
	}
	return warnings
}

// Measure counts what a listing holds against a history.
func Measure(s *status.Status, l watcher.Listing, state *manifest.State) {
	s.QueueFiles, s.QueueBytes, s.LinksBytes, s.LinksPrunableBytes = 0, 0, 0, 0
	for _, set := range l.Backups {
		s.LinksBytes += set.Size()
		st, ok := state.Match(set)
		switch {
		case !ok:
			s.QueueFiles += len(set.Files)
			s.QueueBytes += set.Size()
		case !st.Superseded:
			s.LinksPrunableBytes += set.Size()
		}
	}
	s.BucketBytes = Stored(state)
}

// Stored is the size of all pack sets that the chains of a state refer to.
func Stored(state *manifest.State) (n int64) {
	keeps := map[pack.SetID]int64{}
	for _, t := range state.Tables() {
		for _, st := range state.Chain(t).SSTables {
			for _, c := range st.Components {
				k := st.From.Keeps[c.Set]
				keeps[k.Set] = k.Bytes
			}
		}
	}
	for _, b := range keeps {
		n += b
	}
	return n
}

// once is what of items has not been passed to it before.
func once[T any](b *board, items []T, key func(T) string) (fresh []T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range items {
		if k := key(it); !b.seen[k] {
			b.seen[k] = true
			fresh = append(fresh, it)
		}
	}
	return fresh
}

func (b *board) freshHeld(hs []backup.Held) []backup.Held {
	return once(b, hs, func(h backup.Held) string { return h.Path + "\x00" + h.Why })
}

func (b *board) freshFailures(fs []uploader.Failure) []uploader.Failure {
	return once(b, fs, func(f uploader.Failure) string { return f.SSTable.Rel("") + "\x00" + f.Err.Error() })
}

// freshFindings are the damaged, each once in whatever directory, and of those that are only larger than need
// be the first of each version.
func (b *board) freshFindings(fs []uploader.Finding) []uploader.Finding {
	return once(b, fs, func(f uploader.Finding) string {
		if f.Damage != "" {
			data, _ := f.SSTable.File(sstable.Data)
			return fmt.Sprint(data.Fingerprint, f.Damage)
		}
		return f.Version() + "\x00" + string(f.Plain)
	})
}

// maxNotes bounds what is kept of them: a disk that fails damages many SSTables.
const maxNotes = 100

// note keeps what was said in the log.
func (b *board) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.now.Notes) < maxNotes {
		b.now.Notes = append(b.now.Notes, fmt.Sprintf(format, args...))
	}
}

func (b *board) freshErrors(es []error) []error { return once(b, es, error.Error) }

func (b *board) freshUnknown(us []string) []string {
	return once(b, us, func(u string) string { return u })
}
