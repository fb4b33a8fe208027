package uploader

import (
	"errors"
	"fmt"
	"time"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

// What can't be read to its end is not read again at every scan: each try may leave packs in the
// bucket that nothing names. The pause doubles from one try to the next.
const (
	firstPause = time.Minute
	lastPause  = 6 * time.Hour
)

// broken is an SSTable that could not be read, and when to try again.
type broken struct {
	err   error
	pause time.Duration
	until time.Time
}

// brokenKey is one SSTable as a scan saw it: one that was replaced gets its try at once.
type brokenKey struct {
	dataDir, rel string
	data         sstable.Fingerprint
}

func keyOf(set sstable.SSTable) brokenKey {
	return brokenKey{set.DataDir, set.Rel(""), fingerprint(set)}
}

// paused is why set is not tried yet, nil when it may be.
func (u *Uploader) paused(set sstable.SSTable) error {
	b, ok := u.unreadable[keyOf(set)]
	if wait := b.until.Sub(u.Now()); ok && wait > 0 && wait <= lastPause {
		return fmt.Errorf("%w (next try at %s)", b.err, b.until.UTC().Format(time.RFC3339))
	}
	return nil
}

// note remembers how reading set went. What only changed or vanished is for the next scan.
func (u *Uploader) note(set sstable.SSTable, err error) {
	if err == nil || errors.Is(err, fileid.ErrChanged) {
		delete(u.unreadable, keyOf(set))
		return
	}
	if u.unreadable == nil {
		u.unreadable = map[brokenKey]broken{}
	}
	pause := firstPause
	if b, ok := u.unreadable[keyOf(set)]; ok {
		pause = min(2*b.pause, lastPause)
	}
	u.unreadable[keyOf(set)] = broken{err, pause, u.Now().Add(pause)}
}
