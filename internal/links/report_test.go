package links

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// told builds a state from what each entry says of the table.
func told(t *testing.T, bodies ...manifest.Body) *manifest.State {
	t.Helper()
	s := manifest.NewState()
	for i, b := range bodies {
		m := &manifest.Manifest{Body: b, Header: manifest.Header{
			Seq: uint64(i + 1), Kind: manifest.Increment, Keeps: []manifest.Keep{{Set: pack.SetID{1}}},
		}}
		if b.Full != nil {
			m.Kind = manifest.Full
		}
		if prev := s.Newest(); prev != nil {
			m.Previous = prev.Sum
		}
		m.Sum = chunker.Sum([]byte{byte(i)})
		if err := s.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func storing(ssts ...manifest.SSTable) manifest.Body {
	return manifest.Body{Tables: []manifest.Table{{Table: users, SSTables: ssts}}}
}

func superseding(ssts ...manifest.SSTable) manifest.Body {
	return manifest.Body{Tables: []manifest.Table{{Table: users, Superseded: ssts}}}
}

func wholeFull(after uint64) manifest.Body {
	return manifest.Body{Full: &manifest.FullPart{Tag: "sstash-1", After: after, All: true, Last: true}}
}

// I8: what may be unlinked is stored, or covered by a full that is whole.
func TestI8_Stand(t *testing.T) {
	n := newNode(t)
	f := func(what string, want Standing, bodies ...manifest.Body) {
		t.Helper()
		if got, _ := Stand(told(t, bodies...), n.set); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	changed := n.stored
	changed.Components = append([]manifest.Component(nil), n.stored.Components...)
	changed.Components[0].Inode++
	part := wholeFull(1)
	part.Full.Last = false
	itself := wholeFull(1)
	itself.Tables = superseding(n.stored).Tables

	f("nothing is known", Undurable)
	f("another file", Undurable, storing(changed))
	f("stored", Stored, storing(n.stored))
	f("named, no full", Undurable, superseding(n.stored))
	f("named, half a full", Undurable, superseding(n.stored), part)
	f("named, then a whole full", Superseded, superseding(n.stored), wholeFull(1))
	f("named after the full began", Undurable, storing(), superseding(n.stored), wholeFull(1))
	f("named by the full itself", Superseded, storing(n.stored), itself)
}

// I10: what is not durable bounds what is covered, and what can't be seen covers nothing.
func TestI10_CoveredUntil(t *testing.T) {
	n := newNode(t)
	started := time.Now()
	written := started.Add(-time.Hour)
	data, _ := n.set.File(sstable.Data)
	old := n.set
	old.Stem, old.Files = "nb-2-big", []sstable.File{{Component: sstable.Data, Fingerprint: sstable.Fingerprint{Inode: data.Inode + 1, Mtime: written.UnixNano()}}}
	f := func(what string, want time.Time, s *manifest.State, l watcher.Listing) {
		t.Helper()
		l.Started = started
		if got := CoveredUntil(l, s); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	stored := told(t, storing(n.stored))
	f("nothing there", started, stored, watcher.Listing{})
	f("all durable", started, stored, watcher.Listing{Backups: []sstable.SSTable{n.set}})
	f("one is not", written, stored, watcher.Listing{Backups: []sstable.SSTable{n.set, old}})
	f("no history", time.Time{}, manifest.NewState(), watcher.Listing{})
	f("part of it unseen", time.Time{}, stored, watcher.Listing{Errors: []error{os.ErrPermission}})
}

func TestReport(t *testing.T) {
	n := newNode(t)
	table := filepath.Join(n.data, users.Keyspace, users.Dir())
	// A snapshot that shares every file, and one of a file that has no other name.
	for tag, from := range map[string]string{"daily": "nb-1-big-", "dropped-1795252853387-users": "nb-9-big-"} {
		dir := filepath.Join(table, "snapshots", tag)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{"Data.db", "Index.db", "Statistics.db", "TOC.txt"} {
			if from == "nb-9-big-" {
				n.write(filepath.Join(dir, from+c), []byte(c))
			} else if err := os.Link(n.path(c), filepath.Join(dir, from+c)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The live file of one link is gone: only backups/ and the snapshot hold it.
	if err := os.Remove(filepath.Join(n.live, "nb-1-big-Data.db")); err != nil {
		t.Fatal(err)
	}
	l, err := watcher.Scan(context.Background(), []string{n.data})
	if err != nil {
		t.Fatal(err)
	}
	bytes := n.set.Size()
	group := func(kind, tag string, by Origin, files int, bytes, exclusive int64, standing Standing) Group {
		g := Group{Keyspace: "shop", Table: "users", TableID: users.ID, Kind: kind, Tag: tag, MadeBy: by,
			Files: files, Bytes: bytes, ExclusiveBytes: exclusive, Durable: standing == Stored, Standing: standing}
		g.Reason = g.reason()
		return g
	}
	want := []Group{
		group("backups", "", Incremental, 4, bytes, 0, Stored),
		group("snapshot", "daily", User, 4, bytes, 0, Stored),
		group("snapshot", "dropped-1795252853387-users", Drop, 4, 35, 35, Undurable),
	}
	got := Report(l, told(t, storing(n.stored)), "sstash-")
	if len(got) != len(want) {
		t.Fatalf("%d groups, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	// Without the snapshot, backups/ alone holds Data.db.
	if err := os.RemoveAll(filepath.Join(table, "snapshots")); err != nil {
		t.Fatal(err)
	}
	if l, err = watcher.Scan(context.Background(), []string{n.data}); err != nil {
		t.Fatal(err)
	}
	data, _ := n.set.File(sstable.Data)
	if got = Report(l, told(t), "sstash-"); got[0].ExclusiveBytes != data.Size || got[0].Durable {
		t.Errorf("%+v, want %d exclusive bytes, not durable", got[0], data.Size)
	}
}

func TestOrigin(t *testing.T) {
	f := func(tag string, want Origin) {
		t.Helper()
		if got := origin(watcher.Snapshot{Tag: tag}, "sstash-"); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
	f("sstash-20261122T020000Z", Ours)
	f("truncated-1795252853387-users", Truncate)
	f("1795252853387-truncated-users", Truncate)
	f("dropped-1795252853387-doomed_drop", Drop)
	f("1795252853387-dropped-doomed_drop", Drop)
	f("1795252853387-users", Auto)
	f("pre-scrub-1795252853387", Scrub)
	f("1795252853387-upgrade-4.1.10-5.0.8", Upgrade)
	f("1795252853387-compact-users", Compaction)
	f("b2637280-e58c-11f1-9908-5b39e1f4c1a0", Repair)
	f("end.1 of day", User)
	f("daily", User)
	if got := origin(watcher.Snapshot{Tag: "x", LegacyEphemeral: true}, "sstash-"); got != Repair {
		t.Errorf("ephemeral: %s, want %s", got, Repair)
	}
}
