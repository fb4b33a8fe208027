package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// readWatch sees which files are read, by the kernel's own word (inotify, IN_ACCESS). Listing a
// directory and looking at a file's attributes is not reading it.
type readWatch struct{ fd int }

// watchReads watches paths, files or directories with the files in them. With flags IN_ONESHOT each
// path is reported once: a file that is read a lot doesn't fill the kernel's queue. The caller closes
// it.
func watchReads(paths []string, flags uint32) (*readWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch reads: %w", err)
	}
	w := &readWatch{fd}
	for _, path := range paths {
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_ACCESS|flags); err != nil {
			w.close()
			return nil, fmt.Errorf("watch reads of %s: %w (see sysctl fs.inotify.max_user_watches)", path, err)
		}
	}
	return w, nil
}

func (w *readWatch) close() { _ = unix.Close(w.fd) }

// files returns how many files have been read since the last call.
func (w *readWatch) files() (int, error) {
	type file struct {
		watch int32
		name  string // empty when the file itself is watched
	}
	read := map[file]bool{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return len(read), nil
		}
		if err != nil {
			return 0, fmt.Errorf("watch reads: %w", err)
		}
		// struct inotify_event: wd, mask, cookie and len, then len bytes of name.
		for b := buf[:n]; len(b) > 0; {
			watch, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + binary.NativeEndian.Uint32(b[12:])
			if mask&unix.IN_Q_OVERFLOW != 0 {
				return 0, errors.New("watch reads: more events than the kernel keeps (see sysctl fs.inotify.max_queued_events)")
			}
			if mask&unix.IN_ACCESS != 0 && mask&unix.IN_ISDIR == 0 {
				read[file{watch, strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")}] = true
			}
			b = b[end:]
		}
	}
}
