package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/chunker"
)

// ErrForeign: something else is in the way of what is to be restored, or beside it in the directory
// of a table, where it would become part of it.
var ErrForeign = fmt.Errorf("%w: other files are there", ErrRefused)

// survey returns the targets that are not in place yet, after removing what killed runs left beside
// them. It refuses to go on where something else is in their place or beside them, unless it may
// replace that.
func (f *filling) survey(ctx context.Context, targets []*target) ([]*target, error) {
	foreign, temporary, err := strangers(f.dir.root, targets)
	if err != nil {
		return nil, err
	}
	foreign = slices.DeleteFunc(foreign, func(name string) bool {
		ours := f.dir.journal.replayed[name]
		if ours {
			temporary = append(temporary, name)
		}
		return ours
	})
	if f.private {
		temporary, foreign = append(temporary, foreign...), nil
	}
	for _, name := range temporary {
		if err := f.dir.root.RemoveAll(name); err != nil {
			return nil, err
		}
	}
	found, err := look(ctx, f.dir.root, f.dir.journal, targets, func(t *target) {
		f.tally.add(f.plan.Tables[t.table].Source(), t.Size, 0)
	})
	if err != nil {
		return nil, err
	}
	var need []*target
	for i, t := range targets {
		if found[i] == right {
			f.report.BytesKept += t.Size
			continue
		}
		need = append(need, t)
		if found[i] != wrong {
			continue
		}
		if !f.private {
			foreign = append(foreign, t.path)
		} else if err := f.dir.root.RemoveAll(t.path); err != nil {
			return nil, err
		}
	}
	if len(foreign) > 0 && !f.Force {
		return nil, fmt.Errorf("%w: %s; choose an empty directory, or force", ErrForeign, some(foreign))
	}
	return need, nil
}

// standing is how a target is found.
type standing int

const (
	absent standing = iota
	right
	wrong // another file, or no file
)

// look finds out how targets stand, and calls onRight for those that are right, from several
// goroutines. What j knows is not read again; without j everything is.
func look(ctx context.Context, root *os.Root, j *journal, targets []*target, onRight func(*target)) ([]standing, error) {
	found := make([]standing, len(targets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // hashing is as fast as most disks
	for i, t := range targets {
		g.Go(func() (err error) {
			found[i], err = lookAt(ctx, root, j, t)
			if err != nil {
				return fmt.Errorf("read %s: %w", t.path, err)
			}
			if found[i] == right {
				onRight(t)
			}
			return nil
		})
	}
	return found, g.Wait()
}

func lookAt(ctx context.Context, root *os.Root, j *journal, t *target) (standing, error) {
	info, err := root.Lstat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case errors.Is(err, syscall.ENOTDIR):
		return wrong, nil
	case err != nil:
		return wrong, err
	case !info.Mode().IsRegular() || info.Size() != t.Size:
		return wrong, nil
	}
	v := verifiedOf(t.path, t.Hash, info)
	if j != nil && j.has(v) {
		return right, nil
	}
	f, err := root.Open(t.path)
	if err != nil {
		return wrong, err
	}
	defer f.Close()
	hash, err := hashOf(ctx, f)
	if err != nil || hash != t.Hash {
		return wrong, err
	}
	if j == nil {
		return right, nil
	}
	return right, j.add(record{File: &v})
}

func hashOf(ctx context.Context, r io.Reader) (chunker.Hash, error) {
	h := chunker.NewHasher()
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return h.Sum(), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return chunker.Hash{}, err
		}
	}
}

// strangers lists what lies in the directories of targets and is none of them: files of others, and
// temporary ones of ours.
func strangers(root *os.Root, targets []*target) (foreign, temporary []string, err error) {
	known := map[string]bool{}
	dirs := dirsOf(targets)
	for _, t := range targets {
		known[t.path] = true
	}
	for _, d := range dirs {
		known[d] = true
	}
	for _, dir := range dirs {
		entries, err := fs.ReadDir(root.FS(), dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, syscall.ENOTDIR):
			foreign = append(foreign, dir)
			continue
		case err != nil:
			return nil, nil, err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			switch {
			case known[name]:
			case strings.HasPrefix(e.Name(), tempPrefix):
				temporary = append(temporary, name)
			default:
				foreign = append(foreign, name)
			}
		}
	}
	return foreign, temporary, nil
}

// some names the first few.
func some(names []string) string {
	const few = 3
	slices.Sort(names)
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
