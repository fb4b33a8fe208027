package chunker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

var update = flag.Bool("update", false, "write the golden files that don't exist yet")

// goldenTables are real tables in testdata, by version: where they are from, and what their frames are.
var goldenTables = []struct {
	version, variant, table string
	transforms              []chunker.Transform
}{
	{"ka", "2.1.22-ka", "c_lz4_4k", []chunker.Transform{chunker.Unchunked}}, // class A, Adler-32
	{"me", "3.11.19-me", "c_lz4_4k", []chunker.Transform{chunker.Unchunked, chunker.Columns}},
	{"nb", "5.0.8-nb", "wide", []chunker.Transform{chunker.Unchunked, chunker.Columns}},
	{"da", "5.0.8-da", "c_lz4_4k", []chunker.Transform{chunker.Columns}},
}

// goldenTable reads a table of testdata.
func goldenTable(t testing.TB, version string) dataFile {
	t.Helper()
	files := readDataFiles(t, filepath.Join("testdata", "tables", version))
	if len(files) != 1 {
		t.Fatalf("%d tables of version %s in testdata", len(files), version)
	}
	return files[0]
}

// copyTable puts the largest file of a fixture's table where goldenTable finds it.
func copyTable(t *testing.T, version, variant, table string) {
	var largest dataFile
	for _, f := range fixtureFiles(t, variant) {
		if strings.Contains(f.path, "/shop/"+table+"-") && len(f.raw) > len(largest.raw) {
			largest = f
		}
	}
	dir := filepath.Join("testdata", "tables", version)
	err := os.MkdirAll(dir, 0o755)
	for _, component := range []string{sstable.Data, sstable.Statistics, sstable.CompressionInfo, sstable.Index} {
		stem := strings.TrimSuffix(largest.path, sstable.Data)
		b, err2 := os.ReadFile(stem + component)
		if component == sstable.Index && errors.Is(err2, fs.ErrNotExist) {
			continue // of bti
		}
		err = errors.Join(err, err2, os.WriteFile(filepath.Join(dir, filepath.Base(stem)+component), b, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// golden returns a frame of testdata. Files that exist are never rewritten: they stand for frames in
// somebody's bucket.
func golden(t *testing.T, name string, current chunker.Frame) chunker.Frame {
	t.Helper()
	path := filepath.Join("testdata", "frames", name)
	b, err := os.ReadFile(path)
	if *update && errors.Is(err, fs.ErrNotExist) {
		b = binary.BigEndian.AppendUint32([]byte{byte(current.Codec), byte(current.Transform)}, current.Raw)
		b = append(append(b, current.Hash[:]...), current.Data...)
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	f := chunker.Frame{Codec: chunker.Codec(b[0]), Transform: chunker.Transform(b[1]), Raw: binary.BigEndian.Uint32(b[2:])}
	f.Data = b[6+copy(f.Hash[:], b[6:]):]
	return f
}

// Frames that were once made of real tables are read for ever, and today's code makes frames of the same
// tables that come back.
func TestI6_GoldenFrames(t *testing.T) {
	for _, g := range goldenTables {
		if _, err := os.Stat(filepath.Join("testdata", "tables", g.version)); *update && err != nil {
			copyTable(t, g.version, g.variant, g.table)
		}
		table := goldenTable(t, g.version)
		p := table.pieces(len(table.ends))[0]
		for _, transform := range g.transforms {
			rows := table.rows
			if transform == chunker.Unchunked {
				rows.Schema = nil
			}
			e := newEncoder(t, chunker.Balanced)
			e.OpenRows(p, rows, chunker.RowsState{})
			current := encodeRows(t, e)
			name := g.version + "." + transform.String()
			for _, f := range []chunker.Frame{current, golden(t, name, current)} {
				got, err := chunker.NewDecoder().Decode(nil, f)
				if err != nil || !bytes.Equal(got, p.Raw) || f.Transform != transform {
					t.Errorf("%s: %s, %v", name, f.Transform, err)
				}
			}
		}
	}
}

// So are the frames that hold a part of Index.db as well.
func TestI6_GoldenIndexFrames(t *testing.T) {
	for _, version := range []string{"me", "nb"} {
		table := goldenTable(t, version)
		p := table.pieces(len(table.ends))[0]
		e := newEncoder(t, chunker.Balanced)
		e.OpenRows(p, table.rows, chunker.RowsState{})
		rows, index := encodeIndexed(t, e, table.index)
		for _, f := range []chunker.Frame{rows, golden(t, version+".indexed", rows)} {
			got, err := chunker.NewDecoder().Decode(nil, f)
			if err != nil || !bytes.Equal(got, p.Raw) || f.Transform != chunker.Indexed {
				t.Errorf("%s: %s, %v", version, f.Transform, err)
			}
		}
		for _, f := range []chunker.Frame{index, golden(t, version+".index", index)} {
			got, err := chunker.NewDecoder().Decode(nil, f)
			if err != nil || !bytes.Equal(got, table.index) || f.Transform != chunker.Index {
				t.Errorf("%s: %s, %v", version, f.Transform, err)
			}
		}
	}
}
