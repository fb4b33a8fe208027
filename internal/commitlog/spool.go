package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sstash/sstash/chunker"
)

// fromSpool adds segments that the database has copied there and deleted where it wrote them, which it
// does in this order (archive_command): what it still has may not be whole in the spool. What was
// missed is not, when it is there.
func (t *tailing) fromSpool(all []*segment) ([]*segment, error) {
	if t.Spool == "" {
		return all, nil
	}
	entries, err := os.ReadDir(t.Spool)
	if err != nil {
		return nil, fmt.Errorf("list the spool: %w", err)
	}
	for _, e := range entries {
		name, ok := ParseName(e.Name())
		held := slices.ContainsFunc(all, func(s *segment) bool { return s.Name == name })
		if _, err := os.Lstat(filepath.Join(t.Dir, e.Name())); !ok || held || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f, err := os.Open(filepath.Join(t.Spool, e.Name()))
		if err != nil {
			return nil, err
		}
		s := &segment{Name: name, file: f, spool: true, gone: true, sum: chunker.NewHasher()}
		t.holder.hold(s)
		all = append(all, s)
		t.missed = slices.DeleteFunc(t.missed, func(m string) bool { return m == e.Name() })
	}
	slices.SortFunc(all, func(a, b *segment) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// unspool removes the copy of a segment of which every byte is stored.
func (t *tailing) unspool(s *segment) error {
	if t.Spool == "" {
		return nil
	}
	root, err := os.OpenRoot(t.Spool)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open(s.String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if same, err := s.same(f); err != nil || !same {
		return err // another content: it is stored by itself
	}
	return root.Remove(s.String())
}

// same tells whether a file holds what is stored of the segment, and nothing durable behind it.
func (s *segment) same(f *os.File) (bool, error) {
	h, err := ReadHeader(f)
	if err != nil {
		return s.spool && errors.Is(err, ErrNotSegment) && s.header.Size == 0, nil
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	c := h.Chain()
	if err := c.Follow(f, info.Size()); err != nil {
		return false, err
	}
	if c.Markers == 0 {
		return s.chain.Markers == 0, nil
	}
	if c.End != s.sent {
		return false, nil
	}
	sum := chunker.NewHasher()
	_, err = io.Copy(sum, io.NewSectionReader(f, 0, c.End))
	return err == nil && sum.Sum() == s.sum.Sum(), err
}
