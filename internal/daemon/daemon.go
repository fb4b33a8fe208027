// Package daemon wires the parts of one node together and runs them: the service, and the single
// pass of `sstash backup`. What is due, package schedule decides; what is to be done, package backup;
// here it is only called, logged and counted.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/schedule"
	"github.com/sstash/sstash/watcher"
)

// Service runs one node until its context ends.
type Service struct {
	*Node
	Log *slog.Logger
	// Notify tells the service manager: READY, STOPPING and a line of status.
	Notify func(state string)
	// Beat is told of every pass that succeeded; nil for nobody.
	Beat func()

	metrics *metrics
	watch   *watcher.Watcher
	board   *board
	// These pace the loop.
	nextFlush  time.Time
	nextRebase time.Time
	triedFull  time.Time // when the newest was begun
	retryFull  time.Time // not before, if that one is not whole
	lastCommit time.Time
	checked    time.Time // that the history is still all there
	failures   int       // in a row
	flushing   atomic.Bool
	flushSoon  atomic.Bool   // whatever nextFlush says
	flushed    chan flushed  // the newest that succeeded and no pass knows of
	wake       chan struct{} // there is something for a pass
	background sync.WaitGroup
}

const (
	// retryMax bounds the pause after failures in a row.
	retryMax = 2 * time.Minute
	// fullRetry is the pause after a snapshot that failed. Increments go on meanwhile.
	fullRetry = 5 * time.Minute
	// existsRetry is the pause after one whose tag was taken meanwhile.
	existsRetry = 10 * time.Second
	// checkEvery is how often the service looks whether somebody has removed entries of its history:
	// with them, what was unlinked is lost. It costs one listing.
	checkEvery = time.Hour
)

// Run backs the node up until ctx ends. It returns nil then, and an error only for what going on
// can't mend: another writer has taken over, or the history is damaged.
func (s *Service) Run(ctx context.Context) error {
	s.board = newBoard(s.Node)
	s.metrics = newMetrics(s.board)
	defer s.serve()() //nolint:contextcheck // it answers until the service has ended, whatever ended it
	defer s.background.Wait()
	var err error
	if s.watch, err = watcher.New(s.Node.DataDirs); err != nil {
		s.Log.Warn("no file events, polling only", "error", err)
	} else {
		defer s.watch.Close()
	}
	s.Node.Scanned = s.follow
	s.checked = s.Now() // by Open
	s.nextFlush = schedule.Flush(s.Config.FlushEvery, s.Now(), s.HostID)
	s.nextRebase = s.Now().Add(s.Config.Rebase.Every)
	s.flushed, s.wake = make(chan flushed, 1), make(chan struct{}, 1)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.observeBeside(ctx)
	s.drills(ctx)
	s.tailBeside(ctx, stop)
	s.Notify("READY=1")
	defer s.Notify("STOPPING=1")
	for {
		wait, err := s.turn(ctx)
		if ctx.Err() == nil && Fatal(err) {
			return err
		}
		if ctx.Err() != nil || s.idle(ctx, wait) != nil {
			return ended(ctx)
		}
	}
}

// ended is why the service ends, nil when it was told to.
func ended(ctx context.Context) error {
	if err := context.Cause(ctx); Fatal(err) {
		return err
	}
	return nil
}

// wakeUp ends the idling, now or the next time.
func (s *Service) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// follow makes events come from where the scan has been.
func (s *Service) follow(l watcher.Listing) {
	if s.watch == nil {
		return
	}
	if err := s.watch.Follow(l); err != nil {
		for _, err := range s.board.freshErrors([]error{err}) {
			s.Log.Warn("some directories are polled, not watched", "error", err)
		}
	}
}

// Fatal errors are those that going on would make worse.
func Fatal(err error) bool {
	return errors.Is(err, history.ErrFenced) || errors.Is(err, history.ErrDamaged) || errors.Is(err, backup.ErrIdentity)
}

