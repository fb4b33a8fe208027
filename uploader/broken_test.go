package uploader

import (
	"errors"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/fileid"
	"github.com/sstash/sstash/internal/sstable"
)

func TestWhatCantBeReadIsTriedLessAndLess(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	u := &Uploader{Now: func() time.Time { return now }}
	set := sstable.SSTable{DataDir: "/d", Dir: "ks/t/backups", Stem: "nb-1-big", Files: []sstable.File{
		{Component: sstable.Data, Fingerprint: sstable.Fingerprint{Inode: 1}},
	}}
	eio := errors.New("input/output error")
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if err := u.paused(set); err != nil {
			t.Fatalf("its try is due: %v", err)
		}
		u.note(set, eio)
		now = now.Add(pause - time.Second)
		if err := u.paused(set); !errors.Is(err, eio) {
			t.Errorf("%v before the pause of %v is over: %v", time.Second, pause, err)
		}
		now = now.Add(time.Second)
	}
	u.note(set, eio)
	other := set
	other.Files = []sstable.File{{Component: sstable.Data, Fingerprint: sstable.Fingerprint{Inode: 2}}}
	if err := u.paused(other); err != nil {
		t.Errorf("another file under the same name: %v", err)
	}
	now = now.Add(-24 * time.Hour)
	if err := u.paused(set); err != nil {
		t.Errorf("the clock was set back, and it is not tried for a day: %v", err)
	}
	u.note(set, fileid.ErrChanged)
	if len(u.unreadable) != 0 {
		t.Errorf("what only changed is remembered: %v", u.unreadable)
	}
}
