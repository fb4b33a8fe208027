package chunker_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
)

// The vectors are from BLAKE3's own test_vectors.json: input byte i is i mod 251.
func TestHashIsBLAKE3(t *testing.T) {
	f := func(length int, want string) {
		t.Helper()
		input := make([]byte, length)
		for i := range input {
			input[i] = byte(i % 251)
		}
		if got := chunker.Sum(input).String(); got != want {
			t.Errorf("hash of %d bytes is %s, want %s", length, got, want)
		}
	}
	f(0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
	f(1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213")
	f(1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7")
}

func TestHashText(t *testing.T) {
	type holder struct {
		Hash chunker.Hash `json:"hash,omitzero"`
	}
	want := holder{Hash: chunker.Sum([]byte("x"))}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if wantText := `{"hash":"` + want.Hash.String() + `"}`; string(text) != wantText {
		t.Errorf("marshalled %s, want %s", text, wantText)
	}
	var got holder
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("unmarshalled %v, %v, want %v", got, err, want)
	}
	if text, err := json.Marshal(holder{}); err != nil || string(text) != "{}" {
		t.Errorf("zero hash marshalled %s, %v, want {}", text, err)
	}
	if zero := (chunker.Hash{}); !zero.IsZero() || want.Hash.IsZero() {
		t.Error("IsZero is wrong")
	}

	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("g", 64)} {
		h := want.Hash
		if err := h.UnmarshalText([]byte(bad)); err == nil || h != want.Hash {
			t.Errorf("%q gave %v, %v, want an error and no change", bad, h, err)
		}
	}
}

func TestHasherIgnoresHowTheStreamIsCut(t *testing.T) {
	stream := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	h := chunker.NewHasher()
	for _, step := range []int{1, 1023, 1024, 1025, len(stream)} {
		h.Reset()
		for rest := stream; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			h.Write(rest[:min(step, len(rest))])
			h.Sum() // must not disturb what follows
		}
		if h.Sum() != chunker.Sum(stream) {
			t.Errorf("steps of %d give another hash", step)
		}
	}
}
