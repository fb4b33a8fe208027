package uploader

import (
	"fmt"
	"strings"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// Finding is an SSTable that was stored as it is, and what is odd about it.
type Finding struct {
	SSTable sstable.SSTable
	// Damage says what the database won't be able to read; empty if nothing is known of any.
	Damage string
	// Plain is why rows of 3.0 or later that LZ4 compressed are not in columns from somewhere on, which
	// costs only space: "" if they are, or if their level is Fast.
	Plain chunker.Plain
}

// found sums up what the pieces of a Data.db told.
func (s *spill) found(set sstable.SSTable) (f Finding, odd bool) {
	f = Finding{SSTable: set}
	if s.damaged > 0 {
		f.Damage = fmt.Sprintf("%d of %d chunks of %s don't have their checksums", s.damaged, s.chunks, sstable.Data)
	}
	if s.level != chunker.Fast {
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
	var why []string
	if f.Damage != "" {
		why = append(why, f.Damage)
	}
	switch f.Plain {
	case chunker.PlainClass:
		why = append(why, "its chunks are not those of any LZ4 that is known")
	case chunker.PlainChunk:
		why = append(why, "CompressionInfo.db and Data.db don't fit")
	case chunker.PlainSchema:
		why = append(why, "its Statistics.db is not one that is known")
	case chunker.PlainGrammar:
		why = append(why, "its rows are not as its Statistics.db says")
	}
	return strings.Join(why, "; ")
}
