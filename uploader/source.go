package uploader

import (
	"fmt"
	"hash"
	"os"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

// source is an SSTable with all its files open: from here on the links may go, the bytes stay.
type source struct {
	name       sstable.Name
	files      []file
	statistics []byte // Statistics.db; nil when it is not there, too large or unreadable
}

// file is one open component.
type file struct {
	sstable.File
	*coldReader
}

// openSet opens every file of set before the first is read, and verifies that they are the ones that
// the scan saw.
func openSet(set sstable.SSTable) (*source, error) {
	root, err := os.OpenRoot(set.DataDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	s := &source{name: set.Name()}
	for _, f := range set.Files {
		opened, err := fileid.Open(root, set.Path(f), f.Fingerprint)
		if err != nil {
			s.close()
			return nil, err
		}
		s.files = append(s.files, file{f, newColdReader(opened, f.Size)})
	}
	s.statistics = s.content(sstable.Statistics)
	return s, nil
}

func (s *source) close() {
	for _, f := range s.files {
		f.coldReader.close()
		f.fd.Close()
	}
}

// file is one component, nil when it is not there.
func (s *source) file(component string) *file {
	for i := range s.files {
		if s.files[i].Component == component {
			return &s.files[i]
		}
	}
	return nil
}

// digest begins the hash that a whole Data.db should have in the end; nil if the SSTable doesn't say.
func (s *source) digest() (sum hash.Hash32, want uint32) {
	for _, f := range s.files {
		sum := sstable.NewDigest(f.Component)
		if sum == nil {
			continue
		}
		if want, ok := sstable.ParseDigest(s.content(f.Component)); ok {
			return sum, want
		}
	}
	return nil, 0
}

// unchanged holds when the file is still what it was and read bytes were all of it.
func (f *file) unchanged(read int64) error {
	if read != f.Size {
		return fmt.Errorf("%s: read %d of %d bytes: %w", f.Component, read, f.Size, fileid.ErrChanged)
	}
	return fileid.Check(f.fd, f.Fingerprint)
}
