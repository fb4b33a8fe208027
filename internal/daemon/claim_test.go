package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
)

func TestClaim(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Symlink(data, link)); err != nil {
		t.Fatal(err)
	}
	late := filepath.Join(t.TempDir(), "late")
	c, err := claimDirs([]string{data, link, data, late}, true)
	if err != nil {
		t.Fatalf("one directory by three names: %v", err)
	}
	defer c.release()
	other, err := claimDirs([]string{late}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(late, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.extend(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays refused until the first lets go
		if err := other.extend(); !errors.Is(err, history.ErrInUse) {
			t.Errorf("a directory that came later, and is claimed: %v, want ErrInUse", err)
		}
	}
	c.release()
	if err := other.extend(); err != nil {
		t.Error(err)
	}
	other.release()
}

// A verb unlinks alone, or beside the service that prunes itself.
func TestI8_ClaimOfAVerb(t *testing.T) {
	c := copied(t)
	dirs := c.Cassandra.DataDirectories
	f := func(service, verb string, state string, allowed bool) {
		t.Helper()
		running, asked := c, c
		running.Links, asked.Links = service, verb
		if state != "" {
			asked.State = state
		}
		n, err := Open(t.Context(), Options{Config: running})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		release, err := ClaimLinks(asked, dirs)
		if err == nil {
			release()
		}
		if allowed && err != nil || !allowed && !errors.Is(err, history.ErrInUse) {
			t.Errorf("service with links: %s, verb with %s: %v", service, verb, err)
		}
	}
	f(config.LinksPrune, config.LinksPrune, "", true)
	f(config.LinksOff, config.LinksOff, "", false) // there may be others
	f(config.LinksPrune, config.LinksPrune, t.TempDir(), false)
	release, err := ClaimLinks(c, dirs)
	if err != nil {
		t.Fatalf("alone: %v", err)
	}
	release()
}
