package gcs

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/bucket/gcstest"
)

// open returns a bucket on a new emulator. Attempts follow each other quickly.
func open(t *testing.T, client *http.Client) *Bucket {
	t.Helper()
	s, err := gcstest.Start("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("STORAGE_EMULATOR_HOST", s.URL)
	b := must(Open(t.Context(), "test", "a/prefix", client))
	b.pageSize = 50
	b.pace.pause = time.Millisecond
	return b
}

func must(b *Bucket, err error) *Bucket {
	if err != nil {
		panic(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	buckettest.Test(t, func(t *testing.T) bucket.Bucket { return open(t, nil) })
}

// TestOneRequest: whatever its size, an object is created by one request.
func TestOneRequest(t *testing.T) {
	b, w := faulty(t)
	for _, size := range []int{0, 1, 20 << 20} {
		w.reset(nil)
		if err := b.Put(t.Context(), fmt.Sprint(size), bytes.Repeat([]byte{'x'}, size)); err != nil {
			t.Fatal(err)
		}
		if got := w.requests(); !slices.Equal(got, []string{"POST multipart if 0"}) {
			t.Errorf("put of %d bytes sent %q", size, got)
		}
	}
}

// TestShortObject: what is not in the object is not asked for again.
func TestShortObject(t *testing.T) {
	b, w := faulty(t)
	if err := b.Put(t.Context(), "ten", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int64{{0, 11}, {9, 2}, {10, 1}} {
		w.reset(nil)
		if _, err := b.Get(t.Context(), "ten", at[0], at[1]); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, bucket.ErrUnreachable) {
			t.Errorf("get %d+%d: %v, want io.ErrUnexpectedEOF", at[0], at[1], err)
		}
		if got := w.requests(); len(got) != 1 {
			t.Errorf("get %d+%d sent %q, want one request", at[0], at[1], got)
		}
	}
}

// TestPrefix has neighbours whose prefix begins like ours, and a folder that the
// console has made.
func TestPrefix(t *testing.T) {
	ours := open(t, nil)
	for _, prefix := range []string{"", "a", "a/prefix2", "a/pre"} {
		b := must(Open(t.Context(), "test", prefix, nil))
		if err := b.Put(t.Context(), "theirs", []byte(prefix)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ours.Put(t.Context(), "ours", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := ours.upload(t.Context(), "folder/", nil, 0, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for o, err := range ours.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o.Name)
	}
	if !slices.Equal(got, []string{"ours"}) {
		t.Errorf("listed %q, want ours", got)
	}
	for _, prefix := range []string{"/", "a/", "/a", "a//b", "..", strings.Repeat("a/", bucket.MaxPrefix)} {
		if _, err := Open(t.Context(), "test", prefix, nil); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open with prefix %.20q: %v, want fs.ErrInvalid", prefix, err)
		}
	}
}

// TestLimits: the longest prefix and the longest name fit together.
func TestLimits(t *testing.T) {
	long := strings.Repeat("x/", bucket.MaxName)
	open(t, nil)
	b := must(Open(t.Context(), "test", long[:bucket.MaxPrefix-1], nil))
	if n := len(b.prefix) + bucket.MaxName; n > 1024 {
		t.Errorf("keys may have %d bytes, the service allows 1024", n)
	}
	if err := b.Put(t.Context(), long[:bucket.MaxName], []byte("x")); err != nil {
		t.Error(err)
	}
	wantContent(t, b, long[:bucket.MaxName], "x")
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing.json"))
	_, err := Open(t.Context(), "test", "", nil)
	if !errors.Is(err, bucket.ErrDenied) || !strings.Contains(fmt.Sprint(err), "GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("open without credentials: %v, want ErrDenied and a remedy", err)
	}
}

// TestRevokedCredentials has a service account's key that is no longer good.
func TestRevokedCredentials(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`))
	}))
	defer tokens.Close()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"type":         "service_account",
		"client_email": "backup@example.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key),
		})),
		"token_uri": tokens.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, account, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	b := must(Open(t.Context(), "test", "", nil))
	each(t.Context(), b, func(op string, err error) {
		if !errors.Is(err, bucket.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", op, err)
		}
	})
}
