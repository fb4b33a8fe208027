package bucketurl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/gcstest"
)

// TestOpen puts an object through each URL, and finds it again through one that
// names the same place in another way, or not at all.
func TestOpen(t *testing.T) {
	s, err := gcstest.Start("acme", "acme_2.example")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", s.URL)
	tmp := t.TempDir()
	if err := os.Mkdir(filepath.Join(tmp, "two"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := func(to, from string, same bool) {
		t.Helper()
		b, err := Create(t.Context(), to, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if err := b.Put(t.Context(), "n", []byte(to)); err != nil {
			t.Error(err)
		}
		if b, err = Open(t.Context(), from); err != nil {
			t.Error(err)
			return
		}
		got, err := b.Get(t.Context(), "n", 0, -1)
		if same && string(got) != to {
			t.Errorf("put through %s, get through %s = %q, %v", to, from, got, err)
		}
		if !same && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("put through %s, get through %s = %q, %v; want fs.ErrNotExist", to, from, got, err)
		}
	}
	f("gs://acme", "gs://acme/", true)
	f("gs://acme/a/b", "gs://acme/a/b/", true)
	f("gs://acme/x", "gs://acme_2.example/x", false)
	f("gs://acme/with%20space", "gs://acme/with space", true)
	f("file://"+tmp+"/new", "file://"+tmp+"/new/", true)
	f("file://"+tmp+"/with%20space", "file://"+tmp+"/with space", true)
	f("file://"+tmp+"/one", "file://"+tmp+"/two", false)
}

func TestOpenErrors(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1") // never asked
	f := func(rawURL string, want error, text string) {
		t.Helper()
		_, err := Open(t.Context(), rawURL)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("open %s: %v, want %v with %q", rawURL, err, want, text)
		}
	}
	for _, bad := range []string{
		"", "/srv/backup", "backup", "ftp://host/dir", "GS//x",
		"gs://", "gs:acme", "gs:///prefix", "gs://acme/p?region=x", "gs://acme/p?", "gs://acme/p#x", "gs://key@acme/p", "gs://acme/%zz",
		"file://srv/backup", "file:relative", "file:///", "file:///../", "file:///x?y",
	} {
		f(bad, fs.ErrInvalid, "want gs://bucket/prefix or file:///directory")
	}
	f("gs://acme/a//b", fs.ErrInvalid, `prefix "a//b"`)
	f("gs://acme/../b", fs.ErrInvalid, `prefix "../b"`)
	f("s3://bucket/prefix?region=eu-west-1&endpoint=http://x", errors.ErrUnsupported, "s3:// is not supported yet")
	f("azblob://account/container", errors.ErrUnsupported, "azblob:// is not supported yet")
	f("file://"+filepath.Join(t.TempDir(), "not-mounted", "b"), bucket.ErrUnreachable, "mount")
}
