package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/sstash/sstash/chunker/lz4"
	"github.com/sstash/sstash/internal/sstable"
)

// measureLarge lets sstash store a single SSTable whose Data.db has so many bytes, with two cores, and
// prints what that took. It needs twice the space on disk.
func measureLarge(ctx context.Context, d dataset, binary, dir string, bytes int64) error {
	w := workplace{dir}
	if err := os.Mkdir(w.store(), 0o700); err != nil {
		return err
	}
	const table = "users-0000000000000000000000000000000f"
	logf("one SSTable of %s", humanize.IBytes(uint64(bytes)))
	if err := d.enlarge(filepath.Join(w.tree(), "data1", keyspace, table, "backups"), bytes); err != nil {
		return fmt.Errorf("make SSTable: %w", err)
	}
	if err := os.Mkdir(filepath.Join(w.tree(), "data2"), 0o700); err != nil {
		return err
	}
	v, err := count(w.tree())
	if err != nil {
		return err
	}
	t := sstash(binary, "balanced", 2)(w)
	if err := t.setup(ctx); err != nil {
		return err
	}
	c, err := measure(ctx, t.backups[0]...)
	if err != nil {
		return err
	}
	stored, err := sum(w.store())
	if err != nil {
		return err
	}
	return grid{"First pass over one SSTable, " + t.name, [][]string{
		{"bytes", "wall, s", "CPU, s", "peak memory", "stored", "of the data"},
		{size(v.bytes), seconds(c.wall), seconds(c.cpu), size(c.rss), size(stored), share(stored, v.bytes)},
	}}.text(os.Stdout)
}

// enlarge makes an SSTable in dir of one of the table users: its rows over and over again, compressed as
// Cassandra does, until Data.db has so many bytes. The other components are those of the one.
func (d dataset) enlarge(dir string, bytes int64) error {
	found, err := filepath.Glob(filepath.Join(d.dir, "*", keyspace, "users-*", "snapshots", tag, "*-"+sstable.Data))
	if err != nil || len(found) == 0 {
		return errors.Join(err, fmt.Errorf("the data set has no table users"))
	}
	if err := link(filepath.Dir(found[0]), dir); err != nil {
		return err
	}
	stem := filepath.Base(strings.TrimSuffix(found[0], sstable.Data))
	others, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, path := range others {
		name := filepath.Base(path)
		if remade := name == stem+sstable.Data || name == stem+sstable.CompressionInfo; remade || !strings.HasPrefix(name, stem) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	info, err := os.ReadFile(strings.TrimSuffix(found[0], sstable.Data) + sstable.CompressionInfo)
	if err != nil {
		return err
	}
	name, _ := sstable.ParseName(filepath.Base(found[0]))
	head, at, err := sstable.ParseCompressionHead(name, info)
	if err != nil {
		return err
	}
	rows, err := inflate(found[0])
	if err != nil {
		return err
	}
	offsets, total, err := repeat(filepath.Join(dir, stem+sstable.Data), rows, int(head.ChunkLength), bytes)
	if err != nil {
		return err
	}
	info = binary.BigEndian.AppendUint64(info[:at-12], uint64(total))
	info = binary.BigEndian.AppendUint32(info, uint32(len(offsets)))
	for _, o := range offsets {
		info = binary.BigEndian.AppendUint64(info, uint64(o))
	}
	return os.WriteFile(filepath.Join(dir, stem+sstable.CompressionInfo), info, 0o644)
}

// inflate is all rows of a Data.db whose chunks are all of LZ4.
func inflate(path string) (rows []byte, err error) {
	_, ends, err := chunks(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	at := 0
	for _, end := range ends {
		chunk := data[at : end-4]
		if rows, err = lz4.Decode(rows, chunk[4:], int(binary.LittleEndian.Uint32(chunk))); err != nil {
			return nil, fmt.Errorf("%s at %d: %w", path, at, err)
		}
		at = end
	}
	return rows, nil
}

// repeat writes a Data.db of so many bytes, or some more, and returns where its chunks begin and how many
// bytes of rows they have.
func repeat(path string, rows []byte, length int, bytes int64) (offsets []int64, total int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var e lz4.Encoder
	var chunk, pending []byte
	at := int64(0)
	put := func(rows []byte) {
		chunk = binary.LittleEndian.AppendUint32(chunk[:0], uint32(len(rows)))
		chunk = e.Encode(chunk, rows, lz4.C)
		chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk))
		_, _ = w.Write(chunk) // Flush has its error
		offsets = append(offsets, at)
		at += int64(len(chunk))
		total += int64(len(rows))
	}
	for at < bytes {
		pending = append(pending, rows...)
		for len(pending) >= length {
			put(pending[:length])
			pending = pending[length:]
		}
	}
	if len(pending) > 0 {
		put(pending)
	}
	return offsets, total, errors.Join(w.Flush(), f.Close())
}
