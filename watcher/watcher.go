package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sstash/sstash/internal/sstable"
)

// A Watcher hints that a scan may find something new. It knows nothing that a scan
// doesn't: what it watches it learns from listings, and what it says is only that it
// is time for the next one (I7). Hints may be late, and they may be for nothing.
//
// It watches the directories in which something new appears for us: the data
// directories, keyspaces, backups/, its index directories, and snapshots/. It does
// not watch
//
//   - the directories of tables. fsnotify can't leave out writes, so every write of
//     every compaction would be an event. Until backups and snapshots are there, two
//     stats per table and a few seconds look for them.
//   - the directory of a snapshot. That it appears is seen in snapshots/, and until
//     it is complete the Judge says Waiting, so there are scans anyway.
//
// What the kernel won't let it watch, it polls, too.
type Watcher struct {
	events *fsnotify.Watcher
	add    func(path string) error
	hints  chan struct{} // holds one at most
	closed chan struct{}
	done   sync.WaitGroup
	once   sync.Once

	mu      sync.Mutex
	known   map[string]bool  // directories of the last listing
	polled  map[string]stamp // by path
	again   bool             // events were lost, also those that end watches
	limited bool             // the last Follow could not watch all
}

// A stamp is what a directory looked like; zero if it was not there.
type stamp struct {
	there bool
	mtime time.Time
}

// pollEvery is how late the first files in a new backups/ may be noticed.
const pollEvery = 3 * time.Second

// New begins to watch the data directories that are there; Follow adds the rest. The
// error says what to raise if the kernel allows no more watchers: the caller then
// scans by time alone.
func New(dataDirs []string) (*Watcher, error) { return newWatcher(dataDirs, pollEvery) }

func newWatcher(dataDirs []string, poll time.Duration) (*Watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch for file events: %w (EMFILE: raise sysctl fs.inotify.max_user_instances)", err)
	}
	w := &Watcher{
		events: events,
		add:    events.Add,
		hints:  make(chan struct{}, 1),
		closed: make(chan struct{}),
	}
	for _, dir := range dataDirs {
		if err := w.watch(filepath.Clean(dir)); err != nil {
			events.Close()
			return nil, fmt.Errorf("watch data directory %s: %w (ENOSPC: raise sysctl fs.inotify.max_user_watches)", dir, err)
		}
	}
	w.done.Add(1)
	go w.run(poll)
	return w, nil
}

// Wait blocks until there is a hint, which it takes, or until ctx ends. Hints that
// nobody waited for are one. A caller that lets a moment pass before it scans lets a
// burst of events be one scan.
func (w *Watcher) Wait(ctx context.Context) error {
	select {
	case <-w.hints:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closed:
		return fsnotify.ErrClosed
	}
}

// Close ends the watching and waits for its goroutine.
func (w *Watcher) Close() error {
	var err error
	w.once.Do(func() {
		close(w.closed)
		err = w.events.Close()
		w.done.Wait()
	})
	return err
}

// Follow watches what the newest listing shows, and stops watching what it doesn't.
// What came into a new directory before it was watched is in no event, so there is a
// hint after each new one: first watch, then list.
//
// The error says that not everything can be watched, and the remedy; it comes once
// until all can be watched again, and it needs no reaction: the rest is polled.
// Follow must not run twice at the same time.
func (w *Watcher) Follow(l Listing) error {
	w.mu.Lock()
	known, renew := maps.Clone(w.known), w.again
	w.again = false
	w.mu.Unlock()

	leave := map[string]bool{}
	for _, dir := range w.events.WatchList() {
		leave[dir] = true
	}
	polled := map[string]stamp{}
	current := make(map[string]bool, len(l.directories))
	news := false
	var failed error
	for _, dir := range l.directories {
		current[dir] = true
		news = news || !known[dir]
		watched := leave[dir]
		delete(leave, dir)
		if watched && !renew {
			continue
		}
		if failed == nil {
			failed = w.watch(dir)
		}
		if failed != nil {
			polled[dir] = look(dir)
		}
	}
	for dir := range leave {
		_ = w.events.Remove(dir) // it may be gone by itself
	}
	for _, path := range l.absent {
		polled[path] = stamp{}
	}
	fresh := w.remember(current, polled, failed != nil)
	if news {
		w.hint()
	}
	if fresh {
		return fmt.Errorf("watch for file events: %w: polling %d directories instead; raise sysctl fs.inotify.max_user_watches", failed, len(polled)-len(l.absent))
	}
	return nil
}

// watch adds a directory, which may be gone by now.
func (w *Watcher) watch(dir string) error {
	err := w.add(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remember takes over what Follow found, and tells whether watches have become
// limited just now.
func (w *Watcher) remember(known map[string]bool, polled map[string]stamp, limited bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range polled {
		if was, ok := w.polled[path]; ok {
			polled[path] = was
		}
	}
	fresh := limited && !w.limited
	w.known, w.polled, w.limited = known, polled, limited
	return fresh
}

func (w *Watcher) hint() {
	select {
	case w.hints <- struct{}{}:
	default:
	}
}

func (w *Watcher) run(poll time.Duration) {
	defer w.done.Done()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-w.events.Events:
			if !ok {
				return
			}
			w.event(e)
		case _, ok := <-w.events.Errors: // overflow, or the kernel's queue can't be read
			if !ok {
				return
			}
			w.lost()
		case <-tick.C:
			w.poll()
		}
	}
}

// event ignores that files change or go: above all, our own unlinking is no news.
func (w *Watcher) event(e fsnotify.Event) {
	switch _, component := sstable.ParseName(filepath.Base(e.Name)); {
	case e.Has(fsnotify.Create):
		w.hint()
	case !component && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)):
		w.mu.Lock()
		delete(w.known, e.Name) // whatever comes there next is new
		w.mu.Unlock()
		w.hint()
	}
}

// lost: with the events, the end of watches may have gone unseen.
func (w *Watcher) lost() {
	w.mu.Lock()
	w.again = true
	w.mu.Unlock()
	w.hint()
}

func (w *Watcher) poll() {
	w.mu.Lock()
	polled := maps.Clone(w.polled)
	w.mu.Unlock()
	changed := map[string]stamp{}
	for path, was := range polled {
		if is := look(path); is != was {
			changed[path] = is
		}
	}
	if len(changed) == 0 {
		return
	}
	w.mu.Lock()
	for path, is := range changed {
		if _, ok := w.polled[path]; ok {
			w.polled[path] = is
		}
	}
	w.mu.Unlock()
	w.hint()
}

func look(path string) stamp {
	info, err := os.Lstat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{true, info.ModTime()}
}
