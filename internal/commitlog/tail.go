package commitlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/bucket"
)

const (
	// beat is how often a log in which nothing is new says so in the bucket.
	beat = 10 * time.Minute
	// lastLook bounds the look with which a tail ends.
	lastLook = 3 * time.Second
	// askAgain is how soon a database that did not say how it syncs is asked again.
	askAgain = time.Minute
	// reserve is the share of the disk that files which only we hold may not take from the database.
	reserve = 0.08
)

// Crowded tells whether so little of the disk that dir is on is free that segments which the database
// has deleted are not held for it.
func Crowded(dir string) bool {
	var disk unix.Statfs_t
	return unix.Statfs(dir, &disk) == nil && float64(disk.Bavail) < reserve*float64(disk.Blocks)
}

// Mode is how a database syncs its commit log. The zero value is what is true of all.
type Mode struct {
	// Waits: a write is acknowledged when it is synced (commitlog_sync batch or group).
	Waits bool
	// Mapped: what is not compressed is written through memory, so that a write can be seen in the file
	// before it is acknowledged (commitlog_disk_access_mode mmap; all there was before 5.0).
	Mapped bool
}

// Tail stores the commit log of one node as it is written.
type Tail struct {
	Dir      string // where the database writes it; nothing in it is ever changed
	Spool    string // where the database copies segments that are full, and from where they are removed once they are stored; may be empty
	Every    time.Duration
	Bucket   bucket.Bucket
	Prefix   string // "<cluster>/<host-id>/"
	Identity Identity
	// Ask asks the database how it syncs. It is asked once for each of its runs; after an error it is
	// asked again later.
	Ask    func(context.Context) (Mode, error)
	Report func(Report) // told of every look, one after the other
}

// Report is what a look did.
type Report struct {
	// Since and Until: every write that was acknowledged in [Since, Until) is in the bucket. Until is
	// zero where nothing is proven.
	Since, Until time.Time
	Pieces       int   // put
	Raw, Stored  int64 // bytes of the log in them, and their own
	// Gap is why the log does not go on from what was stored before; empty when it does.
	Gap     string
	Waiting int64 // durable bytes that are not stored yet
	Pinned  int64 // bytes of files that the database has deleted, and that we hold
	Err     error // what this look could not do; the next one tries again
	Unasked error // why the database did not say how it syncs; it is asked again
}

// Run follows the log until ctx ends, and looks once more then. It returns an error only for what
// going on can't mend: ErrFenced.
func (t *Tail) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	following, stop := context.WithCancel(ctx)
	defer stop()
	s := newTailing(t)
	defer s.holder.close()
	s.holder.follow(following, &running)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
			defer cancel()
			s.ending = true
			return fatal(s.turn(ctx))
		}
		began := time.Now()
		if err := fatal(s.turn(ctx)); err != nil {
			return err
		}
		timer.Reset(max(0, t.Every-time.Since(began)))
	}
}

func fatal(err error) error {
	if errors.Is(err, ErrFenced) {
		return err
	}
	return nil
}

// tailing is a Tail at work.
type tailing struct {
	*Tail
	now     func() moment
	crowded func(dir string) bool
	holder  *holder
	writer  *Writer // nil until the end of the stored log is known
	end     *Piece  // of what was stored before
	broken  string  // why what was stored before is not gone on from
	proof   proof
	mode    Mode
	known   bool          // the database has said how it syncs
	asked   time.Duration // when it was asked last
	seen    int64         // the highest id so far
	missed  []string      // since the last look that could judge
	blind   string        // likewise
	last    moment        // when the look before was over
	// stretches are those with news to be put, in order; the last one is going on.
	stretches []going
	proven    going         // the newest with anything proven that is stored
	pending   *pending      // a piece whose outcome is unknown
	put       time.Duration // when the last piece was
	ending    bool
}

// going is a stretch as it goes on.
type going struct {
	first        uint64 // number of its first piece; 0 before that is put
	why          string
	since, until time.Time
	stored       time.Time // until, as pieces say
	looked, read time.Time
}

func newTailing(t *Tail) *tailing {
	return &tailing{Tail: t, now: systemClock(), crowded: Crowded, holder: newHolder(t.Dir), asked: -askAgain}
}

func (t *tailing) current() *going { return &t.stretches[len(t.stretches)-1] }

// turn looks once, and puts what is new.
func (t *tailing) turn(ctx context.Context) error {
	var r Report
	r.Err = t.tail(ctx, &r)
	t.measure(&r)
	r.Since, r.Until = t.proven.since, t.proven.until
	t.Report(r)
	return r.Err
}

func (t *tailing) tail(ctx context.Context, r *Report) error {
	if t.writer == nil {
		var err error
		if t.writer, t.end, err = OpenWriter(ctx, t.Bucket, t.Prefix, t.Identity); err != nil {
			return err
		}
		if t.broken != "" {
			t.end = nil // the header of what can't be read may be whole
		}
	}
	all, err := t.look(r)
	if err != nil {
		return err
	}
	if err := t.ship(ctx, all, r); err != nil {
		if errors.Is(err, ErrDamaged) {
			t.startOver(err)
		}
		return err
	}
	r.Unasked = t.ask(ctx)
	return t.letGo(all)
}

