package uploader

import (
	"context"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/sstable"
)

func TestLevel(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	n.Uploader.Level = chunker.Balanced
	n.Tables = map[string]chunker.Level{"shop": chunker.Dense, "shop.events": chunker.Fast, "shop.users": chunker.Balanced}
	f := func(keyspace, name string, size int64, age time.Duration, increment bool, want chunker.Level) {
		t.Helper()
		data := sstable.File{Component: sstable.Data, Fingerprint: sstable.Fingerprint{Size: size, Mtime: n.now.Add(-age).UnixNano()}}
		set := sstable.SSTable{Table: sstable.Table{Keyspace: keyspace, Name: name}, Files: []sstable.File{data}}
		if got := n.level(set, increment); got != want {
			t.Errorf("%s.%s, %d bytes, %s old, increment %v: %s, want %s", keyspace, name, size, age, increment, got, want)
		}
	}
	const small, large = smallFlush - 1, smallFlush
	f("web", "users", small, 0, true, chunker.Fast)
	f("web", "users", small, -time.Hour, true, chunker.Fast) // by a clock that was set back
	f("web", "users", large, 0, true, chunker.Balanced)
	f("web", "users", small, freshFlush, true, chunker.Balanced)
	f("web", "users", small, 0, false, chunker.Balanced)
	// What a table says, or else its keyspace, holds for all of its files.
	f("shop", "orders", small, 0, true, chunker.Dense)
	f("shop", "users", small, 0, true, chunker.Balanced)
	f("shop", "events", large, 24*time.Hour, false, chunker.Fast)
	f("Shop", "events", large, 0, true, chunker.Balanced)
}

// Frames of files of different levels are made by the same encoders, one file after the other.
func TestLevelOfEachFile(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	n.Uploader.Level = chunker.Dense
	n.Tables = map[string]chunker.Level{"shop.kv": chunker.Fast, "shop.wide": chunker.Balanced}
	var sets []sstable.SSTable
	for range 2 {
		for _, name := range []string{"kv", "users", "wide"} {
			sets = append(sets, n.fixture("5.0.8-nb", name))
		}
	}
	now := time.Unix(0, fingerprint(sets[0]).Mtime).Add(time.Minute)
	n.Now = func() time.Time { return now } // the table users is fresh
	if _, err := n.Increment(context.Background(), Increment{AsOf: now, SSTables: sets[:3]}); err != nil {
		t.Fatal(err)
	}
	f := Full{Tables: []Base{}, Final: true}
	for _, set := range sets[3:] {
		f.Tables = append(f.Tables, Base{Table: set.Table, ID: set.Table.Name, SSTables: []sstable.SSTable{set}})
	}
	if _, err := n.Store(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	for i, want := range []chunker.Transform{chunker.None, chunker.None, chunker.Indexed, chunker.None, chunker.Indexed, chunker.Indexed} {
		n.wantStored(sets[i])
		if got := n.transforms(sets[i], sstable.Data); len(got) != 1 || got[want] == 0 {
			t.Errorf("%s of set %d has frames %v, want only %s", sets[i].Table.Name, i, got, want)
		}
	}
}

// transforms counts the frames of a component of set by what was done to them.
func (n *node) transforms(set sstable.SSTable, component string) map[chunker.Transform]int {
	n.t.Helper()
	st, ok := n.History.State().Match(set)
	c, has := st.Component(component)
	if !ok || !has {
		n.t.Fatalf("%s is not stored", set.Stem)
	}
	frames, err := n.frames(st.Set(c), c.List)
	n.must(err)
	count := map[chunker.Transform]int{}
	for _, f := range frames {
		count[f.Transform]++
	}
	return count
}
