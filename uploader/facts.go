package uploader

import (
	"io"
	"strconv"
	"strings"

	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// factsLimit is how large a file may be to be read for its facts. Real ones have kilobytes.
const factsLimit = 64 << 20

// facts reads what Statistics.db and Summary.db say. Facts describe, they don't decide: an SSTable
// whose Statistics.db we can't read is stored like any other.
func (s *source) facts() manifest.Facts {
	stats, _ := sstable.ParseStats(s.name, s.statistics)
	f := manifest.Facts{
		MinTimestamp: stats.MinTimestamp, MaxTimestamp: stats.MaxTimestamp,
		MaxDeletionTime: stats.MaxDeletion, Level: int(stats.Level), RepairedAt: stats.RepairedAt,
		OriginHost: stats.HostID, LogFrom: stats.LogFrom, LogUntil: stats.LogUntil, Partitioner: shortName(stats.Partitioner),
	}
	if f.Partitioner != "Murmur3Partitioner" {
		return f
	}
	first, last, ok := stats.FirstKey, stats.LastKey, stats.FirstKey != nil
	if !ok {
		first, last, ok = sstable.ParseSummaryKeys(s.content(sstable.Summary))
	}
	if ok {
		f.FirstToken = strconv.FormatInt(sstable.Murmur3Token(first), 10)
		f.LastToken = strconv.FormatInt(sstable.Murmur3Token(last), 10)
	}
	return f
}

// content is a whole component, nil when it is not there, too large or unreadable.
func (s *source) content(component string) []byte {
	f := s.file(component)
	if f == nil || f.Size > factsLimit {
		return nil
	}
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f.fd, 0, f.Size), b); err != nil {
		return nil
	}
	return b
}

func shortName(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }
