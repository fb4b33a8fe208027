package restore

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sstash/sstash/internal/sstable"
)

// layOut gives every SSTable of one table a stem of its own within its directory (I9). The first
// that has a stem keeps it; others get the next number above all that are there, which every version
// of Cassandra reads, beside UUIDs too.
func layOut(all []SSTable) (renumbered bool, err error) {
	type place struct{ index, stem string }
	taken := map[place]bool{}
	highest := map[string]int64{} // by index
	for _, s := range all {
		n, _ := sstable.ParseName(s.Stem + "-" + sstable.Data)
		if id, err := strconv.ParseInt(n.ID, 10, 64); err == nil {
			highest[s.Index] = max(highest[s.Index], id)
		}
	}
	for i := range all {
		s := &all[i]
		if !taken[place{s.Index, s.Stem}] {
			taken[place{s.Index, s.Stem}] = true
			continue
		}
		highest[s.Index]++
		stem, err := renumber(s.Stem, highest[s.Index])
		if err != nil {
			return renumbered, err
		}
		s.Was, s.Stem = s.Stem, stem
		taken[place{s.Index, stem}] = true
		renumbered = true
	}
	return renumbered, nil
}

// renumber puts another id into a stem: "nb-1-big" → "nb-7-big", "ks-table-ka-1" → "ks-table-ka-7".
func renumber(stem string, id int64) (string, error) {
	n, ok := sstable.ParseName(stem + "-" + sstable.Data)
	if !ok || n.Temporary || id > math.MaxInt32 {
		return "", fmt.Errorf("%s is there twice with different contents, and has no number that could be changed to %d", stem, id)
	}
	tokens := strings.Split(stem, "-")
	if n.Keyspace != "" {
		tokens[len(tokens)-1] = strconv.FormatInt(id, 10)
	} else {
		tokens[1] = strconv.FormatInt(id, 10)
	}
	return strings.Join(tokens, "-"), nil
}
