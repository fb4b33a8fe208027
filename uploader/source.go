package uploader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

// errChanged: a file was not, or no longer, the one that the scan saw. The next scan decides anew.
var errChanged = errors.New("changed while it was read")

// source is an SSTable with all its files open: from here on the links may go, the bytes stay.
type source struct {
	files []file
}

// file is one open component.
type file struct {
	sstable.File
	fd *os.File
}

func (f *file) Read(p []byte) (int, error) { return f.fd.Read(p) }

// openSet opens every file of set before the first is read, and verifies that they are the ones that
// the scan saw.
func openSet(set sstable.SSTable) (*source, error) {
	root, err := os.OpenRoot(set.DataDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	s := &source{}
	for _, f := range set.Files {
		opened, err := openQuietly(root, filepath.Join(set.Dir, set.Stem+"-"+f.Component))
		if err != nil {
			s.close()
			return nil, err
		}
		s.files = append(s.files, file{f, opened})
		if now, err := fileid.Of(opened); err != nil || now != f.Fingerprint {
			s.close()
			return nil, fmt.Errorf("%s: %w", f.Component, errors.Join(errChanged, err))
		}
	}
	return s, nil
}

// openQuietly opens a live inode without moving its access time, where the kernel lets us: only a
// file's owner may ask for that.
func openQuietly(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NOATIME|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) {
		f, err = root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	return f, err
}

// close gives the page cache back: what a backup has read once, the database does not need.
func (s *source) close() {
	for _, f := range s.files {
		_ = unix.Fadvise(int(f.fd.Fd()), 0, 0, unix.FADV_DONTNEED) // only a hint
		f.fd.Close()
	}
}

// unchanged holds when the file is still what it was and read bytes were all of it.
func (f *file) unchanged(read int64) error {
	now, err := fileid.Of(f.fd)
	if err != nil {
		return err
	}
	if now != f.Fingerprint || read != f.Size {
		return fmt.Errorf("%s: %w", f.Component, errChanged)
	}
	return nil
}
