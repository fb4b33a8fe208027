package backup

import (
	"maps"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// plan is what one scan means for the history. It is made without I/O.
type plan struct {
	// news are sets in backups/ that no entry holds.
	news []sstable.SSTable
	// held are sets that the history names, as those entries do.
	held []held
	// snapshots have a table whose base is not stored yet, or were not ended, oldest first.
	snapshots []snapshot
	// seen are the tags of all that is or may become a snapshot which is not stored whole: what the
	// entries of this scan call pending.
	seen []string
}

type held struct {
	set    sstable.SSTable
	stored manifest.Stored
}

// snapshot is what the node has under one tag.
type snapshot struct {
	tag    string
	tables []watcher.Snapshot // all of the tag, those already stored too
	open   []watcher.Snapshot // those whose base is not stored yet
}

// compare finds what is new in a listing.
func compare(l watcher.Listing, s *manifest.State) plan {
	var p plan
	for _, set := range l.Backups {
		if st, ok := s.Match(set); ok {
			p.held = append(p.held, held{set, st})
		} else {
			p.news = append(p.news, set)
		}
	}
	byTag := map[string]*snapshot{}
	seen := map[string]bool{}
	if l.Partial() {
		seen[manifest.Unseen] = true
	}
	for _, w := range l.Snapshots {
		// Another one of the same tag may be in the making there.
		if len(w.Manifests) == 0 {
			seen[w.Tag] = true
		}
		if leftover(w, s) {
			continue
		}
		sn := byTag[w.Tag]
		if sn == nil {
			sn = &snapshot{tag: w.Tag}
			byTag[w.Tag] = sn
		}
		sn.tables = append(sn.tables, w)
		if done, _ := s.BaseDone(w.Table, baseID(w)); !done {
			sn.open = append(sn.open, w)
		}
	}
	for _, sn := range byTag {
		if len(sn.open) > 0 || s.Begun(sn.tag) {
			p.snapshots = append(p.snapshots, *sn)
			seen[sn.tag] = true
		}
	}
	p.seen = slices.Sorted(maps.Keys(seen))
	slices.SortFunc(p.snapshots, func(a, b snapshot) int { return a.made().Compare(b.made()) })
	return p
}

// leftover tells whether w is what nodetool left of a snapshot that we have stored and cleared: no
// manifest.json will ever come.
func leftover(w watcher.Snapshot, s *manifest.State) bool {
	return Own(w.Tag) && len(w.Manifests) == 0 && s.Ended(w.Tag)
}

// made is when the first table of the snapshot was finished, by its manifest.json.
func (s snapshot) made() time.Time {
	var first time.Time
	for _, w := range s.tables {
		for _, f := range w.Manifests {
			if t := time.Unix(0, f.Mtime); first.IsZero() || t.Before(first) {
				first = t
			}
		}
	}
	return first
}

// step is one commit: the sets of an increment, a snapshot, or cuts with the sets that come before them.
type step struct {
	sets     []sstable.SSTable
	cuts     []cut
	snapshot *ready
	asOf     time.Time
	// pending are the snapshots that had begun before, as far as the history must know (see package
	// manifest: which increments belong to a base).
	pending []string
}

// order decides what is committed in which order. As a rule: cuts with what comes before them, then all
// increments, then the snapshots.
func order(w work, l watcher.Listing, s *manifest.State) []step {
	if s.Fresh() {
		return byTime(w.sets, w.snapshots, w.cuts, w.seen, l)
	}
	steps, sets := cutSteps(w.cuts, w.sets, l, s)
	if len(sets) > 0 {
		steps = append(steps, step{sets: sets, asOf: l.Ended})
	}
	for i := range w.snapshots {
		steps = append(steps, step{snapshot: &w.snapshots[i], asOf: l.Ended})
	}
	for i := range steps {
		steps[i].pending = w.seen
	}
	return steps
}

// byTime is the order for a history that names no table yet. It begins with what it finds as if it had
// been there: what was written before a snapshot began comes before it, and a cut right after its auto
// snapshot. Only here does the order of time decide, since nothing else is known; what falls within the
// slack comes after a snapshot, where overlap is harmless.
func byTime(sets []sstable.SSTable, snapshots []ready, cuts []cut, seen []string, l watcher.Listing) []step {
	var steps []step
	// Those that are not ready have begun, nobody knows when.
	begun := slices.DeleteFunc(slices.Clone(seen), func(tag string) bool {
		return slices.ContainsFunc(snapshots, func(r ready) bool { return r.tag == tag })
	})
	add := func(s step) {
		s.pending = begun
		steps = append(steps, s)
	}
	links := countLinks(l)
	end := func(tag string) {
		for i, c := range cuts {
			if c.Tag == tag {
				var before []sstable.SSTable
				before, sets = partition(sets, func(s sstable.SSTable) bool { return cutOf(cuts[i:i+1], s, links) == 0 })
				add(step{cuts: cuts[i : i+1], sets: before, asOf: c.At})
			}
		}
	}
	for i, sn := range snapshots {
		var before []sstable.SSTable
		limit := sn.began().Add(-slack).UnixNano()
		before, sets = partition(sets, func(s sstable.SSTable) bool { return written(s) < limit })
		if len(before) > 0 {
			add(step{sets: before, asOf: sn.began()})
		}
		add(step{snapshot: &snapshots[i], asOf: sn.began()})
		begun = append(slices.Clone(begun), sn.tag)
		end(sn.tag)
	}
	end("")
	if len(sets) > 0 {
		add(step{sets: sets, asOf: l.Ended})
	}
	return steps
}

// slack is how far two times of one node may be apart when files were copied by a tool that keeps
// whole seconds.
const slack = time.Second

// written is when Data.db was last written, in nanoseconds since 1970.
func written(s sstable.SSTable) int64 {
	f, _ := s.File(sstable.Data)
	return f.Mtime
}

func partition(sets []sstable.SSTable, first func(sstable.SSTable) bool) (yes, no []sstable.SSTable) {
	for _, s := range sets {
		if first(s) {
			yes = append(yes, s)
		} else {
			no = append(no, s)
		}
	}
	return yes, no
}

// finished are the bases of other snapshots than tag that are on the node and need not be stored.
func finished(s *manifest.State, l watcher.Listing, tag string) map[sstable.Table][]string {
	ids := map[sstable.Table][]string{}
	for _, w := range l.Snapshots {
		if done, _ := s.BaseDone(w.Table, baseID(w)); w.Tag != tag && (done || leftover(w, s)) {
			ids[w.Table] = append(ids[w.Table], baseID(w))
		}
	}
	return ids
}

// served tells whether our snapshot called tag is not needed any more: every table of it is stored, and
// its full has ended, or a full that began later is whole.
func served(s *manifest.State, l watcher.Listing, tag string, began time.Time) bool {
	var ids []string
	stored := true
	for _, w := range l.Snapshots {
		if w.Tag == tag {
			done, _ := s.BaseDone(w.Table, baseID(w))
			stored = stored && (done || leftover(w, s))
			ids = append(ids, baseID(w))
		}
	}
	whole := s.Whole()
	return stored && !s.Begun(tag) || s.After(tag, ids) < whole.After && began.Before(whole.Began)
}

// contains tells whether the node has a snapshot called tag.
func contains(l watcher.Listing, tag string) bool {
	return slices.ContainsFunc(l.Snapshots, func(w watcher.Snapshot) bool { return w.Tag == tag })
}
