package columns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
// alone: of one chunk, of four, and of 1 MiB, which is more than any file has.
func TestFixtures(t *testing.T) {
	for _, variant := range modernVariants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			files := dataFiles(t, variant)
			if len(files) < 100 {
				t.Fatalf("only %d files", len(files))
			}
			checkFiles(t, files, func(f dataFile) int { return f.chunk })
			checkFiles(t, files, func(f dataFile) int { return 4 * f.chunk })
			checkFiles(t, files, func(dataFile) int { return 1 << 20 })
		})
	}
}

// checkFiles encodes all files in frames of a size, of which at least 99 % must become
// columns, and logs how they compare with zstd.
func checkFiles(t *testing.T, files []dataFile, size func(dataFile) int) {
	t.Helper()
	e, d := newEncoder(t, Balanced), NewDecoder()
	z, err := newZstd(zstd.SpeedFastest, textWindow)
	if err != nil {
		t.Fatal(err)
	}
	var frames, plain, raw, stored, zstored int
	var buffer, frame []byte
	for _, f := range files {
		s := State{}
		for data := range slices.Chunk(f.raw, size(f)) {
			frames++
			raw += len(data)
			buffer = z.EncodeAll(data, buffer[:0])
			zstored += len(buffer)
			if frame, s, err = e.Encode(frame[:0], data, f.schema, s); err != nil {
				t.Logf("%s: %v", f.path, err)
				plain++
				stored += len(buffer)
				continue
			}
			stored += len(frame)
			if buffer, err = d.Decode(buffer[:0], frame, len(data)); err != nil || !bytes.Equal(buffer, data) {
				t.Fatalf("%s: %d bytes don't come back: %v", f.path, len(data), err)
			}
		}
		if !s.lost && (s.place != atPartition || s.skip > 0 || s.pending != nil) {
			t.Errorf("%s ends in %+v", f.path, s)
		}
	}
	t.Logf("%4d frames, %d of them plain; %d raw bytes, %d as columns, %d as zstd: %.3f",
		frames, plain, raw, stored, zstored, float64(stored)/float64(zstored))
	if plain*100 > frames {
		t.Errorf("%d of %d frames plain", plain, frames)
	}
	if stored*100 > zstored*93 {
		t.Error("that is hardly less")
	}
}
