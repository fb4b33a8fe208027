package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/gcstest"
)

// nobody owns no file.
const nobody = 65534

// asNobody is what runs a program without any privilege; such a one owns the bucket and the state, so
// that nothing but what a test takes away is missing.
func (c *copied) asNobody(t *testing.T) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, dir := range []string{filepath.Dir(c.Binary), filepath.Dir(c.root), c.root} { // temporary ones, for us alone
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "chown", "-R", fmt.Sprint(nobody), c.dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
	id := fmt.Sprint(nobody)
	return []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups"}
}

// A permission that is missing is named, with what to do; nothing is lost meanwhile, and the next
// backup makes everything good.
func TestMissingPermission(t *testing.T) {
	template := copyTree(t)
	for _, test := range []struct {
		name string
		path func(*copied) string // gets this mode meanwhile
		mode os.FileMode
		code int
		says string
	}{
		{"to list a data directory", func(c *copied) string { return c.data[0] }, 0, 1, "database's own user"},
		{"to list a table", func(c *copied) string { return filepath.Join(c.data[0], "backups") }, 0, 3, "database's own user"},
		{"to read a link", func(c *copied) string { return c.linked()[0] }, 0, 3, "not stored"},
		{"to unlink", func(c *copied) string { return filepath.Dir(c.linked()[0]) }, 0o555, 3, "database's own user"},
		{"to write to the bucket", func(c *copied) string { return filepath.Join(c.dir, "bucket") }, 0o555, 5, "lack a permission"},
		{"to look into the bucket", func(c *copied) string { return filepath.Join(c.dir, "bucket") }, 0, 5, "lack a permission"},
		{"to write to the state", func(c *copied) string { return filepath.Join(c.dir, "state") }, 0o555, 1, "database's own user"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := template.clone(t, test.name)
			for _, dir := range []string{"bucket", "state"} {
				if err := os.Mkdir(filepath.Join(c.dir, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			under := c.asNobody(t)
			if err := c.look(); err != nil { // the owner is another
				t.Fatal(err)
			}
			path := test.path(c)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			refused := c.backup(t.Context(), under...)
			if err := os.Chmod(path, info.Mode()); err != nil {
				t.Fatal(err)
			}
			named := path
			if rel := below(path, c.data...); rel != "" {
				named = rel
			}
			if exitCode(refused) != test.code || !containsAll(refused.Error(), []string{named, "permission denied", test.says}) {
				t.Errorf("%v; want exit status %d, %s and %q", refused, test.code, named, test.says)
			}
			if err := c.check(t.Context(), false); err != nil {
				t.Error(err)
			}
			if err := c.backup(t.Context(), under...); err != nil {
				t.Fatal(err)
			}
			if _, err := c.converged(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Credentials that lack a permission, and a bucket that is not there.
func TestRefusedByCloud(t *testing.T) {
	template := copyTree(t)
	gcs, err := gcstest.Handler("acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, refuse, bucket, says string }{
		{"to create", http.MethodPost, "gs://acme/post", "lack a permission"},
		{"to read", http.MethodGet, "gs://acme/get", "lack a permission"},
		{"no bucket", "", "gs://nowhere/x", "check the bucket's name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := template.clone(t, test.name)
			yaml, err := os.ReadFile(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.Config, []byte(strings.Replace(string(yaml), c.bucket, test.bucket, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == test.refuse {
					http.Error(w, `{"error": {"code": 403, "message": "sstash-node@acme does not have storage.objects access"}}`, http.StatusForbidden)
					return
				}
				gcs.ServeHTTP(w, r)
			}))
			defer server.Close()
			t.Setenv("STORAGE_EMULATOR_HOST", server.URL)
			for _, args := range [][]string{{"backup"}, {"restore", "--at", "latest", "--to", filepath.Join(c.dir, "to")}} {
				if args[0] == "restore" && test.refuse == http.MethodPost {
					continue // needs no such permission
				}
				err = c.run(t.Context(), nil, args...)
				if exitCode(err) != 5 || !containsAll(err.Error(), []string{strings.Split(test.bucket, "/")[2], test.says}) {
					t.Errorf("%s: %v; want exit status 5, the bucket and %q", args[0], err, test.says)
				}
			}
			if paths := c.links.lost(list(t, c.data, backups)); len(paths) > 0 {
				t.Errorf("%d links are gone: %v", len(paths), paths)
			}
			if _, err := os.Stat(filepath.Join(c.dir, "to")); !os.IsNotExist(err) {
				t.Errorf("a restore of nothing has made its directory (%v)", err)
			}
		})
	}
}

// Where the clock was set back, the newest entry is from the future. Backups go on behind it, and say
// so once.
func TestClockSetBack(t *testing.T) {
	c, want := backedUp(t)
	a := archived(t, c.bucket)
	newest := filepath.Join(c.dir, "bucket", a.prefix, fmt.Sprintf("manifests/%010d", len(a.manifests)))
	ours, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, newest, forge(t, ours, func(header, _ object) { header["time"] = time.Now().Add(3 * time.Hour).UTC() }))
	if err := os.RemoveAll(filepath.Join(c.dir, "state")); err != nil { // it knows the entry as it was
		t.Fatal(err)
	}
	for _, says := range []bool{true, false} {
		out, err := exec.CommandContext(t.Context(), c.Binary, "backup", "--config", c.Config).CombinedOutput()
		if err != nil || strings.Contains(string(out), "from the future") != says {
			t.Errorf("%v; says that an entry is from the future, want %v:\n%s", err, says, out)
		}
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "restored")); err != nil {
		t.Fatal(err)
	}
	got, err := c.converged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || !slices.Equal(archived(t, c.bucket).packNames(), a.packNames()) {
		t.Errorf("%d files were restored, want %d, from the packs that there were", len(got), len(want))
	}
}
