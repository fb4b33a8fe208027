package daemon

import (
	"context"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/schedule"
	"github.com/sstash/sstash/manifest"
)

// flushed is when a flush of all tables began and ended.
type flushed struct{ began, ended time.Time }

// observeBeside asks the database again and again what it did, however long a pass takes.
func (s *Service) observeBeside(ctx context.Context) {
	if s.Observer == nil && s.flushesDue() {
		s.Observer = &backup.Observer{Ask: s.observeByNodetool, Every: observeByNodetoolEvery, Now: time.Now}
	}
	if s.Observer == nil {
		return
	}
	s.background.Go(func() {
		for sleep(ctx, s.Observer.Every) == nil {
			_ = s.Observer.Look(ctx) // a pass asks again, and says so
			if s.Observer.Changed() {
				s.wakeUp()
			}
		}
	})
}

func (s *Service) flushesDue() bool { return s.Snapshots != nil && s.Config.FlushEvery > 0 }

// flush lets the database flush beside the passes: one that hangs does not hold them up. One that
// succeeds is to become a barrier.
func (s *Service) flush(ctx context.Context) {
	if !s.flushing.CompareAndSwap(false, true) {
		s.Log.Warn("the database is still at the flush before: recent writes wait for it")
		return
	}
	s.background.Go(func() {
		defer s.flushing.Store(false)
		began := s.Now()
		if err := s.Snapshots.Nodetool.Flush(ctx, ""); err != nil {
			if ctx.Err() == nil {
				s.Log.Warn("flush failed: recent writes wait for the database's own flush", "error", err)
			}
			return
		}
		select {
		case <-s.flushed: // an older one
		default:
		}
		s.flushed <- flushed{began, s.Now()}
		s.wakeUp()
	})
}

// nextFull is when the next full may begin, and the tag of its snapshot; false when there will be none.
// A gap makes it early. Not while incremental backups are off: what comes after it would not be proven
// either.
func (s *Service) nextFull(now time.Time) (due time.Time, tag string, ok bool) {
	if s.Snapshots == nil || s.Config.Full.Every <= 0 {
		return time.Time{}, "", false
	}
	state := s.Uploader.History.State()
	last, gaps := state.Whole().Began, state.Gaps()
	due, tag = s.full().Due(last, now, s.HostID), schedule.Tag(backup.TagPrefix, s.full().Slot(now))
	if len(gaps) > 0 && (state.Node() == nil || state.Node().Backups != manifest.BackupsOff) {
		if early := schedule.Early(last, s.Config.Full.Early, now); early.Before(due) {
			due, tag = early, schedule.Tag(backup.TagPrefix, gaps[len(gaps)-1].Noticed)
		}
	}
	if !last.After(s.triedFull) && due.Before(s.retryFull) {
		due = s.retryFull
	}
	return due, tag, true
}

func (s *Service) full() schedule.Full {
	f := s.Config.Full
	return schedule.Full{Every: f.Every, At: time.Duration(f.At) * time.Minute, Spread: f.Spread}
}
