package sstable

import (
	"slices"
	"strings"
)

// The components that a backup has to know by name. There are more.
const (
	Data            = "Data.db"
	Index           = "Index.db"      // big
	Partitions      = "Partitions.db" // bti
	Rows            = "Rows.db"       // bti; often empty
	Summary         = "Summary.db"
	Filter          = "Filter.db"
	Statistics      = "Statistics.db"
	CompressionInfo = "CompressionInfo.db" // compressed tables; the others have CRC
	CRC             = "CRC.db"
	TOC             = "TOC.txt"
)

// Mutable tells whether a component may change under its name while it belongs to
// the same SSTable: Statistics.db at repairs, Summary.db by redistribution,
// Filter.db and TOC.txt even in place. A link to one of these proves nothing
// without its hash (I8), and other contents under the same name are no corruption
// (I9). Data.db and the rest never change.
func Mutable(component string) bool {
	switch component {
	case Statistics, Summary, Filter, TOC:
		return true
	}
	return false
}

// Attached tells whether a component belongs to a SAI or SASI index. These come
// and go with the index, also after the SSTable was linked, and TOC.txt lists some
// that never exist.
func Attached(component string) bool {
	return strings.HasPrefix(component, "SAI+") || strings.HasPrefix(component, "SI_")
}

// Missing compares the components that are there with those that should be.
//
// Without the required ones the SSTable can't be opened: Data, Statistics, Index
// (big) or Partitions and Rows (bti), and CompressionInfo or CRC. A format that is
// not known needs what either of the two needs. Those listed are the names in
// TOC.txt (parsed by ParseTOC; nil if there is none) that are neither there, nor
// required, nor attached. Streamed SSTables have no TOC.txt, and in others it lists
// too little or too much: required ones decide, listed ones are worth waiting for.
func Missing(format string, have, toc []string) (required, listed []string) {
	lacks := func(name string) bool { return !slices.Contains(have, name) }
	need := func(names ...string) {
		required = append(required, slices.DeleteFunc(names, func(n string) bool { return !lacks(n) })...)
	}
	need(Data, Statistics)
	switch {
	case format == "bti", format != "big" && lacks(Index):
		need(Partitions, Rows)
	default:
		need(Index)
	}
	switch {
	case !lacks(CompressionInfo), !lacks(CRC):
	case slices.Contains(toc, CompressionInfo):
		need(CompressionInfo)
	case slices.Contains(toc, CRC):
		need(CRC)
	default:
		need(CompressionInfo + " or " + CRC)
	}
	for _, name := range toc {
		if lacks(name) && !Attached(name) && !slices.Contains(required, name) {
			listed = append(listed, name)
		}
	}
	return required, listed
}

// ParseTOC gives the component names of a TOC.txt in its order, each once. The
// file repeats names (2.1, 2.2, 4.1, 5.0), and SASI may leave its own name alone in
// it (3.11, 4.0).
func ParseTOC(b []byte) []string {
	var names []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		name := strings.TrimSpace(line)
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		names = append(names, name)
	}
	return names
}
