package chunker_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/chunker/lz4"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// A dataFile is a Data.db in chunks.
type dataFile struct {
	path       string
	name       sstable.Name
	compressor string // "LZ4Compressor" only if it is the fast one
	raw        []byte
	ends       []int // of chunks
	rows       chunker.Rows
	index      []byte // Index.db; nil if there is none
}

// fixtureFiles are the Data.db of a variant, each inode once, that a compressor cut into chunks.
func fixtureFiles(t testing.TB, variant string) []dataFile {
	t.Helper()
	return readDataFiles(t, fixtures.DataDirs(fixtures.Unpack(t, variant))...)
}

// readDataFiles are all Data.db below directories, likewise.
func readDataFiles(t testing.TB, dirs ...string) []dataFile {
	t.Helper()
	var files []dataFile
	seen := map[int64][]os.FileInfo{} // by size
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "-"+sstable.Data) {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			for _, other := range seen[info.Size()] {
				if os.SameFile(info, other) {
					return nil
				}
			}
			seen[info.Size()] = append(seen[info.Size()], info)
			f, err := readDataFile(path)
			if f.ends != nil {
				files = append(files, f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// readDataFile leaves ends nil if the file has no chunks.
func readDataFile(path string) (f dataFile, err error) {
	f.path = path
	f.name, _ = sstable.ParseName(filepath.Base(path))
	stem := strings.TrimSuffix(path, sstable.Data)
	data, err := os.ReadFile(path)
	stats, err2 := os.ReadFile(stem + sstable.Statistics)
	info, err3 := os.ReadFile(stem + sstable.CompressionInfo)
	if errors.Is(err3, fs.ErrNotExist) {
		return f, nil
	}
	index, err4 := os.ReadFile(stem + sstable.Index)
	if errors.Is(err4, fs.ErrNotExist) {
		err4 = nil
	}
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return f, err
	}
	f.index = index
	c, err := sstable.ParseCompression(f.name, info)
	if err != nil {
		return f, err
	}
	f.compressor, f.raw = c.Compressor+c.Options["lz4_compressor_type"], data
	f.compressor = strings.TrimSuffix(f.compressor, "fast")
	for i := range c.Offsets {
		at, n := c.Chunk(i, int64(len(data)))
		f.ends = append(f.ends, int(at+n)+4)
	}
	f.rows = chunker.Rows{
		Length: int(c.ChunkLength), MaxStored: int(c.MaxCompressedLength),
		Adler32: f.name.Version < "ma" && f.name.Format == "big",
	}
	if header, ok := sstable.SerializationHeader(f.name, stats); ok {
		f.rows.Schema, err = columns.ParseSchema(f.name.Version, header)
	}
	return f, err
}

// pieces cuts f into pieces of so many chunks.
func (f dataFile) pieces(chunks int) []chunker.Piece {
	var list []chunker.Piece
	at := 0
	for i := 0; i < len(f.ends); i += chunks {
		p := chunker.Piece{}
		for _, end := range f.ends[i:min(i+chunks, len(f.ends))] {
			p.Ends = append(p.Ends, end-at)
		}
		n := p.Ends[len(p.Ends)-1]
		p.Raw = f.raw[at : at+n]
		at += n
		list = append(list, p)
	}
	return list
}

// inflated are the rows of f, whose chunks must all be LZ4.
func (f dataFile) inflated(t testing.TB) (rows []byte) {
	t.Helper()
	at := 0
	for _, end := range f.ends {
		chunk := f.raw[at : end-4]
		var err error
		if rows, err = lz4.Decode(rows, chunk[4:], int(binary.LittleEndian.Uint32(chunk))); err != nil {
			t.Fatalf("%s: %v", f.path, err)
		}
		at = end
	}
	return rows
}
