package links

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// Standing is what the history says of a set of links.
type Standing string

const (
	// Stored: the very same files are durable; they may be unlinked (I8).
	Stored Standing = "stored"
	// Superseded: older than a full of every table that is whole; they may be unlinked when the
	// operator says so.
	Superseded Standing = "superseded"
	// Undurable: nothing else has them.
	Undurable Standing = "undurable"
)

// Stand tells how s knows a set in backups/, and the entry that names it, which is what Prune wants.
func Stand(s *manifest.State, set sstable.SSTable) (Standing, manifest.SSTable) {
	st, ok := s.Match(set)
	switch {
	case ok && !st.Superseded:
		return Stored, st.SSTable
	case ok && covered(s, st.From):
		return Superseded, st.SSTable
	}
	return Undurable, manifest.SSTable{}
}

// covered tells whether a whole full holds all that was live when m named it superseded.
func covered(s *manifest.State, m *manifest.Manifest) bool {
	f := m.Body.Full
	return f != nil && f.All && f.Last || s.Whole().Tag != "" && m.Seq <= s.Whole().After
}

// CoveredUntil is the moment before which everything that was linked into backups/ is durable, as a
// listing and the newest state tell: when the scan began, or, since a link is made after its file was
// written, when the first of what is not durable was written. Zero when that can't be told (I10).
func CoveredUntil(l watcher.Listing, s *manifest.State) time.Time {
	if l.Partial() || s.Newest() == nil {
		return time.Time{}
	}
	until := l.Started
	for _, set := range l.Backups {
		if standing, _ := Stand(s, set); standing != Undurable {
			continue
		}
		for _, f := range set.Files {
			if written := time.Unix(0, f.Mtime); written.Before(until) {
				until = written
			}
		}
	}
	return until
}

// Group is what backups/ of one table, or one snapshot of it, holds on disk. What in backups/ stands
// differently is in groups of its own.
type Group struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
	TableID  string `json:"table_id"`
	Kind     string `json:"kind"` // "backups" or "snapshot"
	Tag      string `json:"tag"`  // of a snapshot
	MadeBy   Origin `json:"made_by"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"` // of the files that the links lead to, each once
	// ExclusiveBytes would be free if the group were gone: bytes of files that have no other name.
	ExclusiveBytes int64    `json:"exclusive_bytes"`
	Durable        bool     `json:"durable"` // every file of it is stored
	Standing       Standing `json:"standing"`
	Reason         string   `json:"reason"` // the same for people
}

// Report groups the links of a listing. The tags of snapshots that sstash took begin with own.
func Report(l watcher.Listing, s *manifest.State, own string) []Group {
	t := tally{}
	for _, set := range l.Backups {
		standing, _ := Stand(s, set)
		h := t.holding(Group{Kind: "backups", Standing: standing, MadeBy: Incremental}, set.Table)
		h.add(set)
	}
	for _, w := range l.Snapshots {
		standing := Stored
		if slices.ContainsFunc(w.SSTables, func(set sstable.SSTable) bool { return !stored(s, set) }) {
			standing = Undurable
		}
		h := t.holding(Group{Kind: "snapshot", Tag: w.Tag, Standing: standing, MadeBy: origin(w, own)}, w.Table)
		for _, set := range w.SSTables {
			h.add(set)
		}
	}
	return t.groups()
}

// stored tells whether every file of a snapshot's set is durable, in whatever entry.
func stored(s *manifest.State, set sstable.SSTable) bool {
	data, _ := set.File(sstable.Data)
	known := s.Find(data.Fingerprint)
	return !slices.ContainsFunc(set.Files, func(f sstable.File) bool {
		return !slices.ContainsFunc(known, func(st manifest.Stored) bool {
			c, ok := st.Component(f.Component)
			return ok && !st.Superseded && c.Fingerprint() == f.Fingerprint
		})
	})
}

// Origin says what made links.
type Origin string

// Origins, as far as tags tell.
const (
	Incremental Origin = "incremental backups"
	Ours        Origin = "sstash"
	Truncate    Origin = "truncate"
	Drop        Origin = "drop"
	Repair      Origin = "repair"
	Scrub       Origin = "scrub"
	Upgrade     Origin = "upgrade"
	Compaction  Origin = "compaction"
	Auto        Origin = "truncate or drop" // up to 3.9 the tag doesn't tell which
	User        Origin = "user"
)

// automatic are the tags that Cassandra gives by itself, 2.1 to 6.0 (callers of
// ColumnFamilyStore.getTimestampedSnapshotName; SnapshotOptions.getSnapshotName, 6.0). A repair's is
// its session.
var automatic = []struct {
	origin Origin
	tag    *regexp.Regexp
}{
	{Truncate, regexp.MustCompile(`^(truncated-\d{13}-|\d{13}-truncated-)`)},
	{Drop, regexp.MustCompile(`^(dropped-\d{13}-|\d{13}-dropped-)`)},
	{Scrub, regexp.MustCompile(`^(pre-scrub-\d{13}|\d{13}-pre-scrub-)`)},
	{Upgrade, regexp.MustCompile(`^\d{13}-upgrade-`)},
	{Compaction, regexp.MustCompile(`^\d{13}-compact-`)},
	{Auto, regexp.MustCompile(`^\d{13}-\w+$`)},
	{Repair, regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)},
}

func origin(w watcher.Snapshot, own string) Origin {
	switch {
	case strings.HasPrefix(w.Tag, own):
		return Ours
	case w.LegacyEphemeral:
		return Repair
	}
	for _, a := range automatic {
		if a.tag.MatchString(w.Tag) {
			return a.origin
		}
	}
	return User
}

// tally adds up files by group.
type tally map[Group]*holding

// holding is one group in the making.
type holding struct {
	files  int
	inodes map[sstable.Fingerprint]inode
}

type inode struct {
	names uint64 // that the group has
	links uint64 // that there are
}

func (t tally) holding(g Group, table sstable.Table) *holding {
	g.Keyspace, g.Table, g.TableID = table.Keyspace, table.Name, table.ID
	if t[g] == nil {
		t[g] = &holding{inodes: map[sstable.Fingerprint]inode{}}
	}
	return t[g]
}

func (h *holding) add(set sstable.SSTable) {
	for _, f := range set.Files {
		h.files++
		h.inodes[f.Fingerprint] = inode{h.inodes[f.Fingerprint].names + 1, f.Links}
	}
}

func (t tally) groups() []Group {
	all := make([]Group, 0, len(t))
	for g, h := range t {
		g.Files = h.files
		for f, n := range h.inodes {
			g.Bytes += f.Size
			if n.names >= n.links {
				g.ExclusiveBytes += f.Size
			}
		}
		g.Durable = g.Standing == Stored
		g.Reason = g.reason()
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Keyspace, b.Keyspace), cmp.Compare(a.Table, b.Table), cmp.Compare(a.TableID, b.TableID),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Standing, b.Standing))
	})
	return all
}

func (g Group) reason() string {
	snapshot := g.Kind == "snapshot"
	switch {
	case g.Standing == Superseded:
		return "older than a full that is whole; links prune --superseded unlinks them"
	case g.Standing == Undurable && snapshot:
		return "not stored, or not all of it"
	case g.Standing == Undurable:
		return "not stored yet"
	case !snapshot:
		return "stored; links prune unlinks them"
	case g.MadeBy == Ours:
		return "stored; the service clears it"
	}
	return "stored; nodetool clearsnapshot clears it"
}
