package lz4_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/chunker/lz4"
	"github.com/sstash/sstash/internal/cassandratest"
)

// Every block is the one that Cassandra's own library makes of the same bytes.
func TestEncodeIsTheReferences(t *testing.T) {
	jars, java, err := cassandratest.LZ4Jars(t.Context())
	if err != nil {
		t.Fatalf("make test installs the libraries to compare with: %v", err)
	}
	raws := inputs(17_000, sources(t), rawFixture(t, "5.0.8-nb"))
	f := func(jar, kind string, c lz4.Class) {
		t.Run(jar+" "+kind, func(t *testing.T) {
			t.Parallel()
			ref := start(t, java, filepath.Join(jars, jar), kind)
			sent := make(chan error, 1)
			go func() {
				w := bufio.NewWriterSize(ref.in, 1<<16)
				for _, raw := range raws {
					w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(raw))))
					w.Write(raw)
				}
				sent <- errors.Join(w.Flush(), ref.in.Close())
			}()
			var e lz4.Encoder
			var got, want []byte
			for i, raw := range raws {
				want = ref.block(t, want[:0])
				got = e.Encode(got[:0], raw, c)
				if !bytes.Equal(got, want) {
					t.Fatalf("block %d of %d raw bytes: class %s made %d bytes, the reference %d, the first %d equal",
						i, len(raw), c, len(got), len(want), equal(got, want))
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		})
	}
	f("lz4-1.2.0.jar", "native", lz4.A)
	f("lz4-1.3.0.jar", "native", lz4.B)
	f("lz4-1.3.0.jar", "java", lz4.B)
	f("lz4-java-1.8.0.jar", "native", lz4.C)
	f("lz4-java-1.8.0.jar", "java", lz4.B)
	f("lz4-java-1.10.1.jar", "native", lz4.C)
}

// equal is how many bytes a and b begin with alike.
func equal(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A reference is testdata/Reference.java at work.
type reference struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, java, jar, kind string) reference {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), java, "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir="+t.TempDir(), "-cp", jar, "testdata/Reference.java", kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return reference{in: in, out: bufio.NewReaderSize(out, 1<<16)}
}

// block appends the next block to dst.
func (r reference) block(t *testing.T, dst []byte) []byte {
	t.Helper()
	var length [4]byte
	if _, err := io.ReadFull(r.out, length[:]); err != nil {
		t.Fatalf("read from the reference: %v", err)
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	dst = append(dst, make([]byte, n)...)
	if _, err := io.ReadFull(r.out, dst[len(dst)-n:]); err != nil {
		t.Fatalf("read from the reference: %v", err)
	}
	return dst
}
