package sstable

import (
	"regexp"
	"strconv"
	"time"
)

// An AutoTag is what the tag of a snapshot says that Cassandra took by itself (auto_snapshot), of what
// a TRUNCATE or a DROP was about to remove.
type AutoTag struct {
	// At is when, by the node's clock, in milliseconds: after what was in memory had been flushed, and
	// before anything was removed. What is written later survives a TRUNCATE.
	At time.Time
	// Truncate and Drop tell which of the two it may have been: before 3.10 tags don't say.
	Truncate, Drop bool
}

// autoTag knows <ms>-<name> of 2.1 to 3.9, truncated-<ms>-<name> and dropped-<ms>-<name> of 3.10 to
// 5.0, <ms>-truncated-<name> and <ms>-dropped-<name> of 6.0.
var autoTag = regexp.MustCompile(`^(?:(truncated|dropped)-)?(\d{12,14})-(?:(truncated|dropped)-)?(\w+)$`)

// ParseAutoTag reads the tag of a snapshot of table t. DROP KEYSPACE may give the name of the keyspace.
func ParseAutoTag(tag string, t Table) (AutoTag, bool) {
	m := autoTag.FindStringSubmatch(tag)
	if m == nil || m[1] != "" && m[3] != "" || m[4] != t.Name && m[4] != t.Keyspace {
		return AutoTag{}, false
	}
	ms, err := strconv.ParseInt(m[2], 10, 64)
	cause := m[1] + m[3]
	return AutoTag{
		At: time.UnixMilli(ms).UTC(), Truncate: cause != "dropped" && m[4] == t.Name, Drop: cause != "truncated",
	}, err == nil
}
