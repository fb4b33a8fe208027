package uploader

import (
	"bufio"
	"io"
	"slices"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/internal/sstable"
)

// indexReader cuts an Index.db into the parts that belong to the pieces of its Data.db.
type indexReader struct {
	part *part
	in   *bufio.Reader
	lost bool // what is left is like any other file
}

// index is nil when Index.db isn't read.
func (s *spill) index() *indexReader {
	p := s.part(sstable.Index)
	if p == nil {
		return nil
	}
	in := bufio.NewReaderSize(p.in, 2*columns.MaxIndexHead)
	p.in = in
	return &indexReader{part: p, in: in}
}

// give gives w the entries of the partitions before end, a position in the uncompressed Data.db.
func (x *indexReader) give(w *coding, end int64) {
	if x == nil {
		return
	}
	w.index, w.rawIndex = x.part, x.before(uint64(end))
	x.part.count(w.rawIndex)
}

// before reads on up to the first entry of a partition at or after end. When that can't be found,
// because the file is damaged or there would be more than RowsSize, the part ends anywhere.
func (x *indexReader) before(end uint64) (entries []byte) {
	for !x.lost {
		e, ok := x.next()
		if x.lost = !ok || e.Length > uint64(chunker.RowsSize-len(entries)); x.lost || e.Position >= end {
			return entries
		}
		at := len(entries)
		entries = slices.Grow(entries, int(e.Length))[:at+int(e.Length)]
		n, err := io.ReadFull(x.in, entries[at:])
		entries, x.lost = entries[:at+n], err != nil
	}
	return entries
}

// next is the entry that comes next, false if that is none. It reads no more than it must.
func (x *indexReader) next() (columns.IndexEntry, bool) {
	for _, n := range []int{x.in.Buffered(), columns.MaxIndexHead} {
		head, _ := x.in.Peek(n) // shorter at the end; an error comes again
		if e, ok := columns.ParseIndexEntry(head); ok {
			return e, true
		}
	}
	return columns.IndexEntry{}, false
}
