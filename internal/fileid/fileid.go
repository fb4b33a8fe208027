// Package fileid takes the fingerprint of files: the one place that says how a filesystem is named.
package fileid

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/sstable"
)

// Of is the fingerprint of an open file.
func Of(f *os.File) (sstable.Fingerprint, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return sstable.Fingerprint{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	fs, err := FS(int(f.Fd()), st.Dev)
	if err != nil {
		return sstable.Fingerprint{}, fmt.Errorf("stat filesystem of %s: %w", f.Name(), err)
	}
	return FromStat(fs, &st), nil
}

// ErrChanged is wrapped when a file is not, or no longer, the one that was meant.
var ErrChanged = errors.New("it is not the file that the scan saw")

// Open opens path below root for reading if it is the very file that want is. It follows no link out
// of root, does not block on a named pipe, and does not move the access time of what is a live file
// of the database, where the kernel grants that: to the file's owner.
func Open(root *os.Root, path string, want sstable.Fingerprint) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NOATIME|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) {
		f, err = root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := Check(f, want); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Check holds when f is still the file that want is.
func Check(f *os.File, want sstable.Fingerprint) error {
	got, err := Of(f)
	if err == nil && got != want {
		err = fmt.Errorf("%s: %w", f.Name(), ErrChanged)
	}
	return err
}

// FromStat is the fingerprint of a file on filesystem fs.
func FromStat(fs uint64, st *unix.Stat_t) sstable.Fingerprint {
	return sstable.Fingerprint{FS: fs, Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano()}
}

// FS names the filesystem of an open file whose device is dev: by the id that the filesystem itself
// gives, which on ext4 survives that a disk gets another device number at boot, and by the device
// where it gives none.
func FS(fd int, dev uint64) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return 0, err
	}
	if id := uint64(uint32(s.Fsid.Val[0]))<<32 | uint64(uint32(s.Fsid.Val[1])); id != 0 {
		return id, nil
	}
	return dev, nil
}
