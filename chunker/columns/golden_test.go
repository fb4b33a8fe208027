package columns

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files that don't exist yet")

// golden returns a file of testdata. Files that exist are never rewritten: they stand
// for frames in somebody's bucket.
func golden(t *testing.T, name string, current []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "v1", name)
	b, err := os.ReadFile(path)
	if *update && errors.Is(err, fs.ErrNotExist) {
		b = current
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkGolden decodes a golden frame, and what the current code makes of its rows.
func checkGolden(t *testing.T, name string, tab *table, size int) *Decoder {
	t.Helper()
	data := tab.data(size)[:size]
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		t.Fatal(err)
	}
	frame, _, err := newEncoder(t, Balanced).Encode(nil, data, schema, State{})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder()
	if out, err := d.Decode(nil, frame, size); err != nil || !bytes.Equal(out, data) {
		t.Errorf("now: %v", err)
	}
	raw := golden(t, name+".raw", data)
	out, err := d.Decode(nil, golden(t, name+".frame", frame), len(raw))
	if err != nil || !bytes.Equal(out, raw) {
		t.Errorf("golden: %v", err)
	}
	return d
}

func TestGoldenVersions(t *testing.T) {
	for i, version := range []string{"ma", "mc", "me", "na", "nb", "oa", "da", "pa", "ea"} {
		t.Run(version, func(t *testing.T) {
			tab := randomTable(rand.New(rand.NewPCG(uint64(i), 8)), 20)
			tab.version, tab.longest = version, 10
			checkGolden(t, version, tab, 4000)
		})
	}
}

// One frame for each mode, which then is that of the last column's numbers.
func TestGoldenModes(t *testing.T) {
	n := uint64(0)
	long := func(v func(t *table) uint64) cqlType { return numeric("LongType", 8, false, v) }
	double := func(v func(t *table) float64) cqlType {
		return numeric("DoubleType", 8, false, func(t *table) uint64 { return math.Float64bits(v(t)) })
	}
	for _, c := range []struct {
		name   string
		mode   mode
		column cqlType
	}{
		{"plain", modePlain, long(func(t *table) uint64 { return t.Uint64N(250) })},
		{"delta", modeDelta, long(func(t *table) uint64 { n += t.Uint64N(5) - 2; return n })},
		{"delta2", modeDelta2, long(func(*table) uint64 { n++; return n * n * 7 })},
		{"reference", modeReference, numeric("TimestampType", 8, false, func(t *table) uint64 {
			now := 1742880000000 + t.clock/1000
			t.clock += t.Uint64N(1e12)
			return now
		})},
		{"xor", modeXor, double(func(*table) float64 { n++; return math.Sqrt(float64(n / 200 % 9)) })},
		{"decimal", modeDecimal, double(func(t *table) float64 { n++; return float64(n+t.Uint64N(9)) / 100 })},
		{"exceptions", modeDecimal, double(func(t *table) float64 {
			if n++; t.IntN(20) == 0 {
				return math.NaN()
			}
			return float64(t.IntN(100)) / 10
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			n = 0
			d := checkGolden(t, "mode-"+c.name, steadyTable(rand.New(rand.NewPCG(1, 9)), c.column), 20000)
			if got := d.walker.regular[0].numbers.mode; got != c.mode {
				t.Errorf("mode %d, want %d", got, c.mode)
			}
		})
	}
}

func TestGoldenTexts(t *testing.T) {
	for _, c := range []struct {
		name   string
		column cqlType
	}{
		{"dictionary", cqlType{"UTF8Type", -1, false, func(t *table) []byte { return []byte([]string{"", "up", "down"}[t.IntN(3)]) }}},
		{"words", variableType("UTF8Type")},
		{"noise", cqlType{"UUIDType", 16, false, func(t *table) []byte { return t.noise(16) }}},
		{"timeuuid", cqlType{"TimeUUIDType", 16, false, (*table).timeUUID}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := steadyTable(rand.New(rand.NewPCG(1, 10)), c.column)
			tab.longest = 60
			d := checkGolden(t, "texts-"+c.name, tab, 20000)
			if dictionary := len(d.walker.regular[0].texts.dictionary) > 0; dictionary != (c.name == "dictionary" || c.name == "timeuuid") {
				t.Errorf("dictionary: %v", dictionary)
			}
		})
	}
}
