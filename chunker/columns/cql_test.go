package columns

import (
	"math"
	"slices"
	"strings"
)

type cqlColumn struct {
	name string
	cqlType
}

type cqlType struct {
	marshal string
	fixed   int // length of values, -1 if written before each
	complex bool
	value   func(*table) []byte
}

func (t *table) words() []byte {
	var s []string
	for range t.IntN(2 + t.longest/5) {
		s = append(s, []string{"red", "green", "blue", "lorem", "ipsum", "dolor"}[t.IntN(6)])
	}
	return []byte(strings.Join(s, " "))
}

// now is a time in microseconds since 1970 near to those of the rows.
func (t *table) now() uint64 { return t.minTimestamp + 1442880000000000 + t.Uint64N(1e9) }

func (t *table) timeUUID() []byte {
	if t.chance(3) {
		return t.noise(16)
	}
	ticks := t.now()*10 + 122192928000000000
	b := append(be(4, ticks), be(2, ticks>>32)...)
	b = append(b, be(2, ticks>>48&0xfff|0x1000)...)
	return append(b, []byte{0x80, 1, 2, 3, 4, 5, 6, byte(t.IntN(3))}...)
}

// numeric is a type of values of one length, which is written before them or not.
func numeric(marshal string, length int, written bool, v func(*table) uint64) cqlType {
	c := cqlType{marshal: marshal, fixed: length, value: func(t *table) []byte { return be(length, v(t)) }}
	if written {
		c.fixed = -1
	}
	return c
}

func small(t *table) uint64 { return uint64(int64(t.IntN(1000) - 20)) }

func prices(t *table) uint64 {
	if t.chance(2) {
		return math.Float64bits(t.NormFloat64())
	}
	return math.Float64bits(float64(t.IntN(100000)) / 100)
}

func prices32(t *table) uint64 {
	return uint64(math.Float32bits(float32(t.IntN(10000)) / 10))
}

func variableType(marshal string) cqlType {
	return cqlType{marshal: marshal, fixed: -1, value: func(t *table) []byte { return t.words() }}
}

// simpleTypes are those of values in one piece.
func simpleTypes() []cqlType {
	list := []cqlType{
		numeric("BooleanType", 1, false, func(t *table) uint64 { return uint64(t.IntN(2)) }),
		numeric("Int32Type", 4, false, small),
		numeric("LongType", 8, false, small),
		numeric("LongType", 8, false, func(t *table) uint64 { return t.Uint64() }),
		numeric("TimestampType", 8, false, func(t *table) uint64 { return t.now() / 1000 }),
		numeric("DateType", 8, false, func(t *table) uint64 { return t.now() / 1000 }),
		numeric("FloatType", 4, false, prices32),
		numeric("DoubleType", 8, false, prices),
		numeric("DoubleType", 8, false, func(t *table) uint64 { return math.Float64bits(t.NormFloat64()) }),
		numeric("ShortType", 2, true, small),
		numeric("ByteType", 1, true, small),
		numeric("SimpleDateType", 4, true, small),
		numeric("TimeType", 8, true, small),
		{"CounterColumnType", -1, false, func(t *table) []byte { return t.noise(34) }},
		{"UUIDType", 16, false, func(t *table) []byte { return t.noise(16) }},
		{"LexicalUUIDType", 16, false, func(t *table) []byte { return slices.Repeat([]byte{byte(t.IntN(5))}, 16) }},
		{"TimeUUIDType", 16, false, (*table).timeUUID},
		{"EmptyType", 0, false, func(*table) []byte { return nil }},
		{"VectorType(org.apache.cassandra.db.marshal.FloatType , 7)", 28, false, func(t *table) []byte { return t.noise(28) }},
		{"VectorType(org.apache.cassandra.db.marshal.TimeUUIDType , 2)", 32, false, func(t *table) []byte { return t.noise(32) }},
		{"VectorType(org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.Int32Type , 2) , 3)", 24, false, func(t *table) []byte { return t.noise(24) }},
		{"com.example.OwnType", -1, false, func(t *table) []byte { return t.noise(t.IntN(9)) }},
	}
	for _, m := range []string{
		"UTF8Type", "AsciiType", "BytesType", "DecimalType", "IntegerType", "DurationType", "InetAddressType",
		"TupleType(org.apache.cassandra.db.marshal.Int32Type,org.apache.cassandra.db.marshal.UTF8Type)",
		"FrozenType(org.apache.cassandra.db.marshal.ListType(org.apache.cassandra.db.marshal.Int32Type))",
		"FrozenType(org.apache.cassandra.db.marshal.UserType(ks,61,62:org.apache.cassandra.db.marshal.Int32Type))",
		"VectorType(org.apache.cassandra.db.marshal.UTF8Type , 2)",
	} {
		list = append(list, variableType(m))
	}
	return list
}

func complexTypes() []cqlType {
	var list []cqlType
	for _, m := range []string{
		"ListType(org.apache.cassandra.db.marshal.Int32Type)", "SetType(org.apache.cassandra.db.marshal.UTF8Type)",
		"MapType(org.apache.cassandra.db.marshal.Int32Type,org.apache.cassandra.db.marshal.LongType)",
		"UserType(ks,61,62:org.apache.cassandra.db.marshal.Int32Type)",
	} {
		c := variableType(m)
		c.complex = true
		list = append(list, c)
	}
	return list
}

// qualified puts the package before the names of Cassandra's types.
func qualified(marshal string) []byte {
	if !strings.HasPrefix(marshal, "com.") {
		marshal = "org.apache.cassandra.db.marshal." + marshal
	}
	return []byte(marshal)
}
