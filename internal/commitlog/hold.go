package commitlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sstash/sstash/chunker"
)

// listEvery is how late a new segment may be opened when no event tells of it.
const listEvery = time.Second

// segment is one that is held open: what was written to it stays readable when its file is deleted.
type segment struct {
	Name
	file   *os.File
	gone   bool // no longer in the directory: what is read from now on is all there will ever be
	spool  bool // opened from the spool, where it is whole
	header Header
	chain  Chain
	size   int64
	ended  bool // read after it was gone
	lost   bool // its file holds something else now: 2.1 recycles them
	told   bool // that it is lost
	// progress counts the passes of the database's sync thread that are told apart by what they wrote,
	// and others those of newer segments when this one had anything new last.
	progress int
	others   map[int64]int

	stale bool   // of no use to this stretch: it ended before it
	sent  int64  // pieces hold [0, sent)
	first uint64 // the piece that holds its beginning
	sum   *chunker.Hasher
}

// advance reads what is new of the chain. Markers become visible one by one, each written by another
// pass; where they may become visible in bulk (O_DIRECT), single says so, and a look counts as one.
func (s *segment) advance(single bool) error {
	was := s.chain.Markers
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.size = info.Size()
	h, err := ReadHeader(s.file)
	switch {
	case errors.Is(err, ErrNotSegment) && s.header.Size == 0:
		s.ended = s.gone
		return nil // not yet
	case err != nil && !errors.Is(err, ErrNotSegment):
		return err
	case s.header.Size == 0 && h.Name == s.Name:
		s.header, s.chain = h, h.Chain()
	case h.Name != s.Name:
		s.lost, s.ended = true, true
		return nil
	}
	if err := s.chain.Follow(s.file, s.size); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	s.ended = s.ended || s.gone
	if fresh := s.chain.Markers - was; fresh > 0 && single {
		s.progress++
	} else {
		s.progress += fresh
	}
	return nil
}

// quiet tells whether nothing was written behind the durable stretch. It only says so of a file that
// the database maps into its memory, where a write is seen at once.
func (s *segment) quiet() (bool, error) {
	if s.header.Size == 0 {
		return true, nil
	}
	buf := make([]byte, 256<<10)
	for at := s.chain.End; at < s.size; {
		n, err := s.file.ReadAt(buf[:min(int64(len(buf)), s.size-at)], at)
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		at += int64(n)
	}
	return true, nil
}

// news is how many durable bytes are not stored.
func (s *segment) news() int64 {
	if s.stale || s.lost || s.chain.Markers == 0 {
		return 0
	}
	return s.chain.End - s.sent
}

// holder holds the segments of a directory open. Its methods may be called concurrently; the segments
// themselves are for the one that takes them.
type holder struct {
	dir string

	mu      sync.Mutex
	held    map[string]*segment
	dropped []string // the last ones
	missed  []string // were there, and were deleted before they could be opened
	blind   string   // why others may have come and gone unseen since take; empty when none can have
	deaf    string   // why that is so until there are file events again
}

func newHolder(dir string) *holder {
	return &holder{dir: dir, held: map[string]*segment{}, deaf: "nobody watched"}
}

// follow opens new segments as they come, in a goroutine that ends with ctx.
func (h *holder) follow(ctx context.Context, running *sync.WaitGroup) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		h.deaf = fmt.Sprintf("no file events: %v", err)
		running.Go(func() { h.poll(ctx) })
		return
	}
	h.watch(watcher)
	running.Go(func() {
		defer watcher.Close()
		tick := time.NewTicker(listEvery)
		defer tick.Stop()
		for {
			select {
			case e := <-watcher.Events:
				if e.Has(fsnotify.Create) {
					h.open(filepath.Base(e.Name))
				}
			case <-watcher.Errors: // an overflow
				h.lose()
			case <-tick.C:
				h.watch(watcher)
			case <-ctx.Done():
				return
			}
		}
	})
}

// watch makes sure that the directory is watched: it may be new, or be there only now.
func (h *holder) watch(watcher *fsnotify.Watcher) {
	if slices.Contains(watcher.WatchList(), h.dir) {
		return
	}
	err := watcher.Add(h.dir)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf = ""; err != nil {
		h.deaf = fmt.Sprintf("no file events: %v", err)
	}
	h.blind = "no file events"
	_ = h.openAll() // a look says what is wrong
}

// poll stands in for file events.
func (h *holder) poll(ctx context.Context) {
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.mu.Lock()
			_ = h.openAll()
			h.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// lose: events were lost.
func (h *holder) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blind = "file events were lost"
	_ = h.openAll()
}

// open holds the segment of that name.
func (h *holder) open(file string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.openFile(file) // tried again with the next listing
}

// openFile holds the segment of that name, if it is one. h.mu is held.
func (h *holder) openFile(file string) error {
	name, ok := ParseName(file)
	if !ok || h.held[file] != nil || slices.Contains(h.dropped, file) || slices.Contains(h.missed, file) {
		return nil
	}
	f, err := os.Open(filepath.Join(h.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		h.missed = append(h.missed, file)
		return nil
	}
	if err != nil {
		return err
	}
	h.held[file] = &segment{Name: name, file: f, sum: chunker.NewHasher()}
	return nil
}

// openAll opens what is there. h.mu is held.
func (h *holder) openAll() error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("list the commit log: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, h.openFile(e.Name()))
	}
	return errors.Join(errs...)
}

// take opens what is there, and returns all that is held in the order of ids, what was missed since
// take was called last, and why there may be more of that.
func (h *holder) take() (all []*segment, missed []string, blind string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// In this order: a node that starts makes its first segment before it deletes those of the run before.
	for file, s := range h.held {
		if !s.gone {
			_, err := os.Lstat(filepath.Join(h.dir, file))
			s.gone = errors.Is(err, fs.ErrNotExist)
		}
	}
	if err := h.openAll(); err != nil {
		return nil, nil, "", err
	}
	missed, blind = h.missed, cmp.Or(h.blind, h.deaf)
	h.missed, h.blind = nil, ""
	all = slices.SortedFunc(maps.Values(h.held), func(a, b *segment) int { return cmp.Compare(a.ID, b.ID) })
	return all, missed, blind, nil
}

// hold adds a segment that was opened elsewhere.
func (h *holder) hold(s *segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[s.String()] = s
}

// all returns what is held, in no order.
func (h *holder) all() []*segment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.held))
}

// drop lets a segment go. One of which anything was still needed is missed.
func (h *holder) drop(s *segment, needed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if needed {
		h.missed = append(h.missed, s.String())
	}
	s.file.Close()
	delete(h.held, s.String())
	h.dropped = append(h.dropped, s.String())
	h.dropped = h.dropped[max(0, len(h.dropped)-1000):]
}

func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.held {
		s.file.Close()
	}
	clear(h.held)
}
