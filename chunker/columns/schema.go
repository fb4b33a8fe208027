package columns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Schema is what the grammar of a Data.db depends on. It never changes after
// ParseSchema and may be shared between goroutines.
type Schema struct {
	modern       bool   // deletion times of partitions in the form of 5.0 (oa, da, pa, ea)
	minTimestamp uint64 // microseconds since 1970; timestamps are written as differences to it
	minDeletion  uint64 // seconds since 1970; local deletion times likewise
	minTTL       uint64 // seconds; TTLs likewise
	clustering   []column
	static       []column
	regular      []column

	// frozen is the other reading of the same header. 3.0 writes frozen user
	// types as bare UserType, which since 3.6 means that each field is a cell of
	// its own, in versions of the same letters (CASSANDRA-15035).
	frozen *Schema
}

// sameColumns tells whether the SSTables of two schemas may be of one table.
func (s *Schema) sameColumns(t *Schema) bool {
	return slices.Equal(s.clustering, t.clustering) && slices.Equal(s.static, t.static) && slices.Equal(s.regular, t.regular)
}

// A column is how the values of a column lie in a row.
type column struct {
	kind    kind
	complex bool   // cells with a path each: collections and user types that are not frozen
	count   uint64 // of elements per value: more than one in vectors
}

// A kind is how a value is written and which streams it goes to. The values are
// part of the format.
type kind uint8

const (
	variable kind = iota // vint length and bytes
	bool8                // numbers of so many bits, big-endian
	int32be
	int64be
	millis // int64 that counts milliseconds since 1970
	float32be
	float64be
	timeuuid
	opaque // one byte; count is the length
	kinds  // how many there are
)

// bits is the size of one element of a kind of numbers.
func (k kind) bits() uint {
	switch k {
	case bool8:
		return 8
	case int32be, float32be:
		return 32
	}
	return 64
}

const (
	// maxColumns bounds what a hostile schema makes a decoder allocate.
	maxColumns = 4096

	// maxElements is beyond any vector's dimension.
	maxElements = 1 << 20

	// Epochs of the minima in a header (Cassandra EncodingStats): 2015-09-22.
	timestampEpoch = 1442880000 * 1000000
	deletionEpoch  = 1442880000
)

// ParseSchema reads the serialization header of an SSTable: the part of type 3 of
// its Statistics.db, without checksum (Cassandra SerializationHeader.Serializer).
// The version is that of the SSTable's name. A version or a type of which the grammar
// isn't known is ErrUnknown; a type that Cassandra doesn't bring is taken for one
// of variable length, for the walk shows whether it is.
func ParseSchema(version string, header []byte) (*Schema, error) {
	s := &Schema{}
	switch {
	case len(version) != 2:
		return nil, fmt.Errorf("version %q: %w", version, ErrUnknown)
	case version[0] == 'm' || version[0] == 'n':
	case version[0] == 'o' || version[0] == 'p' || version[0] == 'd' || version[0] == 'e':
		s.modern = true
	default:
		return nil, fmt.Errorf("version %q: %w", version, ErrUnknown)
	}
	h, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("parse serialization header: %w", err)
	}
	s.minTimestamp = h.minTimestamp + timestampEpoch
	s.minDeletion = h.minDeletion + deletionEpoch
	s.minTTL = h.minTTL
	ambiguous := version[0] == 'm' && h.userTypes()
	if err := s.setColumns(h, false); err != nil {
		return nil, fmt.Errorf("parse serialization header: %w", err)
	}
	if ambiguous {
		other := *s
		if err := other.setColumns(h, true); err != nil {
			return nil, fmt.Errorf("parse serialization header: %w", err)
		}
		s.frozen = &other
	}
	return s, nil
}

func (s *Schema) setColumns(h header, frozen bool) (err error) {
	s.clustering = make([]column, len(h.clustering))
	for i, t := range h.clustering {
		if s.clustering[i], err = parseValue(t.marshal, maxNesting); err != nil {
			return err
		}
	}
	if s.static, err = layout(h.static, frozen); err != nil {
		return err
	}
	s.regular, err = layout(h.regular, frozen)
	return err
}

