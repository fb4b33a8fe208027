package daemon

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/history"
)

// claim is a hold on the data directories. One sstash knows what it has stored itself, not what
// another with another bucket still needs: whoever prunes is alone, those that don't may be many (I8).
// The kernel ends it with the process, and nothing is written for it.
type claim []*os.File

// claimDirs takes hold of dirs. history.ErrInUse when another sstash is in the way. A file system
// without locks, or a directory that is not there yet, is not claimed.
func claimDirs(dirs []string, prune bool) (claim, error) {
	how := unix.LOCK_SH
	if prune {
		how = unix.LOCK_EX
	}
	var c claim
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			continue // the scan says so
		}
		c = append(c, f)
		if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			c.release()
			return nil, fmt.Errorf("%s: %w: whoever prunes links must be alone (links: off in both lets two work)", dir, history.ErrInUse)
		}
	}
	return c, nil
}

func (c claim) release() {
	for _, f := range c {
		f.Close()
	}
}
