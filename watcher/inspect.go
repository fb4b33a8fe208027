package watcher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

// Limits of what is read into memory. A TOC.txt has a few hundred bytes.
const (
	tocLimit      = 1 << 20
	headLimit     = 64 << 10
	manifestLimit = 64 << 20
	schemaLimit   = 16 << 20
)

// errDamaged: what a set's files say of each other can't be true.
var errDamaged = errors.New("damaged")

// inspect tells what is missing from a set, and whether what is there fits
// together.
func inspect(set sstable.SSTable) (required, listed []string, err error) {
	name := set.Name()
	have := set.Components()
	var toc []string
	if f, ok := set.File(sstable.TOC); ok {
		b, err := readFile(set.DataDir, set.Path(f), f.Fingerprint, tocLimit)
		if err != nil {
			return nil, nil, err
		}
		toc = sstable.ParseTOC(b)
	}
	required, listed = sstable.Missing(name.Format, have, toc)
	if len(required) > 0 || !name.Known() || !slices.Contains(have, sstable.CompressionInfo) {
		return required, listed, nil
	}
	return required, listed, checkCompression(set, name)
}

// checkCompression compares CompressionInfo.db with the size of Data.db, without
// reading the list of chunks, which may be large.
func checkCompression(set sstable.SSTable, name sstable.Name) error {
	info, _ := set.File(sstable.CompressionInfo)
	data, _ := set.File(sstable.Data)
	f, err := openFile(set.DataDir, set.Path(info), info.Fingerprint)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, min(info.Size, headLimit))
	if _, err := f.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	c, at, err := sstable.ParseCompressionHead(name, head)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	end := at + 8*c.Chunks
	if end > info.Size || end < info.Size && !name.Dictionaries() {
		return fmt.Errorf("%w: CompressionInfo.db has %d bytes and lists %d chunks", errDamaged, info.Size, c.Chunks)
	}
	var last [8]byte
	if c.Chunks > 0 {
		if _, err := f.ReadAt(last[:], end-8); err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
	}
	if err := c.CheckLast(int64(binary.BigEndian.Uint64(last[:])), data.Size); err != nil {
		return fmt.Errorf("%w: CompressionInfo.db does not fit Data.db: %w", errDamaged, err)
	}
	return nil
}

// readFile reads a whole file that the scan saw.
func readFile(dataDir, rel string, want sstable.Fingerprint, limit int64) ([]byte, error) {
	if want.Size > limit {
		return nil, fmt.Errorf("read %s: %d bytes are too many", filepath.Join(dataDir, rel), want.Size)
	}
	f, err := openFile(dataDir, rel, want)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, want.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return b, nil
}

// openFile opens a file if it is the very one that the scan saw.
func openFile(dataDir, rel string, want sstable.Fingerprint) (*os.File, error) {
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := fileid.Open(root, rel, want)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Join(dataDir, rel), err)
	}
	return f, nil
}
