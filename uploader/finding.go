package uploader

import (
	"fmt"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// Finding is an SSTable that was stored as it is, and what is odd about it.
type Finding struct {
	SSTable sstable.SSTable
	// Damage says how Data.db differs from what the database wrote; empty if nothing is known of that.
	Damage string
	// Plain is why rows of 3.0 or later that LZ4 compressed are not in columns from somewhere on, which
	// costs only space: "" if they are, or if their level is Fast.
	Plain chunker.Plain
}

// found sums up what reading Data.db told.
func (s *spill) found(set sstable.SSTable) (f Finding, odd bool) {
	f = Finding{SSTable: set}
	switch {
	case s.unchecked > 0:
		f.Damage = fmt.Sprintf("%d of %d chunks of %s don't have their checksums", s.unchecked, s.chunks, sstable.Data)
	case s.misplaced:
		f.Damage = fmt.Sprintf("chunks of %s are not where %s says", sstable.Data, sstable.CompressionInfo)
	case s.mismatch:
		f.Damage = sstable.Data + " does not match its digest"
	}
	if s.level != chunker.Fast && s.source.columns() {
		f.Plain = s.plain
	}
	return f, f.Damage != "" || f.Plain != ""
}

// Version is what the grammar of its rows goes by, as in "nb-big".
func (f Finding) Version() string {
	n := f.SSTable.Name()
	return n.Version + "-" + n.Format
}

// Why says it to people.
func (f Finding) Why() string {
	switch {
	case f.Damage != "":
		return f.Damage
	case f.Plain == chunker.PlainClass:
		return "its chunks are not those of any LZ4 that is known"
	case f.Plain == chunker.PlainChunk:
		return "its CompressionInfo.db is not one that is known, or a chunk not what LZ4 writes"
	case f.Plain == chunker.PlainSchema:
		return "its Statistics.db is not one that is known"
	}
	return "its rows are not as its Statistics.db says"
}
