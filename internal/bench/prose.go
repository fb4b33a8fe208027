package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// prose is natural language: paragraphs of this machine's own documentation, each of them once, so
// that the licences that come with every package don't repeat.
type prose struct {
	bytes  []byte
	starts []int // of the paragraphs
}

const (
	proseLimit = 32 << 20
	fileLimit  = 96 << 10 // of one file, so that long changelogs don't crowd out the rest
	proseLeast = 256 << 10
)

// documentation is where Debian keeps it.
func documentation() []string {
	return []string{"/usr/share/doc", "/usr/share/common-licenses", "/usr/share/info"}
}

// readProse reads the plain and the gzipped texts below roots.
func readProse(roots []string) (*prose, error) {
	p := &prose{}
	seen := map[string]bool{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !e.Type().IsRegular() || len(p.bytes) >= proseLimit {
				return err
			}
			content, err := readText(path)
			p.add(content, seen)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read documentation: %w", err)
		}
	}
	if len(p.bytes) < proseLeast {
		return nil, fmt.Errorf("read documentation: only %d bytes of text in %s; install packages that have some", len(p.bytes), strings.Join(roots, ", "))
	}
	return p, nil
}

// readText returns the beginning of a file, or nothing when that is no text.
func readText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, nil // called .gz without being one
		}
	}
	content, err := io.ReadAll(io.LimitReader(r, fileLimit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return nil, nil
	}
	return content, nil
}

func (p *prose) add(content []byte, seen map[string]bool) {
	for _, par := range bytes.Split(content, []byte("\n\n")) {
		par = bytes.TrimSpace(par)
		if len(par) < 60 || seen[string(par)] {
			continue
		}
		seen[string(par)] = true
		p.starts = append(p.starts, len(p.bytes))
		p.bytes = append(append(p.bytes, par...), "\n\n"...)
	}
}

// excerpt is about n bytes from the beginning of some paragraph on.
func (p *prose) excerpt(r *rand.Rand, n int) string {
	from := p.starts[r.IntN(len(p.starts))]
	return strings.ToValidUTF8(string(p.bytes[from:min(from+n, len(p.bytes))]), "")
}

// words are n words from within some paragraph.
func (p *prose) words(r *rand.Rand, n int) []string {
	w := strings.Fields(p.excerpt(r, n*24))
	return w[:min(n, len(w))]
}
