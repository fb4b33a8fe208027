package lz4_test

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker/lz4"
	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// Every chunk that a real Cassandra compressed with LZ4 comes back as it was, with
// the class of its release.
func TestFixturesComeBack(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			class := lz4.C
			switch {
			case variant < "2.2":
				class = lz4.A
			case variant < "4":
				class = lz4.B
			}
			var e lz4.Encoder
			var raw, again []byte
			tables, chunks, size := 0, 0, 0
			for path, c := range lz4Tables(t, variant) {
				tables++
				if c.Options["lz4_compressor_type"] == "high" {
					t.Logf("%s: high", path)
					continue
				}
				eachChunk(t, path, c, func(n int, block []byte) {
					var err error
					if raw, err = lz4.Decode(raw[:0], block, n); err != nil {
						t.Fatalf("%s, chunk %d: %v", path, chunks, err)
					}
					if again = e.Encode(again[:0], raw, class); !bytes.Equal(again, block) {
						t.Errorf("%s: %d raw bytes: class %s made %d bytes, Cassandra %d", path, n, class, len(again), len(block))
					}
					chunks++
					size += n
				})
			}
			t.Logf("%d tables, %d chunks, %d raw bytes, class %s", tables, chunks, size, class)
		})
	}
}

// rawFixture is what a variant's LZ4 tables hold.
func rawFixture(t *testing.T, variant string) (raw []byte) {
	t.Helper()
	for path, c := range lz4Tables(t, variant) {
		eachChunk(t, path, c, func(n int, block []byte) {
			var err error
			if raw, err = lz4.Decode(raw, block, n); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		})
	}
	return raw
}

// lz4Tables returns the paths of a variant's Data.db that are compressed with LZ4.
func lz4Tables(t *testing.T, variant string) map[string]sstable.Compression {
	t.Helper()
	tables := map[string]sstable.Compression{}
	err := filepath.WalkDir(fixtures.Unpack(t, variant), func(path string, _ fs.DirEntry, err error) error {
		n, ok := sstable.ParseName(filepath.Base(path))
		if err != nil || !ok || n.Component != sstable.CompressionInfo {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c, err := sstable.ParseCompression(n, b)
		if c.Compressor == "LZ4Compressor" {
			tables[strings.TrimSuffix(path, sstable.CompressionInfo)+sstable.Data] = c
		}
		return err
	})
	if err != nil || len(tables) == 0 {
		t.Fatalf("%s: %d LZ4 tables, %v", variant, len(tables), err)
	}
	return tables
}

// eachChunk calls f with every compressed chunk of a Data.db and its raw length,
// which stands before it (Cassandra LZ4Compressor).
func eachChunk(t *testing.T, path string, c sstable.Compression, f func(n int, block []byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Offsets {
		at, length := c.Chunk(i, int64(len(data)))
		if length >= c.MaxCompressedLength {
			continue // stored as it is
		}
		chunk := data[at : at+length]
		f(int(binary.LittleEndian.Uint32(chunk)), chunk[4:])
	}
}
