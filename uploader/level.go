package uploader

import (
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// A flush whose Data.db is smaller than smallFlush is not worth more than Fast while it is freshFlush
// young: compaction replaces it soon, and only the points until the next full need it. Columns would make
// 0.34 MiB less of 1 MiB, for seven times the CPU time (docs/design.md has the figures).
const (
	smallFlush = 1 << 20
	freshFlush = time.Hour
)

// level is how hard set is compressed: as its table says, or its keyspace; else, Fast for the small and
// fresh of an increment, and Level for all others.
func (u *Uploader) level(set sstable.SSTable, increment bool) chunker.Level {
	for _, name := range []string{set.Table.Keyspace + "." + set.Table.Name, set.Table.Keyspace} {
		if level, ok := u.Tables[name]; ok {
			return level
		}
	}
	data, _ := set.File(sstable.Data)
	if increment && data.Size < smallFlush && u.Now().Sub(time.Unix(0, data.Mtime)) < freshFlush {
		return chunker.Fast
	}
	return u.Level
}
