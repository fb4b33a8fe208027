package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/internal/sstable"
)

// At least so much of every table that 3.0 or later compressed with LZ4 must come back from its rows, and
// be stored in columns.
const (
	leastReproduced = 0.999
	leastColumns    = 0.99
)

// engine is how the chunks and frames of a table fare.
type engine struct {
	chunks, kept   int // kept are those that LZ4 makes otherwise of their rows
	frames, column int // those in columns, or as they are where columns would not be smaller
}

func (e *engine) add(o engine) {
	e.chunks, e.kept = e.chunks+o.chunks, e.kept+o.kept
	e.frames, e.column = e.frames+o.frames, e.column+o.column
}

func (e engine) reproduced() float64 { return float64(e.chunks-e.kept) / float64(e.chunks) }
func (e engine) columns() float64    { return float64(e.column) / float64(e.frames) }

// encode makes frames of every Data.db of the data set, as a backup does at the level balanced.
func (d dataset) encode(tables []held) error {
	work := make([][]engine, len(tables))
	g := &errgroup.Group{}
	g.SetLimit(runtime.NumCPU())
	for i, t := range tables {
		files, err := filepath.Glob(filepath.Join(d.dir, "*", keyspace, t.table+"-*", "snapshots", tag, "*-"+sstable.Data))
		if err != nil {
			return err
		}
		work[i] = make([]engine, len(files))
		for j, path := range files {
			g.Go(func() (err error) {
				work[i][j], err = encode(path)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range tables {
		for _, e := range work[i] {
			tables[i].engine.add(e)
		}
	}
	return nil
}

// encode is what happens to a Data.db that 3.0 or later compressed with LZ4, nothing to others.
func encode(path string) (e engine, err error) {
	of, ends, err := chunks(path)
	if err != nil || ends == nil {
		return e, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	encoder, err := chunker.NewEncoder(chunker.Balanced)
	if err != nil {
		return e, err
	}
	var state chunker.RowsState
	for at := 0; len(ends) > 0; {
		piece := chunker.Piece{}
		for _, end := range ends[:min(len(ends), chunker.RowsSize/of.Length)] {
			piece.Ends = append(piece.Ends, end-at)
		}
		ends = ends[len(piece.Ends):]
		n := piece.Ends[len(piece.Ends)-1]
		piece.Raw = data[at : at+n]
		at += n
		state = encoder.OpenRows(piece, of, state)
		if _, err := encoder.EncodeRows(); err != nil {
			return e, fmt.Errorf("encode %s: %w", path, err)
		}
		r := encoder.Report()
		e.add(engine{chunks: r.Chunks, kept: r.Kept, frames: 1})
		if r.Columns {
			e.column++
		}
	}
	if encoder.Mismatches > 0 {
		return e, fmt.Errorf("encode %s: %d frames did not come back and are stored as they are", path, encoder.Mismatches)
	}
	return e, nil
}

// chunks tells where the chunks of a Data.db end; nothing of one that has none of LZ4, or is from before 3.0.
func chunks(path string) (of chunker.Rows, ends []int, err error) {
	name, _ := sstable.ParseName(filepath.Base(path))
	stem := strings.TrimSuffix(path, sstable.Data)
	info, err := os.ReadFile(stem + sstable.CompressionInfo)
	if errors.Is(err, fs.ErrNotExist) || name.Format == "big" && name.Version < "ma" {
		return of, nil, nil
	}
	if err != nil {
		return of, nil, err
	}
	stats, err := os.ReadFile(stem + sstable.Statistics)
	if err != nil {
		return of, nil, err
	}
	data, err := os.Stat(path)
	if err != nil {
		return of, nil, err
	}
	c, err := sstable.ParseCompression(name, info)
	if err != nil || c.Compressor != "LZ4Compressor" || c.Options["lz4_compressor_type"] == "high" {
		return of, nil, err
	}
	for _, at := range c.Offsets[min(1, len(c.Offsets)):] {
		ends = append(ends, int(at))
	}
	of = chunker.Rows{Length: int(c.ChunkLength), MaxStored: int(c.MaxCompressedLength)}
	if header, ok := sstable.SerializationHeader(name, stats); ok {
		of.Schema, err = columns.ParseSchema(name.Version, header)
	}
	return of, append(ends, int(data.Size())), err
}

// fallen is what falls below what must be.
func fallen(tables []held) error {
	var errs []error
	for _, t := range tables {
		if t.engine.frames == 0 {
			continue
		}
		if got := t.engine.reproduced(); got < leastReproduced {
			errs = append(errs, fmt.Errorf("%s: %.2f %% of the chunks come back from their rows, want %.1f %%", t.table, 100*got, 100*leastReproduced))
		}
		if got := t.engine.columns(); got < leastColumns {
			errs = append(errs, fmt.Errorf("%s: %.2f %% of the frames are in columns, want %.1f %%", t.table, 100*got, 100*leastColumns))
		}
	}
	return errors.Join(errs...)
}