// turn does what is due and says how long nothing will be, unless an event comes.
func (s *Service) turn(ctx context.Context) (time.Duration, error) {
	began := s.Now()
	r, err := s.work(ctx)
	s.report(r, err, s.Now().Sub(began))
	if err != nil {
		s.failures++
		return min(time.Second<<min(s.failures, 8), retryMax), err
	}
	s.failures = 0
	if s.Beat != nil {
		s.Beat()
	}
	switch {
	case r.More:
		return 0, nil
	case len(r.Waiting) > 0:
		return s.pause(), nil
	}
	return s.Config.Watch.Rescan, nil
}

// work is one pass, or a full when one is due.
func (s *Service) work(ctx context.Context) (backup.Report, error) {
	now := s.Now()
	if err := s.claim.extend(); err != nil {
		return backup.Report{}, err
	}
	if now.Sub(s.checked) >= checkEvery {
		if err := s.Uploader.History.Check(ctx); err != nil {
			return backup.Report{}, err
		}
		s.checked = now
	}
	if due, tag, ok := s.nextFull(now); ok && !due.After(now) {
		s.Log.Info("a full is due", "tag", tag)
		s.triedFull, s.retryFull = now, now.Add(fullRetry)
		r, err := s.Full(ctx, tag, nil)
		switch {
		case err == nil: // should it lack a table, then so may the next one
			s.retryFull = now.Add(max(fullRetry, s.Config.Full.Early))
		case errors.Is(err, cassandra.ErrSnapshotExists):
			// One that we began before we were killed has ended meanwhile: the next try clears it.
			s.retryFull = s.Now().Add(existsRetry)
		}
		return r, err
	}
	if s.flushesDue() && (s.flushSoon.Swap(false) || !s.nextFlush.After(now)) {
		s.nextFlush = schedule.Flush(s.Config.FlushEvery, now, s.HostID)
		s.flush(ctx)
	}
	select {
	case f := <-s.flushed:
		s.Flushed(f.began, f.ended)
	default:
	}
	if r, done, err := s.rebase(ctx, now); done {
		return r, err
	}
	r, err := s.Pass(ctx)
	if len(r.Manifests) > 0 {
		s.lastCommit = s.Now()
	}
	return r, err
}

// idle waits for an event, at most for wait, and then until the next commit is allowed.
func (s *Service) idle(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return ctx.Err()
	}
	if s.failures > 0 {
		return sleep(ctx, wait) // events would only make it fail more often
	}
	wait = s.untilDue(wait)
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	go func() {
		select {
		case <-s.wake:
			cancel()
		case <-limited.Done():
		}
	}()
	if s.watch != nil {
		if err := s.watch.Wait(limited); err == nil {
			s.metrics.hints.Inc()
			return s.settle(ctx)
		}
		return ctx.Err()
	}
	<-limited.Done()
	return ctx.Err()
}

// settle waits until a commit is allowed, and looks at what is there early enough for it to be found
// complete by then.
func (s *Service) settle(ctx context.Context) error {
	if err := sleep(ctx, s.pause()-s.Config.Watch.Settle); err != nil {
		return err
	}
	if err := s.Look(ctx); err != nil && ctx.Err() == nil {
		s.Log.Debug("look around", "error", err) // the pass will say the same
	}
	return sleep(ctx, s.Config.Watch.Settle)
}

// pause is how long until a commit is allowed, at least as long as files take to settle.
func (s *Service) pause() time.Duration {
	now := s.Now()
	return max(s.Config.Watch.Settle, schedule.Commit(s.lastCommit, s.Config.CommitEvery, now).Sub(now))
}

