package sstable

import (
	"strings"
	"time"
)

// A Name is what the name of a component's file says. The file's name is always
// Stem + "-" + Component.
//
//	2.1        ks-table[.index]-[tmp-|tmplink-]ka-1-Data.db
//	2.2        [tmp-|tmplink-]lb-1-big-Data.db
//	3.0 to 6.0 nb-1-big-Data.db  da-3gqk_0tmd_2qhuo2l5dklx8l3kd3-bti-Data.db
//
// (Cassandra Descriptor.fromFilename.)
type Name struct {
	Stem      string
	Version   string // two letters: "nb"
	ID        string // a number, or a UUID in base 36 (IDTime)
	Format    string // "big" or "bti"; "big" too for 2.1, whose names don't say
	Component string // "Data.db"; "SAI+aa+idx+TermsData.db" is another than "Data.db"
	Keyspace  string // only in names of 2.1
	Table     string // only in names of 2.1
	Index     string // only in names of 2.1: the table-backed index, without a dot
	Temporary bool   // still being written: tmp or tmplink in 2.1 and 2.2, a component ".tmp" since
}

// ParseName parses the name of a component's file. Version letters, formats and
// components that are not known are taken as they are, for Cassandra will add
// more; anything that does not have the form of a component's name, or is no file
// name at all, is false.
func ParseName(file string) (Name, bool) {
	t := strings.Split(file, "-")
	n := Name{Component: t[len(t)-1], Stem: strings.TrimSuffix(file, "-"+t[len(t)-1])}
	if !isComponent(n.Component) || len(t) < 4 || len(t) > 6 || len(file) > 255 {
		return Name{}, false
	}
	parse := n.legacy
	if len(t) == 4 || len(t) == 5 && isTemporary(t[0]) && isID(t[2]) {
		parse = n.modern
	}
	if !parse(t[:len(t)-1]) {
		return Name{}, false
	}
	n.Temporary = n.Temporary || strings.HasSuffix(n.Component, ".tmp")
	return n, true
}

func (n *Name) modern(t []string) bool {
	if n.Temporary = len(t) == 4; n.Temporary {
		t = t[1:]
	}
	n.Version, n.ID, n.Format = t[0], t[1], t[2]
	return isVersion(n.Version) && isID(n.ID) && n.Format != "" && strings.Trim(n.Format, letters) == ""
}

func (n *Name) legacy(t []string) bool {
	if n.Temporary = len(t) == 5; n.Temporary {
		if !isTemporary(t[2]) {
			return false
		}
		t = append(t[:2:2], t[3:]...)
	}
	n.Keyspace, n.Version, n.ID, n.Format = t[0], t[2], t[3], "big"
	var indexed bool
	n.Table, n.Index, indexed = strings.Cut(t[1], ".")
	return isWord(n.Keyspace) && isWord(n.Table) && indexed == isWord(n.Index) &&
		isVersion(n.Version) && n.Version < "l" && isNumber(n.ID)
}

// bti tells the two families of versions apart: their letters are counted
// separately (big: ka … na … pa; bti: da, ea).
func (n Name) bti() bool { return n.Format == "bti" }

// since tells whether the name's version is at least big (or, for bti, whether
// there is such a version at all: the first one, da, has all that oa has).
func (n Name) since(big string) bool { return n.bti() || n.Version >= big }

// Known tells whether this package has been checked against versions of this first
// letter. The files of later ones may have another structure.
func (n Name) Known() bool {
	if n.bti() {
		return n.Version >= "da" && n.Version < "f"
	}
	return n.Format == "big" && n.Version >= "ka" && n.Version < "q"
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyz"
)

func isTemporary(s string) bool { return s == "tmp" || s == "tmplink" }
func isVersion(s string) bool   { return len(s) == 2 && strings.Trim(s, letters) == "" }
func isNumber(s string) bool {
	return s != "" && len(s) <= 10 && strings.Trim(s, digits) == ""
}

// isComponent holds for what Cassandra gives a component as name, "Data.db" or
// "SAI+aa+idx+Meta.db", and not for what other programs make of it, "Data.db~".
func isComponent(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune(digits+letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.+", r) {
			return false
		}
	}
	return s != "" && s[0] != '.' && s[0] != '+'
}

func isID(s string) bool {
	if isNumber(s) {
		return true
	}
	return len(s) == 28 && s[4] == '_' && s[9] == '_' && strings.Trim(s, digits+letters+"_") == "" &&
		strings.Count(s, "_") == 2
}

// IDTime is when the writer of an SSTable was made, on the node's clock, if the
// id is a UUID (uuid_sstable_identifiers_enabled, 4.1+). Such an id has the three
// parts of a version 1 UUID's timestamp in base 36, days _ seconds _ 100 ns ticks
// since 1582-10-15, and then its lower half (Cassandra UUIDBasedSSTableId).
func IDTime(id string) (time.Time, bool) {
	if isNumber(id) || !isID(id) {
		return time.Time{}, false
	}
	days, seconds, ticks := base36(id[:4]), base36(id[5:9]), base36(id[10:15])
	if seconds >= 86400 || ticks >= 1e7 {
		return time.Time{}, false
	}
	// Beyond 292 years a Duration overflows: count from 1970.
	const epoch = -141427 // days from 1970-01-01 to 1582-10-15
	return time.Unix((days+epoch)*86400+seconds, ticks*100).UTC(), true
}

// base36 is at most 36^5, so it can't overflow.
func base36(s string) int64 {
	var n int64
	for i := range len(s) {
		n = n*36 + int64(strings.IndexByte(digits+letters, s[i]))
	}
	return n
}
