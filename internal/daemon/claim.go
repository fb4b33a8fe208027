package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
)

// claim is a hold on the data directories. One sstash knows what it has stored itself, not what
// another with another bucket still needs: whoever prunes is alone, those that don't may be many (I8).
// The kernel ends it with the process, and nothing is written for it.
type claim struct {
	how  int // unix.LOCK_EX or LOCK_SH
	dirs []string
	held []*os.File
}

// claimDirs takes hold of dirs. history.ErrInUse when another sstash is in the way.
func claimDirs(dirs []string, prune bool) (*claim, error) {
	c := &claim{how: unix.LOCK_SH, dirs: slices.Clone(dirs)}
	if prune {
		c.how = unix.LOCK_EX
	}
	if err := c.extend(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// extend takes hold of the directories that were not there before. On a file system without locks it
// does nothing.
func (c *claim) extend() error {
	var absent []string
	for i, dir := range c.dirs {
		f, err := os.Open(dir)
		if err != nil {
			absent = append(absent, dir) // the scan says so
			continue
		}
		if c.holds(f) {
			f.Close()
			continue
		}
		if err := unix.Flock(int(f.Fd()), c.how|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			c.dirs = append(absent, c.dirs[i:]...)
			return fmt.Errorf("%s: %w: whoever prunes links must be alone (links: off in both lets two work)", dir, history.ErrInUse)
		}
		c.held = append(c.held, f)
	}
	c.dirs = absent
	return nil
}

// holds tells whether the directory is held already, under whatever name.
func (c *claim) holds(dir *os.File) bool {
	info, err := dir.Stat()
	return err == nil && slices.ContainsFunc(c.held, func(f *os.File) bool {
		other, err := f.Stat()
		return err == nil && os.SameFile(info, other)
	})
}

func (c *claim) release() {
	for _, f := range c.held {
		f.Close()
	}
	c.held = nil
}

// ClaimLinks lets a verb unlink in the data directories until it calls release: alone, or beside the
// service of the same configuration, if that is alone.
func ClaimLinks(cfg config.Config, dirs []string) (release func(), err error) {
	c, err := claimDirs(dirs, true)
	if err == nil {
		return c.release, nil
	}
	if cfg.Links != config.LinksPrune {
		return nil, err
	}
	cache, locked := history.OpenCache(cfg.State, cfg.Bucket)
	if errors.Is(locked, history.ErrInUse) {
		return func() {}, nil // it is our service that is in the way of others, too
	}
	if locked == nil {
		locked = cache.Close()
	}
	return nil, errors.Join(err, locked)
}