// A header is the serialization header as it is written.
type header struct {
	minTimestamp, minDeletion, minTTL uint64
	clustering, static, regular       []namedType
}

type namedType struct{ name, marshal string }

func parseHeader(b []byte) (header, error) {
	r := reader{b: b}
	h := header{minTimestamp: r.vint(), minDeletion: r.vint(), minTTL: r.vint()}
	r.text() // the type of the key, which is written with its length whatever its type
	h.clustering = r.types(false)
	h.static = r.types(true)
	h.regular = r.types(true)
	switch {
	case r.bad:
		return header{}, fmt.Errorf("shorter than it says")
	case len(r.b) > 0:
		return header{}, fmt.Errorf("%d bytes too many: %w", len(r.b), ErrUnknown)
	case len(h.clustering)+len(h.static)+len(h.regular) > maxColumns:
		return header{}, fmt.Errorf("more than %d columns: %w", maxColumns, ErrUnknown)
	}
	return h, nil
}

// types reads a list of types, each with a name before it or not.
func (r *reader) types(named bool) []namedType {
	var list []namedType
	for n := r.vint(); n > 0 && !r.bad; n-- {
		var t namedType
		if named {
			t.name = string(r.text())
		}
		t.marshal = strings.ReplaceAll(string(r.text()), "org.apache.cassandra.db.marshal.", "")
		list = append(list, t)
	}
	return list
}

// userTypes tells whether a column has a user type that may be frozen or not.
func (h header) userTypes() bool {
	bare := func(t namedType) bool { return strings.HasPrefix(t.marshal, "UserType(") }
	return slices.ContainsFunc(h.static, bare) || slices.ContainsFunc(h.regular, bare)
}

// layout gives the columns in the order in which a row has them: the complex ones
// last, each group by name (Cassandra Columns, ColumnMetadata.comparisonOrder).
func layout(types []namedType, frozen bool) ([]column, error) {
	type entry struct {
		name string
		column
	}
	entries := make([]entry, len(types))
	for i, t := range types {
		c, err := parseType(t.marshal, frozen)
		if err != nil {
			return nil, err
		}
		entries[i] = entry{t.name, c}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		if a.complex != b.complex {
			if a.complex {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.name, b.name)
	})
	list := make([]column, len(entries))
	for i, e := range entries {
		list[i] = e.column
	}
	return list, nil
}

// appendTo appends the schema in the form that a frame carries.
func (s *Schema) appendTo(b []byte) []byte {
	modern := byte(0)
	if s.modern {
		modern = 1
	}
	b = append(b, modern)
	for _, v := range []uint64{s.minTimestamp - timestampEpoch, s.minDeletion - deletionEpoch, s.minTTL} {
		b = appendVint(b, v)
	}
	for _, list := range [][]column{s.clustering, s.static, s.regular} {
		b = appendVint(b, uint64(len(list)))
		for _, c := range list {
			k := byte(c.kind) << 2
			if c.complex {
				k |= 2
			}
			if c.count == 1 {
				b = append(b, k)
			} else {
				b = appendVint(append(b, k|1), c.count)
			}
		}
	}
	return b
}

// schema reads what appendTo wrote.
func (r *reader) schema() *Schema {
	s := &Schema{modern: r.byte() == 1}
	s.minTimestamp, s.minDeletion, s.minTTL = r.vint()+timestampEpoch, r.vint()+deletionEpoch, r.vint()
	room := uint64(maxColumns)
	for _, list := range []*[]column{&s.clustering, &s.static, &s.regular} {
		n := r.vint()
		if n > room || n > uint64(len(r.b)) {
			r.fail()
			return nil
		}
		room -= n
		*list = make([]column, n)
		for i := range *list {
			k := r.byte()
			c := column{kind: kind(k >> 2), complex: k&2 != 0, count: 1}
			if k&1 != 0 {
				c.count = r.vint()
			}
			if c.kind >= kinds || c.count > maxElements || c.complex && c.kind != variable {
				r.fail()
			}
			(*list)[i] = c
		}
	}
	if r.bad {
		return nil
	}
	return s
}
