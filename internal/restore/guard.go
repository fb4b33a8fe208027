package restore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
)

var (
	// ErrNotEmpty: a table that is to be loaded holds data.
	ErrNotEmpty = fmt.Errorf("%w: not empty", ErrRefused)
	// ErrPartitioner: the SSTables have another partitioner than the node. Up to 4.1 such an import
	// makes the node exit.
	ErrPartitioner = fmt.Errorf("%w: another partitioner", ErrRefused)
	// ErrVersion: the node can't read SSTables of that version, or can't import at all.
	ErrVersion = fmt.Errorf("%w: version", ErrRefused)
)

// checkNode refuses what the node could not load, as far as it is known.
func checkNode(p *Plan, id cassandra.Identity) error {
	major, _, _ := strings.Cut(id.Release, ".")
	release, err := strconv.Atoi(major)
	if err == nil && release < 4 {
		return fmt.Errorf("%w: Cassandra %s has no import; restore to a directory, and use nodetool refresh or sstableloader", ErrVersion, id.Release)
	}
	if p.Source != nil && p.Source.Partitioner != "" && !samePartitioner(p.Source.Partitioner, id.Partitioner) {
		return fmt.Errorf("%w: the point was written with %s, the node has %s", ErrPartitioner, p.Source.Partitioner, id.Partitioner)
	}
	for _, t := range p.Tables {
		for _, has := range t.partitioners() {
			if !samePartitioner(has, id.Partitioner) {
				return fmt.Errorf("%w: %s was written with %s, the node has %s", ErrPartitioner, t.Source(), has, id.Partitioner)
			}
		}
		for _, s := range t.SSTables {
			if n, ok := sstable.ParseName(s.Stem + "-" + sstable.Data); ok && !readable(release, n) {
				return fmt.Errorf("%w: Cassandra %s can't read %s of %s; restore to a directory, and use another release's tools", ErrVersion, id.Release, s.Stem, t.Source())
			}
		}
	}
	return nil
}

// readable tells whether a release can read a version, true where that is not known (Cassandra
// BigFormat.isCompatible, BtiFormat.isCompatible: by the first letter). What 5.0 reads also depends on
// its storage_compatibility_mode; import itself refuses then.
func readable(major int, n sstable.Name) bool {
	letter := n.Version[0]
	bti := n.Format == "bti"
	switch major {
	case 4:
		return !bti && letter >= 'm' && letter <= 'n'
	case 5:
		return bti && letter == 'd' || !bti && letter >= 'm' && letter <= 'o'
	case 6:
		return bti && letter <= 'e' || !bti && letter <= 'p'
	}
	return true
}

// partitioners lists those that the table's SSTables were written with, each once.
func (t Table) partitioners() []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, s := range t.SSTables {
		if !seen[s.Partitioner] {
			seen[s.Partitioner] = true
			all = append(all, s.Partitioner)
		}
	}
	return all
}

// samePartitioner compares class names with or without their package.
func samePartitioner(a, b string) bool {
	last := func(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }
	return last(a) == last(b)
}
