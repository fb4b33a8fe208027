package daemon

import (
	"context"
	"time"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/schedule"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
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

// rebase takes a snapshot of the tables whose chains have grown too long, and stores it; false when there
// are none.
func (s *Service) rebase(ctx context.Context, now time.Time) (backup.Report, bool, error) {
	if s.Snapshots == nil || s.Config.Rebase.Every <= 0 || s.nextRebase.After(now) || s.Uploader.History.State().Whole().Tag == "" {
		return backup.Report{}, false, nil
	}
	s.nextRebase = now.Add(s.Config.Rebase.Every)
	tables, err := schedule.Rebase{Every: s.Config.Rebase.Every, Floor: int64(s.Config.Rebase.Floor)}.Heavy(s.weigh())
	if err != nil {
		s.Log.Warn("some tables can't be weighed for a new base", "error", err)
	}
	if len(tables) == 0 {
		return backup.Report{}, false, nil
	}
	tag := schedule.Tag(backup.TagPrefix+"rebase-", now)
	s.Log.Info("tables have flushed more than they hold, and get a new base", "tables", tables, "tag", tag)
	r, err := s.Full(ctx, tag, tables)
	return r, true, err
}

func (s *Service) weigh() (all []schedule.Weight) {
	state := s.Uploader.History.State()
	for _, t := range state.Tables() {
		w := schedule.Weight{Table: t.Keyspace + "." + t.Name, Live: func() (int64, error) { return watcher.LiveBytes(s.DataDirs, t) }}
		for _, st := range state.Chain(t).SSTables {
			if st.From.Body.Full == nil {
				w.Increments += st.Bytes()
			}
		}
		all = append(all, w)
	}
	return all
}
