package bucket

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// Limits of names, in bytes of UTF-8. Cloud Storage, S3 and Azure allow 1024
// for a whole key: the prefix in a bucket URL, a slash and a name fit together.
// Linux file systems allow 255 for one element.
const (
	MaxPrefix  = 300
	MaxName    = 1024 - 1 - MaxPrefix
	MaxElement = 255
)

// CheckName returns an error wrapping fs.ErrInvalid unless name is fit for every
// store: UTF-8, at most MaxName bytes, elements separated by single slashes,
// each of at most MaxElement bytes and not beginning with a dot (that rules out
// "." and "..", and leaves a driver room for files of its own), without control
// characters and backslashes (Azure turns them into slashes).
func CheckName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("object name %.80q: %w: %s", name, fs.ErrInvalid, why)
	}
	if len(name) > MaxName {
		return bad(fmt.Sprintf("longer than %d bytes", MaxName))
	}
	if !utf8.ValidString(name) {
		return bad("not UTF-8")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return bad("control character or backslash")
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "":
			return bad("empty element")
		case element[0] == '.':
			return bad("element beginning with a dot")
		case len(element) > MaxElement:
			return bad(fmt.Sprintf("element longer than %d bytes", MaxElement))
		}
	}
	return nil
}

// CheckList returns an error wrapping fs.ErrInvalid unless prefix and after,
// the arguments of List, are each empty or the beginning of a valid name.
func CheckList(prefix, after string) error {
	for _, s := range []string{prefix, after} {
		if s == "" || CheckName(s) == nil {
			continue
		}
		if err := CheckName(s + "x"); err != nil {
			return err
		}
	}
	return nil
}