// startOver makes the next look begin a stretch behind an object that took our number and can't be read:
// no restore gets across that. So segments are stored from their beginning again.
func (t *tailing) startOver(why error) {
	t.broken = why.Error()
	t.writer, t.pending, t.stretches = nil, nil, nil
	for _, s := range t.holder.all() {
		s.sent, s.first = 0, 0
		s.sum.Reset()
	}
}

// look reads what is new, and judges what is proven by it.
func (t *tailing) look(r *Report) ([]*segment, error) {
	l := look{at: t.now()}
	all, missed, blind, err := t.holder.take()
	t.missed, t.blind = append(t.missed, missed...), cmp.Or(t.blind, blind)
	if err != nil {
		return nil, err
	}
	if all, err = t.fromSpool(all); err != nil {
		return nil, err
	}
	if l.before, err = t.advance(all); err != nil {
		return nil, err
	}
	if l.after, err = t.advance(all); err != nil {
		return nil, err
	}
	l.now = t.now()
	why := ""
	if len(t.stretches) == 0 {
		why, err = t.begin(all, l)
	} else {
		why, err = t.judge(all, l)
	}
	if err != nil {
		return nil, err
	}
	t.missed, t.blind = nil, ""
	if why != "" {
		t.proof = proof{}
		t.stretches = append(t.stretches, going{why: why, since: l.at.wall})
		r.Gap = why
	}
	if l.quiet, err = t.quiet(all); err != nil {
		return nil, err
	}
	c := t.current()
	if until := t.proof.see(l); until.After(c.until) && until.After(c.since) {
		c.until = until
	}
	for i := range t.stretches {
		t.stretches[i].looked, t.stretches[i].read = l.at.wall, l.now.wall
	}
	t.last = l.now
	return all, nil
}

// advance reads the chains of all segments, and returns how much progress each has made.
func (t *tailing) advance(all []*segment) (map[int64]int, error) {
	progress := map[int64]int{}
	for _, s := range all {
		was := s.chain.Markers
		if !s.ended {
			if err := s.advance(!t.mapped(s) && !s.header.Grows()); err != nil {
				return nil, err
			}
		}
		if s.chain.Markers > was || s.others == nil {
			s.others = map[int64]int{}
			for _, newer := range all {
				if newer.ID > s.ID {
					s.others[newer.ID] = newer.progress
				}
			}
		}
		progress[s.ID] = s.progress
	}
	return progress, nil
}

// mapped tells whether the database writes the segment through memory.
func (t *tailing) mapped(s *segment) bool {
	const last311 = 6
	return !s.header.Grows() && (t.mode.Mapped || s.Version <= last311)
}

// quiet tells whether nothing was acknowledged, as of when the segments were listed, that is not
// durable now.
func (t *tailing) quiet(all []*segment) (bool, error) {
	if t.mode.Waits {
		return true, nil
	}
	for _, used := range []bool{true, false} { // where there may be something, first
		for _, s := range all {
			if s.ended || (s.chain.Markers > 0) != used {
				continue
			}
			const recycles = 4
			if !t.mapped(s) || s.Version <= recycles {
				return false, nil
			}
			if quiet, err := s.quiet(); err != nil || !quiet {
				return false, err
			}
		}
	}
	return true, nil
}

// letGo closes the segments of which nothing more is needed.
func (t *tailing) letGo(all []*segment) error {
	var errs []error
	for _, s := range all {
		if !s.ended || s.news() > 0 {
			continue
		}
		errs = append(errs, t.unspool(s))
		t.holder.drop(s, false)
	}
	return errors.Join(errs...)
}

// measure counts what is held, and lets go of what was deleted when the disk is filling up: the
// database comes first.
func (t *tailing) measure(r *Report) {
	all := t.holder.all()
	for _, s := range all {
		r.Waiting += s.news()
		if info, err := s.file.Stat(); err == nil && s.gone && !s.spool {
			r.Pinned += min(info.Size(), info.Sys().(*syscall.Stat_t).Blocks*512)
		}
	}
	if t.pending != nil {
		r.Waiting += int64(len(t.pending.raw))
	}
	if r.Pinned == 0 || !t.crowded(t.Dir) {
		return
	}
	for _, s := range all {
		if s.gone && !s.spool {
			needed := !s.ended || s.news() > 0
			if needed {
				t.unclaim()
			}
			t.holder.drop(s, needed)
		}
	}
}

// unclaim takes back what looks have proven by bytes that are not stored, and now never will be.
func (t *tailing) unclaim() {
	for i := range t.stretches {
		t.stretches[i].until = t.stretches[i].stored
	}
}

// ask asks the database how it syncs. What it says is true of its newest run from now on.
func (t *tailing) ask(ctx context.Context) (err error) {
	now := t.now().run
	if t.known || t.ending || now-t.asked < askAgain {
		return nil
	}
	t.asked = now
	if t.mode, err = t.Ask(ctx); err != nil {
		return fmt.Errorf("ask the database how it syncs its commit log: %w", err)
	}
	t.known = true
	return nil
}

// forget: it may be another run of the database.
func (t *tailing) forget() {
	t.proof, t.mode, t.known, t.asked = proof{}, Mode{}, false, -askAgain
}
