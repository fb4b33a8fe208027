package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

// A directory is open, so what is found in it is in it, whatever happens to the
// path meanwhile.
type directory struct {
	*os.File
	dataDir string
	rel     string // path relative to dataDir
}

func (d directory) path(name string) string { return filepath.Join(d.dataDir, d.rel, name) }

// open opens a directory inside d, but not through a symbolic link.
func (d directory) open(name string) (directory, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(int(d.Fd()), name, flags, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return directory{}, fmt.Errorf("open %s: not a directory (a symbolic link is not followed; a bind mount would be)", d.path(name))
		case err != nil:
			return directory{}, fmt.Errorf("open %s: %w", d.path(name), err)
		default:
			return directory{os.NewFile(uintptr(fd), d.path(name)), d.dataDir, filepath.Join(d.rel, name)}, nil
		}
	}
}

// An entry is a name in a directory and what it stands for.
type entry struct {
	name  string
	mode  uint32 // S_IFMT bits
	links uint64
	// changed is when its content, its attributes or the number of its links did last (st_ctime): nobody
	// can set it.
	changed time.Time
	sstable.Fingerprint
}

func (e entry) isDir() bool     { return e.mode == unix.S_IFDIR }
func (e entry) isRegular() bool { return e.mode == unix.S_IFREG }

// entries lists the directory, sorted by name. What vanishes meanwhile is not
// there.
func (s *scanner) entries(d directory) ([]entry, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.path(""), err)
	}
	found := make([]entry, 0, len(names))
	fd := int(d.Fd())
	for _, name := range names {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		for errors.Is(err, unix.EINTR) {
			err = unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stat %s: %w", d.path(name), err)
		}
		id, err := s.filesystem(fd, uint64(st.Dev))
		if err != nil {
			return nil, fmt.Errorf("stat filesystem of %s: %w", d.path(""), err)
		}
		found = append(found, entry{name, uint32(st.Mode) & unix.S_IFMT, uint64(st.Nlink), time.Unix(st.Ctim.Unix()), fileid.FromStat(id, &st)})
	}
	slices.SortFunc(found, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// filesystem asks once per device, not once per file.
func (s *scanner) filesystem(fd int, dev uint64) (uint64, error) {
	if id, ok := s.filesystems[dev]; ok {
		return id, nil
	}
	id, err := fileid.FS(fd, dev)
	if err == nil {
		s.filesystems[dev] = id
	}
	return id, err
}
