package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/direct"
)

// ErrNoSpace: the file system has not, or had not, enough room. What was placed stays, and a run
// after making room goes on from there.
var ErrNoSpace = errors.New("not enough disk space")

// tempPrefix begins the names of files that are not complete yet.
const tempPrefix = ".sstash-restore-"

// finishing is how many files are synced and renamed at a time: small files wait for the disk.
const finishing = 8

// Owner is who files and directories are to belong to.
type Owner struct{ UID, GID int }

// placer writes files below a directory, complete or not at all (I6). Parcels come from one
// goroutine, those of a file in order.
type placer struct {
	root    *os.Root
	journal *journal
	owner   *Owner      // nil: whoever we are
	mode    fs.FileMode // of files
	damaged func(t *target, object string, err error)
	done    func(t *target, bytes int64) // were written

	finish *errgroup.Group
	open   map[*target]*placing // an SSTable's Index.db may come with its Data.db
	files  int                  // begun so far: numbers the temporary names
	mu     sync.Mutex
	dirs   map[string]bool // with a new file in them
}

// placing is a file that is being written.
type placing struct {
	target *target
	file   *os.File
	out    *direct.Writer // to file
	temp   string
	hash   *chunker.Hasher
}

// take adds the next parcel.
func (p *placer) take(c parcel) error {
	if c.first {
		if err := p.begin(c.target); err != nil {
			return err
		}
	}
	w := p.open[c.target]
	if w == nil {
		return nil // of a file that was given up
	}
	if c.err != nil {
		p.abandon(w, c.object, c.err)
		return nil
	}
	w.hash.Write(c.data)
	if _, err := w.out.Write(c.data); err != nil {
		p.abandon(w, "", nil)
		return placeError("write", w.target.path, err)
	}
	p.done(w.target, int64(len(c.data)))
	if !c.last {
		return nil
	}
	if got := w.hash.Sum(); got != w.target.Hash {
		p.abandon(w, c.object, fmt.Errorf("%w: the file's hash is %s, want %s", chunker.ErrCorrupt, got, w.target.Hash))
		return nil
	}
	delete(p.open, w.target)
	p.finish.Go(func() error { return p.complete(w) })
	return nil
}

func (p *placer) begin(t *target) error {
	p.files++
	w := &placing{target: t, hash: chunker.NewHasher()}
	w.temp = path.Join(path.Dir(t.path), fmt.Sprintf("%s%d", tempPrefix, p.files))
	var err error
	if w.file, err = p.root.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, p.mode); err != nil {
		return placeError("create", t.path, err)
	}
	w.out = direct.NewWriter(w.file, t.Size)
	p.open[t] = w
	return nil
}

// abandon gives up an open file, because of damage unless that is nil.
func (p *placer) abandon(w *placing, object string, damage error) {
	delete(p.open, w.target)
	w.file.Close()
	_ = p.root.Remove(w.temp) // the next run sweeps what stays
	if damage != nil {
		w.target.lost.Store(true)
		p.damaged(w.target, object, damage)
	}
}

// complete makes a file durable and gives it its name.
func (p *placer) complete(w *placing) (err error) {
	t := w.target
	defer func() {
		if err = errors.Join(err, w.file.Close()); err != nil {
			_ = p.root.Remove(w.temp)
			err = placeError("place", t.path, err)
		}
	}()
	if err := w.out.Flush(); err != nil {
		return err
	}
	if err := w.file.Chmod(p.mode); err != nil { // whatever the umask
		return err
	}
	if p.owner != nil {
		if err := w.file.Chown(p.owner.UID, p.owner.GID); err != nil {
			return err
		}
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	_ = unix.Fadvise(int(w.file.Fd()), 0, 0, unix.FADV_DONTNEED) // the database needs its cache; only a hint
	if err := p.root.Rename(w.temp, t.path); err != nil {
		return err
	}
	p.mu.Lock()
	p.dirs[path.Dir(t.path)] = true
	p.mu.Unlock()
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	v := verifiedOf(t.path, t.Hash, info)
	return p.journal.add(record{File: &v})
}

// place runs a fetch through p and makes the directories durable.
func (p *placer) place(ctx context.Context, f *fetcher, targets []*target) error {
	for _, dir := range dirsOf(targets) {
		if err := p.mkdir(dir); err != nil {
			return placeError("make directory", dir, err)
		}
	}
	finish, fctx := errgroup.WithContext(ctx)
	finish.SetLimit(finishing)
	p.finish = finish
	err := f.each(fctx, targets, p.take)
	for _, w := range p.open {
		p.abandon(w, "", nil)
	}
	if ferr := finish.Wait(); ferr != nil {
		return ferr // err is no more than its consequence
	}
	if err != nil {
		return err
	}
	for dir := range p.dirs {
		if err := syncUp(p.root, dir); err != nil {
			return placeError("sync", dir, err)
		}
	}
	return nil
}

// syncUp makes a directory and the names of its parents durable.
func syncUp(root *os.Root, dir string) error {
	for {
		d, err := root.Open(dir)
		if err != nil {
			return err
		}
		err = errors.Join(d.Sync(), d.Close())
		if err != nil || dir == "." {
			return err
		}
		dir = path.Dir(dir)
	}
}

// mkdir makes dir and its missing parents. Those that are there are left as they are.
func (p *placer) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := p.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	err := p.root.Mkdir(dir, dirMode(p.mode))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = p.root.Chmod(dir, dirMode(p.mode))
	}
	if err == nil && p.owner != nil {
		err = p.root.Chown(dir, p.owner.UID, p.owner.GID)
	}
	return err
}

// dirMode lets whoever may read a file look into its directory, and its owner change it.
func dirMode(file fs.FileMode) fs.FileMode { return file | file>>2&0o111 | 0o700 }

// placeError wraps an error of the file system.
func placeError(verb, what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("%s %s: %w", verb, what, err)
}
