package uploader

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A coldReader reads a file from its beginning, and takes those pages out of the page cache again that its
// reading has brought in. What was in memory before stays: a hard link shares its pages with the live file,
// and the database may need them. It is for one goroutine.
type coldReader struct {
	fd   *os.File
	size int64
	at   int64 // read so far
	seen int64 // up to where it is known which pages were in memory
	cold []span
}

// span is a run of whole pages, the last one of the file perhaps in part.
type span struct{ from, to int64 }

// coldUnit is how much of a file is looked at a time. It is looked at one unit before it is read, so that
// what the kernel reads ahead of us is not taken for the database's: that is 4 MiB at most where somebody
// has set it high.
const coldUnit = 16 << 20

// newColdReader looks at the first unit, so that also what is read of it by other means, as facts are, does
// not count as having been there.
func newColdReader(fd *os.File, size int64) *coldReader {
	r := &coldReader{fd: fd, size: size}
	r.look(coldUnit)
	return r
}

// Read implements io.Reader.
func (r *coldReader) Read(p []byte) (int, error) {
	r.look(r.at + int64(len(p)) + coldUnit)
	n, err := r.fd.Read(p)
	r.at += int64(n)
	r.drop(r.at)
	return n, err
}

// close drops also what was read ahead. It leaves the file open.
func (r *coldReader) close() { r.drop(r.seen) }

// look finds the pages up to offset to that are not in memory.
func (r *coldReader) look(to int64) {
	for r.seen < min(to, r.size) {
		n := min(coldUnit, r.size-r.seen)
		for _, s := range absent(r.fd, r.seen, n) {
			if last := len(r.cold) - 1; last >= 0 && r.cold[last].to == s.from {
				r.cold[last].to = s.to
			} else {
				r.cold = append(r.cold, s)
			}
		}
		r.seen += n
	}
}

// drop takes the cold pages before offset before out of memory, as far as nobody has them mapped. The
// kernel reads pages in groups, and drops only whole groups: so a run is dropped in large pieces that
// overlap.
func (r *coldReader) drop(before int64) {
	const overlap = 4 << 20
	for len(r.cold) > 0 && r.cold[0].from < before {
		s := r.cold[0]
		if s.to <= before {
			r.cold = r.cold[1:]
		} else if s.to = before; s.to-s.from < coldUnit {
			return
		} else {
			r.cold[0].from = s.to - overlap
		}
		_ = unix.Fadvise(int(r.fd.Fd()), s.from, s.to-s.from, unix.FADV_DONTNEED) // only a hint
	}
}

// absent are the runs of pages of f that are not in memory, within n bytes from offset from, a multiple of
// the page size. Where that can't be told there are none: to others than its owner and who may write it, the
// kernel says of every page that it is in memory (mincore, Linux 5.2).
func absent(f *os.File, from, n int64) (runs []span) {
	mapped, err := unix.Mmap(int(f.Fd()), from, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Munmap(mapped) }() // it was mapped just now
	page := int64(os.Getpagesize())
	state := make([]byte, (n+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(n), uintptr(unsafe.Pointer(&state[0])))
	if errno != 0 {
		return nil
	}
	for i, s := range state {
		at := from + int64(i)*page
		switch end := min(at+page, from+n); {
		case s&1 != 0:
		case len(runs) > 0 && runs[len(runs)-1].to == at:
			runs[len(runs)-1].to = end
		default:
			runs = append(runs, span{at, end})
		}
	}
	return runs
}
