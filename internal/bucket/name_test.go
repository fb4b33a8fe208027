package bucket

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	f := func(name string, ok bool) {
		t.Helper()
		err := CheckName(name)
		if ok && err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
		if !ok && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("CheckName(%q) = %v, want fs.ErrInvalid", name, err)
		}
	}
	f("a", true)
	f("manifests/00000001", true)
	f("a b/c+d/50%/é/日本", true)
	f("a..b/c.", true)
	f(strings.Repeat("x", MaxElement), true)
	f(strings.Repeat("x/", MaxName/2)+"x", true) // exactly MaxName bytes

	f("", false)
	f("/a", false)
	f("a/", false)
	f("a//b", false)
	f(".", false)
	f("a/../b", false)
	f(".tmp/x", false)
	f("a/.hidden", false)
	f("a\x00b", false)
	f("a\nb", false)
	f("a\x7fb", false)
	f(`a\b`, false)
	f("a\xffb", false)
	f(strings.Repeat("x", MaxElement+1), false)
	f(strings.Repeat("x/", MaxName/2)+"xx", false)
}

func TestCheckList(t *testing.T) {
	f := func(prefix, after string, ok bool) {
		t.Helper()
		err := CheckList(prefix, after)
		if ok && err != nil {
			t.Errorf("CheckList(%q, %q) = %v", prefix, after, err)
		}
		if !ok && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("CheckList(%q, %q) = %v, want fs.ErrInvalid", prefix, after, err)
		}
	}
	f("", "", true)
	f("packs/", "packs/ab", true)
	f("pa", "packs/", true)
	f("", strings.Repeat("x/", MaxName/2)+"x", true)

	f("/", "", false)
	f("a//", "", false)
	f("..", "", false)
	f("", "../x", false)
	f("", "\xff", false)
}
