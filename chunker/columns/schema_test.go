package columns

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseType(t *testing.T) {
	for _, c := range []struct {
		text string
		want column
	}{
		{"BooleanType", column{kind: bool8, count: 1}},
		{"Int32Type", column{kind: int32be, count: 1}},
		{"DateType", column{kind: millis, count: 1}},
		{"UUIDType", column{kind: opaque, count: 16}},
		{"EmptyType", column{kind: opaque}},
		{"ShortType", column{kind: variable, count: 1}}, // its length is written, though it is always 2
		{"CounterColumnType", column{kind: variable, count: 1}},
		{"com.example.Own(a,b)", column{kind: variable, count: 1}},
		{"ReversedType(TimeUUIDType)", column{kind: timeuuid, count: 1}},
		{"ReversedType(FrozenType(SetType(Int32Type)))", column{kind: variable, count: 1}},
		{"FrozenType(MapType(Int32Type,Int32Type))", column{kind: variable, count: 1}},
		{"MapType(Int32Type,Int32Type)", column{kind: variable, count: 1, complex: true}},
		{"UserType(ks,61,62:Int32Type)", column{kind: variable, count: 1, complex: true}},
		{"TupleType(Int32Type)", column{kind: variable, count: 1}},
		{"VectorType(FloatType , 3)", column{kind: float32be, count: 3}},
		{"VectorType(UTF8Type , 3)", column{kind: variable, count: 1}},
		{"VectorType(UUIDType,2)", column{kind: opaque, count: 32}},
		{"VectorType(VectorType(TimestampType , 3) , 4)", column{kind: int64be, count: 12}},
	} {
		if got, err := parseType(c.text, false); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{
		"", "ReversedType(Int32Type", "VectorType(FloatType)", "VectorType(FloatType,-1)", "VectorType(FloatType,9999999999)",
		"VectorType(VectorType(FloatType,9999),9999)", "ReversedType()", "Int32Type)x(",
		strings.Repeat("ReversedType(", 99) + "Int32Type" + strings.Repeat(")", 99), strings.Repeat("a", 70000),
	} {
		if got, err := parseType(text, false); !errors.Is(err, ErrUnknown) {
			t.Errorf("%.40q: %+v, %v", text, got, err)
		}
	}
}

func TestParseSchemaRefuses(t *testing.T) {
	good := (&table{version: "nb"}).header()
	for _, version := range []string{"", "n", "la", "ka", "qa", "nbb", "NB"} {
		if _, err := ParseSchema(version, good); !errors.Is(err, ErrUnknown) {
			t.Errorf("version %q: %v", version, err)
		}
	}
	if _, err := ParseSchema("nb", append(slices.Clone(good), 0)); !errors.Is(err, ErrUnknown) {
		t.Errorf("with a byte more: %v", err)
	}
	for n := range good {
		if _, err := ParseSchema("nb", good[:n]); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(good))
		}
	}
	many := &table{version: "nb"}
	for range maxColumns + 1 {
		many.regular = append(many.regular, cqlColumn{"c", variableType("UTF8Type")})
	}
	if _, err := ParseSchema("nb", many.header()); !errors.Is(err, ErrUnknown) {
		t.Errorf("%d columns: %v", maxColumns+1, err)
	}
}

// The complex columns come last, whatever the order in the header.
func TestSchemaOrder(t *testing.T) {
	tab := &table{version: "nb", regular: []cqlColumn{
		{"b", complexTypes()[0]}, {"c", variableType("UTF8Type")}, {"a", numeric("Int32Type", 4, false, small)},
	}}
	s, err := ParseSchema("nb", tab.header())
	if err != nil {
		t.Fatal(err)
	}
	want := []column{{kind: int32be, count: 1}, {kind: variable, count: 1}, {kind: variable, count: 1, complex: true}}
	if !slices.Equal(s.regular, want) {
		t.Errorf("%+v, want %+v", s.regular, want)
	}
}
