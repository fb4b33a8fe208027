package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/sstash/sstash/internal/bucket"
)

// List implements bucket.Bucket. It holds the names of the directories on the
// way to the current object in memory, no more. Created is the file's
// modification time: when its content was written, just before it got its name.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		w := walk{b.root, prefix, after, yield}
		err := bucket.CheckList(prefix, after)
		if err == nil {
			err = w.dir(ctx, prefix[:strings.LastIndexByte(prefix, '/')+1])
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(bucket.Object{}, fmt.Errorf("list %s: %w", b.path(prefix), classify(err)))
		}
	}
}

// errStop ends a walk whose caller wants no more.
var errStop = errors.New("stop")

type walk struct {
	root          *os.Root
	prefix, after string
	yield         func(bucket.Object, error) bool
}

// dir yields the objects below a directory: "", or a name ending in a slash.
func (w *walk) dir(ctx context.Context, dir string) error {
	entries, err := w.entries(dir)
	if err != nil {
		return err
	}
	for _, name := range entries {
		if strings.HasSuffix(name, "/") {
			err = w.dir(ctx, name)
		} else {
			err = w.object(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// object yields one object, unless it is gone by now.
func (w *walk) object(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := w.root.Lstat(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !w.yield(bucket.Object{Name: name, Size: info.Size(), Created: info.ModTime()}, nil) {
		return errStop
	}
	return nil
}

// entries returns what the listing wants of a directory, as full names, those of
// directories ending in a slash. Their byte order is that of all names below
// them: "a-b" is before "a/", as it is before "a/b".
func (w *walk) entries(dir string) ([]string, error) {
	d, err := w.root.OpenFile("./"+dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for {
		batch, err := d.ReadDir(1024)
		for _, e := range batch {
			if name := dir + e.Name(); w.wants(name, e.Type()) {
				if e.IsDir() {
					name += "/"
				}
				names = append(names, name)
			}
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// wants says whether a file is, or a directory may have, an object to be listed.
func (w *walk) wants(name string, mode fs.FileMode) bool {
	if bucket.CheckName(name) != nil {
		return false // .tmp, or not ours
	}
	switch {
	case mode.IsRegular():
		return strings.HasPrefix(name, w.prefix) && name > w.after
	case mode.IsDir():
		name += "/"
		return (strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)) &&
			(name > w.after || strings.HasPrefix(w.after, name))
	}
	return false
}
