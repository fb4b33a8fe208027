// Package dir keeps a bucket in a directory: a mounted disk, an NFS share, a
// laptop. An object is a regular file of the same name, so that the bucket can
// be looked at with ls, copied with rsync and uploaded with any tool.
//
// An object is written under <root>/.tmp, synced, and then linked to its name.
// link(2) is the one system call that creates a complete file only if the name
// is free, on local file systems and on NFS alike; the file system must have
// hard links, and the bucket must not span several. Names whose last element
// begins with a dot are not objects (see bucket.CheckName), so .tmp is not listed.
//
// Everything is confined to the root: no name and no symbolic link leads out.
package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/direct"
)

const (
	tmpDir   = ".tmp"
	dirPerm  = 0o750 // both less the umask
	filePerm = 0o640

	// A file in tmpDir that has not been written to for so long belongs to a
	// process that was killed. Should it not (a clock that jumped, a writer that
	// slept), its Put fails when it comes to link, and nothing is lost.
	staleAfter = 24 * time.Hour
)

// Bucket is a directory. It implements bucket.Bucket.
type Bucket struct {
	// Limit bounds the bytes that Puts write per second; nil for no bound. Set before use.
	Limit *rate.Limiter

	root *os.Root
	sync func(*os.File) error // (*os.File).Sync; tests watch it and let it fail
}

// Open returns the bucket in the directory root, an absolute path, which must
// exist. Files that killed processes left half-written are removed.
func Open(root string) (*Bucket, error) {
	return open(root, func(root string, err error) (*os.Root, error) {
		return nil, fmt.Errorf("%w: %w (check the URL, or mount the disk)", bucket.ErrUnreachable, err)
	})
}

// Create is Open for who is going to write: the last element of root is made
// when missing, but not its parents: a disk that is not mounted must not look
// like an empty bucket.
func Create(root string) (*Bucket, error) {
	return open(root, func(root string, _ error) (*os.Root, error) { return create(root) })
}

func open(root string, missing func(string, error) (*os.Root, error)) (*Bucket, error) {
	b, err := openOr(root, missing)
	if err != nil {
		return nil, fmt.Errorf("open directory bucket: %w", classify(err))
	}
	return b, nil
}

func openOr(root string, missing func(string, error) (*os.Root, error)) (*Bucket, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("%s: %w: not an absolute path", root, fs.ErrInvalid)
	}
	r, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		r, err = missing(root, err)
	}
	if err != nil {
		return nil, err
	}
	b := &Bucket{root: r, sync: (*os.File).Sync}
	b.sweep()
	return b, nil
}

func create(root string) (*os.Root, error) {
	parent, err := os.Open(filepath.Dir(root))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w (mount the disk, or create the directory)", bucket.ErrUnreachable, err)
	}
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := os.Mkdir(root, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := parent.Sync(); err != nil {
		return nil, err
	}
	return os.OpenRoot(root)
}

// sweep removes what killed processes left in tmpDir. It does what it can: a
// bucket that is opened for a restore may not be writable, and stale files do no
// harm but take space.
func (b *Bucket) sweep() {
	entries, err := fs.ReadDir(b.root.FS(), tmpDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = b.root.Remove(path.Join(tmpDir, e.Name()))
		}
	}
}

// Put implements bucket.Bucket. fs.ErrExist too is only returned when what is
// there is durable.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	if err := b.put(ctx, name, data); err != nil {
		return fmt.Errorf("put %s: %w", b.path(name), classify(err))
	}
	return nil
}

func (b *Bucket) put(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	if err := b.root.Mkdir(tmpDir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	tmp := path.Join(tmpDir, rand.Text())
	// A link that stays behind under its temporary name takes no space and is swept.
	defer b.root.Remove(tmp)
	if err := b.write(ctx, tmp, data); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	linkErr := b.link(tmp, name)
	if linkErr != nil && !errors.Is(linkErr, fs.ErrExist) {
		return linkErr
	}
	if err := b.syncUp(path.Dir(name)); err != nil {
		return err
	}
	return linkErr
}

// write creates the file tmp with data, down to the disk.
func (b *Bucket) write(ctx context.Context, tmp string, data []byte) error {
	f, err := b.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	w := direct.NewWriter(f, int64(len(data)))
	err = bucket.Pace(ctx, b.Limit, data, func(stretch []byte) error {
		_, err := w.Write(stretch)
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = b.sync(f)
	}
	return errors.Join(err, f.Close())
}

// link gives the file tmp the name that it is for, and creates the directories
// of that name. Its fs.ErrExist always means that the name itself is taken.
func (b *Bucket) link(tmp, name string) (err error) {
	for range 100 { // Delete may remove a directory between its creation and its use
		err = b.root.MkdirAll(path.Dir(name), dirPerm)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = b.root.Link(tmp, name)
		switch {
		case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EXDEV):
			// EPERM is not about permissions here: see link(2).
			return fmt.Errorf("%v (a bucket needs one file system, with hard links)", err)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return fmt.Errorf("create directory: %v", err) // not %w: it is not the object that exists
}

// syncUp makes the entry of directory dir, and those of all its parents,
// durable. It does not ask who created them: that may have been another writer,
// which has not synced them yet.
func (b *Bucket) syncUp(dir string) error {
	for ; ; dir = path.Dir(dir) {
		if err := b.syncOne(dir); err != nil || dir == "." {
			return err
		}
	}
}

func (b *Bucket) syncOne(dir string) error {
	d, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return b.sync(d)
}

// Get implements bucket.Bucket.
func (b *Bucket) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	data, err := b.get(ctx, name, off, n)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", b.path(name), classify(err))
	}
	return data, nil
}

func (b *Bucket) get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("offset %d: %w", off, fs.ErrInvalid)
	}
	f, err := b.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not waiting for a pipe
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	rest := info.Size() - off
	if n < 0 {
		n = rest
	}
	if n < 0 || n > rest {
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, n)
	if _, err = f.ReadAt(data, off); err == io.EOF {
		err = io.ErrUnexpectedEOF // cut off since Stat
	}
	return data, err
}

// Delete implements bucket.Bucket. Directories that become empty go too.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := b.delete(ctx, name); err != nil {
		return fmt.Errorf("delete %s: %w", b.path(name), classify(err))
	}
	return nil
}

func (b *Bucket) delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	info, err := b.root.Lstat(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil // no object has this name
	}
	if err := b.root.Remove(name); err != nil && !gone(err) {
		return err
	}
	dir := path.Dir(name)
	for dir != "." && b.root.Remove(dir) == nil { // until one is not empty
		dir = path.Dir(dir)
	}
	if err := b.syncOne(dir); err != nil && !gone(err) {
		return err
	}
	return nil
}

// gone tells errors that mean that a name is not there, nor its directory.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func check(ctx context.Context, name string) error {
	if err := bucket.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// path is where an operator finds an object.
func (b *Bucket) path(name string) string { return filepath.Join(b.root.Name(), name) }

// classify adds the sentinel that an error of the operating system stands for.
func classify(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", bucket.ErrDenied, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("%w: %w", bucket.ErrUnreachable, err)
	}
	return err
}
