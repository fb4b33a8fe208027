package backup

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// absent is a table of the history that the database's newest answer lacks.
type absent struct {
	since time.Time // of the first answer that lacked it, as all have since
	bare  bool      // no live SSTable of it was left after the newest
}

// drops are the tables that are certainly dropped, and since when the database does not name them. One
// answer proves nothing, for while a schema is reset or rebuilt it lacks tables that are there, and what
// is cut is in no later restore (I10): two in a row must lack the table, and no live SSTable be left
// after either. Cassandra deletes those at a DROP, behind the auto snapshot: so the scan before the
// second answer saw that, if there is one.
func (n *Node) drops(r *Report, holds map[sstable.Table]bool, e Existing) map[sstable.Table]time.Time {
	certain := map[sstable.Table]time.Time{}
	if e.Tables == nil {
		return certain
	}
	before := n.absent
	n.absent = map[sstable.Table]absent{}
	for t := range holds {
		if t.ID == "" || sstable.IsSystemKeyspace(t.Keyspace) || e.has(t) {
			continue
		}
		was, again := before[t]
		bytes, err := watcher.LiveBytes(n.DataDirs, t)
		now := absent{since: was.since, bare: bytes == 0 && err == nil && !r.Scan.Partial()}
		if !again {
			now.since = n.Now()
		}
		if was.bare && now.bare {
			certain[t] = now.since.UTC()
		}
		n.absent[t] = now
	}
	return certain
}

// awaitDrops reports the tables that are absent and not cut: the next pass, which is to be soon, asks
// again, even if there is nothing new then.
func (n *Node) awaitDrops(r *Report, cuts []cut) {
	for _, t := range slices.SortedFunc(maps.Keys(n.absent), manifest.CompareTables) {
		if slices.ContainsFunc(cuts, func(c cut) bool { return c.table == t && c.Why.Is(manifest.Dropped) }) {
			continue
		}
		name := fmt.Sprintf("table %s.%s", t.Keyspace, t.Name)
		if n.Now().Sub(n.absent[t].since) < n.Judge.Patience {
			r.Waiting = append(r.Waiting, Held{name, "the database does not name it any more; it is asked again before that counts as a DROP"})
			continue
		}
		r.Problems = append(r.Problems, fmt.Errorf("%s: the database does not name it any more, but no DROP is certain: "+
			"live SSTables are left in %s, or can't be listed, or it does not answer again", name, t.Dir()))
	}
}
