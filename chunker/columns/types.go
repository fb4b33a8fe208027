package columns

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds on a type's text: more is no table that anyone made.
const (
	maxTypeText = 1 << 16
	maxNesting  = 32
)

// parseType reads the type of a column, without the package of Cassandra's own types
// (Cassandra TypeParser). A user type outside of FrozenType is taken for a frozen
// one if frozen is set.
func parseType(text string, frozen bool) (column, error) {
	name, _, _ := strings.Cut(text, "(")
	switch name {
	case "ListType", "SetType", "MapType":
		return column{kind: variable, count: 1, complex: true}, nil
	case "UserType":
		return column{kind: variable, count: 1, complex: !frozen}, nil
	}
	return parseValue(text, maxNesting)
}

// parseValue reads a type whose values lie in one piece. Which have a length of
// their own, and so none is written, is Cassandra's AbstractType.valueLengthIfFixed:
// not byte, short, date and time.
func parseValue(text string, depth int) (column, error) {
	if len(text) == 0 || len(text) > maxTypeText {
		return column{}, fmt.Errorf("type of %d bytes: %w", len(text), ErrUnknown)
	}
	name, inner, nested := strings.Cut(text, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	if nested != closed || depth == 0 {
		return column{}, fmt.Errorf("type %.60q: %w", text, ErrUnknown)
	}
	one := func(k kind, count uint64) (column, error) { return column{kind: k, count: count}, nil }
	switch name {
	case "ReversedType", "FrozenType":
		return parseValue(inner, depth-1)
	case "VectorType":
		return parseVector(inner, depth-1)
	case "BooleanType":
		return one(bool8, 1)
	case "Int32Type":
		return one(int32be, 1)
	case "LongType":
		return one(int64be, 1)
	case "TimestampType", "DateType":
		return one(millis, 1)
	case "FloatType":
		return one(float32be, 1)
	case "DoubleType":
		return one(float64be, 1)
	case "TimeUUIDType":
		return one(timeuuid, 1)
	case "UUIDType", "LexicalUUIDType":
		return one(opaque, 16)
	case "EmptyType":
		return one(opaque, 0)
	}
	return one(variable, 1)
}

// parseVector reads "element , dimension".
func parseVector(inner string, depth int) (column, error) {
	comma := strings.LastIndexByte(inner, ',')
	if comma < 0 {
		return column{}, fmt.Errorf("vector of %.60q: %w", inner, ErrUnknown)
	}
	dimension, err := strconv.ParseUint(strings.TrimSpace(inner[comma+1:]), 10, 32)
	if err != nil {
		return column{}, fmt.Errorf("vector of %.60q: %w", inner, ErrUnknown)
	}
	c, err := parseValue(strings.TrimSpace(inner[:comma]), depth)
	if err != nil {
		return column{}, err
	}
	switch c.kind {
	case variable: // elements with lengths, in a value with a length
		return c, nil
	case timeuuid:
		c = column{kind: opaque, count: 16}
	case millis:
		c.kind = int64be // the timestamp of the row tells nothing of so many
	}
	c.count *= dimension
	if c.count > maxElements {
		return column{}, fmt.Errorf("vector of %d elements: %w", c.count, ErrUnknown)
	}
	return c, nil
}
