package columns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// A dataFile is the content of a Data.db.
type dataFile struct {
	path   string
	name   sstable.Name
	chunk  int // length of its chunks
	raw    []byte
	schema *Schema
}

// dataFiles are all Data.db of a variant of 3.0 and later that are not compressed or
// that LZ4 compressed, each inode once.
func dataFiles(t testing.TB, variant string) []dataFile {
	t.Helper()
	var files []dataFile
	var seen []os.FileInfo
	for _, dir := range fixtures.DataDirs(fixtures.Unpack(t, variant)) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "-Data.db") {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			for _, other := range seen {
				if os.SameFile(info, other) {
					return nil
				}
			}
			seen = append(seen, info)
			f, err := readDataFile(path)
			if f.raw != nil {
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

func readDataFile(path string) (f dataFile, err error) {
	f.path, f.chunk = path, 64<<10
	f.name, _ = sstable.ParseName(filepath.Base(path))
	stem := strings.TrimSuffix(path, sstable.Data)
	stats, err := os.ReadFile(stem + sstable.Statistics)
	if err != nil {
		return f, err
	}
	header, ok := sstable.SerializationHeader(f.name, stats)
	if !ok {
		return f, fmt.Errorf("%s: no header", path)
	}
	if f.schema, err = ParseSchema(f.name.Version, header); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	info, err := os.ReadFile(stem + sstable.CompressionInfo)
	if errors.Is(err, fs.ErrNotExist) {
		f.raw = data
		return f, nil
	}
	if err != nil {
		return f, err
	}
	c, err := sstable.ParseCompression(f.name, info)
	if err != nil || c.Compressor != "LZ4Compressor" {
		return f, err
	}
	f.chunk = int(c.ChunkLength)
	f.raw = []byte{}
	for i := range c.Offsets {
		at, n := c.Chunk(i, int64(len(data)))
		chunk := data[at : at+n]
		if n >= c.MaxCompressedLength {
			f.raw = append(f.raw, chunk...)
			continue
		}
		want := len(f.raw) + int(binary.LittleEndian.Uint32(chunk))
		if f.raw = unLZ4(f.raw, chunk[4:]); len(f.raw) != want {
			return f, fmt.Errorf("%s: chunk %d gives %d bytes, want %d", path, i, len(f.raw), want)
		}
	}
	return f, nil
}

// unLZ4 appends the content of an LZ4 block, which must be a good one.
func unLZ4(dst, b []byte) []byte {
	length := func(n int) int {
		for more := n == 15; more; {
			more = b[0] == 255
			n += int(b[0])
			b = b[1:]
		}
		return n
	}
	for len(b) > 0 {
		token := int(b[0])
		b = b[1:]
		n := length(token >> 4)
		dst = append(dst, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			break
		}
		back := int(binary.LittleEndian.Uint16(b))
		b = b[2:]
		for range length(token&15) + 4 {
			dst = append(dst, dst[len(dst)-back])
		}
	}
	return dst
}

func modernVariants() []string { return fixtures.Variants()[1:] }

// Every table of every generation comes back from frames of any size, each decoded
// alone.
func TestFixtures(t *testing.T) {
	for _, variant := range modernVariants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			files := dataFiles(t, variant)
			if len(files) < 100 {
				t.Fatalf("only %d files", len(files))
			}
			for _, chunks := range []int{1, 4, 0, -1} {
				checkFiles(t, files, chunks)
			}
		})
	}
}

// checkFiles encodes frames of so many chunks, or of 1 MiB if that is 0, or of the
// whole file if it is negative.
func checkFiles(t *testing.T, files []dataFile, chunks int) {
	t.Helper()
	e, err := NewEncoder(Balanced)
	if err != nil {
		t.Fatal(err)
	}
	z, err := newZstd(zstd.SpeedFastest)
	if err != nil {
		t.Fatal(err)
	}
	frames, plain, raw, stored, zstored := 0, 0, 0, 0, 0
	for _, f := range files {
		size := max(1, len(f.raw))
		switch {
		case chunks > 0:
			size = chunks * f.chunk
		case chunks == 0:
			size = 1 << 20
		}
		s := State{}
		for at := 0; at < len(f.raw); at += size {
			data := f.raw[at:min(at+size, len(f.raw))]
			out, next, err := e.Encode(nil, data, f.schema, s)
			s = next
			frames++
			raw += len(data)
			z := len(z.EncodeAll(data, nil))
			zstored += z
			if err != nil {
				plain++
				stored += z
				t.Logf("%s at %d: %v", f.path, at, err)
				continue
			}
			stored += len(out)
			back, err := NewDecoder().Decode(nil, out, len(data))
			if err != nil || !bytes.Equal(back, data) {
				t.Fatalf("%s: %d bytes at %d don't come back: %v", f.path, len(data), at, err)
			}
		}
		if !s.lost && (s.place != atPartition || s.skip > 0 || s.pending != nil) {
			t.Errorf("%s ends in %+v", f.path, s)
		}
	}
	t.Logf("frames of %2d chunks: %d, %d of them plain; %d raw bytes, %d as columns, %d as zstd: %.3f",
		chunks, frames, plain, raw, stored, zstored, float64(stored)/float64(zstored))
	if plain*100 > frames {
		t.Errorf("%d of %d frames plain", plain, frames)
	}
}