// untilDue shortens wait to when a full or a flush is due.
func (s *Service) untilDue(wait time.Duration) time.Duration {
	now := s.Now()
	if s.flushesDue() {
		wait = min(wait, s.nextFlush.Sub(now))
	}
	if due, _, ok := s.nextFull(now); ok {
		wait = min(wait, due.Sub(now))
	}
	return max(wait, s.Config.Watch.Settle)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report logs and counts what a pass did.
func (s *Service) report(r backup.Report, err error, took time.Duration) {
	s.board.update(r, err, s.Now())
	s.metrics.pass(r, err)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Log.Error("backup pass", "error", err, "hint", Hint(err))
		s.Notify("STATUS=" + err.Error())
	}
	for _, m := range r.Manifests {
		sstables, bytes := m.Size()
		s.Log.Info("committed", "seq", m.Seq, "kind", m.Kind, "tables", len(m.Body.Tables), "sstables", sstables, "bytes", bytes)
	}
	if r.Puts > 0 {
		s.Log.Info("stored", "read", r.NewBytes, "stored", r.Stored, "puts", r.Puts, "took", took.Round(time.Millisecond))
	}
	if r.Pruned.Files > 0 {
		s.Log.Info("unlinked", "files", r.Pruned.Files, "bytes", r.Pruned.Bytes)
	}
	for _, tag := range r.Cleared {
		s.Log.Info("cleared our snapshot", "tag", tag)
	}
	for _, f := range s.board.freshFailures(r.Failed) {
		s.Log.Error("SSTable not stored", "path", f.SSTable.Rel(""), "error", f.Err)
	}
	s.odd(r)
	for _, h := range s.board.freshHeld(r.Quarantined) {
		s.Log.Warn("incomplete for too long", "path", h.Path, "why", h.Why)
	}
	for _, k := range r.Kept {
		s.Log.Debug("link kept", "path", k.Path, "why", k.Why)
	}
	for _, p := range s.board.freshErrors(append(r.Problems, r.Scan.Errors...)) {
		s.Log.Warn("problem", "error", p)
	}
	for _, u := range s.board.freshUnknown(r.Scan.Unknown) {
		s.Log.Warn("file that nobody can place", "path", u)
	}
}

// odd says what was stored as it is although it is not what the database should have written.
func (s *Service) odd(r backup.Report) {
	for _, h := range s.board.freshHeld(r.Damaged) {
		s.Log.Warn("damaged on this node, stored as it is", "path", h.Path, "why", h.Why)
		s.board.note("damaged on this node, stored as it is: %s: %s", h.Path, h.Why)
	}
	for _, f := range s.board.freshFindings(r.Findings) {
		path := f.SSTable.Place()
		if f.Damage != "" {
			s.Log.Warn("damaged on this node, stored as it is", "path", path, "why", f.Why())
			s.board.note("damaged on this node, stored as it is: %s: %s", path, f.Why())
			continue
		}
		s.Log.Warn("rows that this version can't split into columns: they are safe, in up to twice the space",
			"sstables", f.Version(), "reason", f.Plain, "first", path, "why", f.Why())
		s.board.note("rows of %s SSTables can't be split into columns, and take up to twice the space: %s, as of %s", f.Version(), f.Why(), path)
	}
}

// Hint is what an operator can do about an error; empty when we don't know better than the message.
func Hint(err error) string {
	switch {
	case errors.Is(err, history.ErrFenced):
		return "stop the other sstash, or remove the cloned machine's configuration; the one that started last has taken over"
	case errors.Is(err, history.ErrInUse):
		return "the service, or another sstash, runs on this machine; the service takes what is there by itself. `sstash snapshot` makes it take a full"
	case errors.Is(err, history.ErrDamaged):
		return "restore the object from the bucket's versions or soft-deleted objects; `sstash run --start-over` begins a new history behind it"
	case errors.Is(err, bucket.ErrDenied):
		return "the credentials, or this user where the bucket is a directory, lack a permission: create, read and list are needed; `sstash doctor` tries each"
	case errors.Is(err, bucket.ErrUnreachable):
		return "check the bucket's name and the network; `sstash doctor` tries both"
	case errors.Is(err, backup.ErrIdentity):
		return "this configuration belongs to another node; run `sstash init` on this one"
	}
	return ""
}

// String names the node for people.
func (n *Node) String() string { return fmt.Sprintf("%s/%s", n.Cluster, n.HostID) }
