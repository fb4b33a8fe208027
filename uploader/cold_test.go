package uploader

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// What was in memory before a file is read is there afterwards, and nothing else.
func TestReadingLeavesThePageCacheAsItWas(t *testing.T) {
	const size = 3*coldUnit + 12345
	hot := [][2]int64{{0, 8 << 10}, {1 << 20, 2 << 20}, {coldUnit - 4096, 8 << 10}, {2*coldUnit + 4096, 4096}, {size - 10, 10}}
	f := func(hot [][2]int64, readOtherwise [2]int64) {
		t.Helper()
		// The kernel may evict pages at any time as well, when memory is short: once in five must do.
		var before, after []span
		for range 5 {
			if before, after = cached(t, size, hot, readOtherwise); slices.Equal(after, before) {
				return
			}
		}
		t.Errorf("hot %v: not in memory are %v, before %v", hot, after, before)
	}
	f(nil, [2]int64{0, 1})
	f(hot, [2]int64{3 << 20, 64 << 10}) // as facts are read
	f([][2]int64{{0, 2 << 20}}, [2]int64{0, 2 << 20})
}

// cached is what of a file is not in memory before and after it was read, when hot was in memory and
// another part is read by somebody else meanwhile.
func cached(t *testing.T, size int64, hot [][2]int64, readOtherwise [2]int64) (before, after []span) {
	t.Helper()
	file := uncached(t, size)
	buf := make([]byte, 2<<20)
	for _, at := range hot {
		if _, err := file.ReadAt(buf[:at[1]], at[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_NORMAL); err != nil {
		t.Fatal(err)
	}
	before = absent(file, 0, size)
	r := newColdReader(file, size)
	if _, err := file.ReadAt(buf[:readOtherwise[1]], readOtherwise[0]); err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf[:1<<20])
	if err != nil || n != size {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	r.close()
	return before, absent(file, 0, size)
}

// uncached is a file of which nothing is in memory, if its file system is on a disk, and where the kernel
// reads only what is asked for.
func uncached(t *testing.T, size int64) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	content := make([]byte, size) // not a hole, which file systems may keep otherwise
	for i := range content {
		content[i] = byte(i)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for _, advice := range []int{unix.FADV_DONTNEED, unix.FADV_RANDOM} {
		if err := unix.Fadvise(int(file.Fd()), 0, 0, advice); err != nil {
			t.Fatal(err)
		}
	}
	return file
}
