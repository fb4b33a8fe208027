package watcher

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/sstable"
)

// A State says what may be done with a set or a snapshot.
type State int

const (
	Waiting     State = iota // not complete yet, or not for long enough: look again
	Ready                    // complete
	Quarantined              // not complete, and nothing has come for Patience: report it, and look again all the same
)

func (s State) String() string { return [...]string{"waiting", "ready", "quarantined"}[s] }

// A Verdict is what a Judge says of a set or a snapshot.
type Verdict struct {
	State   State
	Why     string   // it is not ready; if Ready, the damage that Patience was lost with
	Missing []string // names that are not there; if Ready, those that Patience was lost with

	// Of a snapshot, as far as its manifest.json is readable.
	CreatedAt time.Time // zero before 4.1
	ExpiresAt time.Time // zero if it does not expire
	Ephemeral bool      // made by a repair, which will delete it
	SchemaCQL string    // schema.cql; "" if there is none
}

// A Judge decides what is complete. Cassandra gives no sign that it has linked the
// last file of a set, so a set is complete when all files are there without which it
// can't be opened, those that its TOC.txt lists as well, its sizes fit, and nothing
// has changed for Settle. Files that are only listed are given up after Patience,
// for some never come; and sizes that don't fit are those of a damaged set, which must
// not hold up the others of a snapshot. A Judge remembers when it saw what, so it must see scans
// repeatedly to say Ready.
//
// But where backups/ is empty and nothing has changed for Settle and a grain, by the times of the files, it says
// so at once of a snapshot that proves by itself that it is linked: manifest.json is there and all that it
// names, and every set has a TOC.txt and all that this lists. No clock that jumps can deceive it about those;
// only a schema.cql could be cut short, if the clock jumped while that was written. Beside sets in backups/ a
// snapshot waits as they do: what is ready first is committed first, and a new history goes by the time.
//
// It is not safe for concurrent use.
type Judge struct {
	Settle   time.Duration
	Patience time.Duration

	quiet time.Duration // of the listing; 0 if there is more in it than snapshots that prove that they are linked
	seen  map[string]*sighting
	swept time.Time
}

// A sighting is what the Judge remembers of a set, or of the other files of a
// snapshot.
type sighting struct {
	files   []sstable.File
	since   time.Time // the files are these
	asked   time.Time
	verdict Verdict // of a set
}

// Listed tells j of the listing that it will judge sets and snapshots of.
func (j *Judge) Listed(l Listing) {
	j.quiet = l.Quiet
	bare := func(set sstable.SSTable) bool { return !slices.Contains(set.Components(), sstable.TOC) }
	if len(l.Backups) > 0 ||
		slices.ContainsFunc(l.Snapshots, func(sn Snapshot) bool { return slices.ContainsFunc(sn.SSTables, bare) }) {
		j.quiet = 0
	}
}

// Backup judges a set in backups/, as of now. Once nothing changes any more, it reads
// TOC.txt and the ends of CompressionInfo.db, again and again until it says Ready.
func (j *Judge) Backup(set sstable.SSTable, now time.Time) Verdict {
	return j.set(set, now).verdict
}

func (j *Judge) set(set sstable.SSTable, now time.Time) *sighting {
	s := j.sight(filepath.Join(set.DataDir, set.Rel("")), set.Files, now)
	age := now.Sub(s.since)
	switch {
	case s.verdict.State == Ready:
	case !j.settled(age):
		s.verdict = Verdict{Why: j.settling()}
	default:
		s.verdict = j.inspected(set, age)
	}
	return s
}

// grain is what file systems may round times off to.
const grain = time.Second

// settled tells whether nothing has changed for Settle, in what j knows for age or anywhere.
func (j *Judge) settled(age time.Duration) bool { return age >= j.Settle || j.quiet >= j.Settle+grain }

func (j *Judge) settling() string { return fmt.Sprintf("changed less than %s ago", j.Settle) }

func (j *Judge) inspected(set sstable.SSTable, age time.Duration) Verdict {
	required, listed, err := inspect(set)
	v := Verdict{Missing: slices.Concat(required, listed)}
	damaged := errors.Is(err, errDamaged)
	switch {
	case err != nil:
		v.Why = err.Error()
	case len(required) > 0, len(listed) > 0 && age < j.Patience:
		v.Why = "waiting for " + strings.Join(v.Missing, ", ")
	}
	if v.Why == "" || damaged && age >= j.Patience {
		v.State = Ready
	} else {
		v.State = j.held(age)
	}
	return v
}

// held is the state of what has had a fault for so long.
func (j *Judge) held(age time.Duration) State {
	if age < j.Patience {
		return Waiting
	}
	return Quarantined
}

// sight remembers files under a key, and since when they have not changed. The
// number of links is no change: it says nothing of this directory.
func (j *Judge) sight(key string, files []sstable.File, now time.Time) *sighting {
	j.sweep(now)
	s := j.seen[key]
	if s == nil || !slices.EqualFunc(s.files, files, func(a, b sstable.File) bool {
		return a.Component == b.Component && a.Fingerprint == b.Fingerprint
	}) {
		s = &sighting{files: files, since: now}
		j.seen[key] = s
	}
	s.asked = now
	return s
}

// sweep forgets, every now and then, what was not asked for since the last sweep.
func (j *Judge) sweep(now time.Time) {
	if j.seen == nil {
		j.seen, j.swept = map[string]*sighting{}, now
	}
	if now.Sub(j.swept) <= j.Patience {
		return
	}
	for key, s := range j.seen {
		if s.asked.Before(j.swept) {
			delete(j.seen, key)
		}
	}
	j.swept = now
}
