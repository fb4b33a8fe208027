package lz4

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"testing"
)

// The loads are what encoding/binary says, with either build tag.
func TestLoads(t *testing.T) {
	var b [40]byte
	for i := range b {
		b[i] = byte(7*i + 1)
	}
	for i := range len(b) - 7 {
		if got, want := load32(b[:], i), binary.LittleEndian.Uint32(b[i:]); got != want {
			t.Errorf("load32 at %d is %x, want %x", i, got, want)
		}
		if got, want := load64(b[:], i), binary.LittleEndian.Uint64(b[i:]); got != want {
			t.Errorf("load64 at %d is %x, want %x", i, got, want)
		}
		for o := range len(b) - 7 {
			got, want := b, b
			copy8(got[:], o, got[:], i)
			copy(want[o:o+8], want[i:])
			if got != want {
				t.Errorf("copy8 from %d to %d: %x, want %x", i, o, got, want)
			}
		}
	}
}

// What runs unchecked stays within its bounds: with them checked, the same tests
// pass.
func TestBoundsHold(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "test", "-tags", "purego", "-v", "-run", "^(TestLoads|TestGolden|TestDecode|TestEncode|Fuzz)", "-skip", "Reference", ".").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS: TestGolden")) {
		t.Errorf("go test -tags purego: %v\n%s", err, out)
	}
}
