// Package direct writes large files past the page cache. That is the database's, and what is written here is
// not read again soon. What the kernel writes back later it does in its own name: only direct writes keep to
// our idle I/O class, and leave no heap of dirty pages behind for a commit log to wait for.
package direct

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// unit is how many bytes go out at a time: whole blocks of any disk, from memory that is aligned like
// them, since the Go runtime gives allocations of this size whole pages. A disk far away gets several
// requests out of it.
const unit = 2 << 20

// Writer writes one file from its beginning to its end. Where that is not to be had directly (a small file,
// a file system that has no such writes) it goes through the page cache. It is for one goroutine.
type Writer struct {
	f   *os.File
	buf []byte // up to unit; nil: what comes goes through the page cache
}

// NewWriter returns a Writer to f, which is empty and about to have size bytes. The file stays the
// caller's. A Writer to a file of 2 MiB or more holds 2 MiB.
func NewWriter(f *os.File, size int64) *Writer {
	w := &Writer{f: f}
	if size >= unit && w.bypass(true) == nil {
		w.buf = make([]byte, 0, unit)
	}
	return w
}

// Write implements io.Writer. It may keep up to 2 MiB for later: Flush has the last word.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.buf != nil {
		k := copy(w.buf[len(w.buf):unit], p)
		w.buf, p, n = w.buf[:len(w.buf)+k], p[k:], n+k
		if len(w.buf) == unit {
			if err := w.put(); err != nil {
				return n, err
			}
		}
	}
	if len(p) == 0 {
		return n, nil
	}
	k, err := w.f.Write(p)
	return n + k, err
}

// put writes the unit that the buffer has.
func (w *Writer) put() error {
	n, err := w.f.Write(w.buf)
	if errors.Is(err, unix.EINVAL) { // what the file system asks of blocks and memory is known only now
		w.buf = w.buf[n:]
		return w.Flush()
	}
	w.buf = w.buf[:0]
	return err
}

// Flush writes what is left, which is no whole unit. It does not sync. From then on writes go through the
// page cache.
func (w *Writer) Flush() error {
	if w.buf == nil {
		return nil
	}
	rest := w.buf
	w.buf = nil
	if err := w.bypass(false); err != nil {
		return err
	}
	_, err := w.f.Write(rest)
	return err
}

// bypass turns the way past the page cache on or off.
func (w *Writer) bypass(on bool) error {
	fd := w.f.Fd()
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if flags &^= unix.O_DIRECT; on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
	return os.NewSyscallError("fcntl", err)
}
