package direct

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// write writes content in pieces of at most so many bytes, and returns the file's content.
func write(t *testing.T, content []byte, piece int, prepare func(*Writer)) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, int64(len(content)))
	prepare(w)
	for p := range slices.Chunk(content, piece) {
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatalf("write %d bytes: %d, %v", len(p), n, err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT != 0 {
		t.Errorf("flags are %#x after Flush, %v", flags, err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWriter(t *testing.T) {
	random := make([]byte, 3*unit+123)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	ways := map[string]func(*Writer){
		"as it comes": func(*Writer) {},
		"without":     func(w *Writer) { w.buf = nil; _ = w.bypass(false) },
		// ext4 and xfs refuse memory that is not aligned.
		"refused": func(w *Writer) {
			if w.buf != nil {
				w.buf = make([]byte, unit+1)[1:1]
			}
		},
	}
	for name, prepare := range ways {
		for _, size := range []int{0, 1, unit - 1, unit, unit + 1, 2 * unit, len(random)} {
			for _, piece := range []int{4000, unit, unit + 4096, len(random)} {
				if got := write(t, random[:size], piece, prepare); !bytes.Equal(got, random[:size]) {
					t.Errorf("%s, %d bytes in pieces of %d: other bytes", name, size, piece)
				}
			}
		}
	}
}

// An error of the file is the Writer's: nothing is taken for written.
func TestWriterFails(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(f, 2*unit)
	f.Close()
	if _, err := w.Write(make([]byte, unit)); err == nil {
		t.Error("a whole unit was written to a closed file")
	}
	w = NewWriter(f, 2*unit)
	if _, err := w.Write(make([]byte, 10)); err == nil && w.Flush() == nil {
		t.Error("10 bytes were written to a closed file")
	}
}

// Whatever does not fit any more is an error, of a whole unit or of what Flush writes. A limit that is no
// multiple of a block makes the kernel refuse the direct write first.
func TestWriterMeetsTheEnd(t *testing.T) {
	for _, limit := range []uint64{unit / 2, unit + 100, 2*unit + 10} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		content := make([]byte, 2*unit+100)
		w := NewWriter(f, int64(len(content)))
		err = limited(t, limit, func() error {
			for p := range slices.Chunk(content, 64<<10) {
				if _, err := w.Write(p); err != nil {
					return err
				}
			}
			return w.Flush()
		})
		if !errors.Is(err, unix.EFBIG) {
			t.Errorf("more than %d bytes: %v", limit, err)
		}
	}
}

// limited calls f while no file may have more bytes.
func limited(t *testing.T, bytes uint64, f func() error) error {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
			t.Error(err)
		}
	}()
	return f()
}
