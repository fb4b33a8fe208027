package columns

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// benchmarkTables are a table of a fixture and one of metrics.
func benchmarkTables(b *testing.B) map[string]dataFile {
	b.Helper()
	files := dataFiles(b, "5.0.8-nb")
	largest := slices.MaxFunc(files, func(a, b dataFile) int { return len(a.raw) - len(b.raw) })
	tab := metricsTable(rand.New(rand.NewPCG(1, 7)))
	schema, err := ParseSchema(tab.version, tab.header())
	if err != nil {
		b.Fatal(err)
	}
	return map[string]dataFile{
		"fixture": largest,
		"metrics": {raw: tab.data(4 << 20), schema: schema},
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, f := range benchmarkTables(b) {
		for _, level := range []Level{Fast, Balanced, Dense} {
			b.Run(name+"/"+[]string{"balanced", "fast", "dense"}[level], func(b *testing.B) {
				e := newEncoder(b, level)
				var out []byte
				b.SetBytes(int64(len(f.raw)))
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if out, _, err = e.Encode(out[:0], f.raw, f.schema, State{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(out))/float64(len(f.raw)), "of_raw")
			})
		}
		b.Run(name+"/zstd", func(b *testing.B) {
			z, err := newZstd(zstd.SpeedFastest, textWindow)
			if err != nil {
				b.Fatal(err)
			}
			var out []byte
			b.SetBytes(int64(len(f.raw)))
			for b.Loop() {
				out = z.EncodeAll(f.raw, out[:0])
			}
			b.ReportMetric(float64(len(out))/float64(len(f.raw)), "of_raw")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, f := range benchmarkTables(b) {
		b.Run(name, func(b *testing.B) {
			frame, _, err := newEncoder(b, Balanced).Encode(nil, f.raw, f.schema, State{})
			if err != nil {
				b.Fatal(err)
			}
			d := NewDecoder()
			var out []byte
			b.SetBytes(int64(len(f.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if out, err = d.Decode(out[:0], frame, len(f.raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
