package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// directory is what a restore writes to. It is locked while it is open.
type directory struct {
	root    *os.Root
	journal *journal
}

// open opens an absolute path, making it and its parents where they are missing.
func (s *Stager) open(dir string) (*directory, error) {
	if err := s.makeAll(dir); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	j, err := openJournal(root)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &directory{root, j}, nil
}

func (s *Stager) makeAll(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeAll(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode(s.mode())); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if s.Owner != nil {
		return os.Chown(dir, s.Owner.UID, s.Owner.GID)
	}
	return nil
}

func (d *directory) close() {
	d.journal.close()
	d.root.Close()
}

// forget removes the journal: all is done.
func (d *directory) forget() error { return d.root.Remove(journalName) }

// room compares what need takes with what is free.
func (d *directory) room(need []*target) error {
	const block = 4 << 10
	var want int64
	for _, t := range need {
		want += (t.Size + block - 1) / block * block
	}
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return fmt.Errorf("ask for the room in %s: %w", d.root.Name(), err)
	}
	if free := int64(st.Bavail) * st.Bsize; want > free {
		return fmt.Errorf("%w in %s: %d MiB are needed, %d MiB are free", ErrNoSpace, d.root.Name(), want>>20+1, free>>20)
	}
	return nil
}
