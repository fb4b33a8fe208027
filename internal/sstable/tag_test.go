package sstable

import (
	"testing"
	"time"
)

func TestParseAutoTag(t *testing.T) {
	users := Table{Keyspace: "shop", Name: "users"}
	f := func(tag string, truncate, drop bool) {
		t.Helper()
		got, ok := ParseAutoTag(tag, users)
		want := AutoTag{time.UnixMilli(1795255200123).UTC(), truncate, drop}
		if !truncate && !drop {
			want = AutoTag{}
		}
		if ok != (truncate || drop) || got != want {
			t.Errorf("%q: %+v, %v", tag, got, ok)
		}
	}
	f("1795255200123-users", true, true)            // 2.1 to 3.9
	f("1795255200123-shop", false, true)            // DROP KEYSPACE
	f("truncated-1795255200123-users", true, false) // 3.10 to 5.0
	f("dropped-1795255200123-users", false, true)
	f("dropped-1795255200123-shop", false, true)
	f("1795255200123-truncated-users", true, false) // 6.0
	f("1795255200123-dropped-users", false, true)

	f("1795255200123", false, false) // nodetool snapshot without a tag
	f("1795255200123-orders", false, false)
	f("1795255200123-compact-users", false, false)
	f("1795255200123-pre-scrub-users", false, false)
	f("1795255200123-upgrade-4.1.10-5.0.8", false, false)
	f("truncated-1795255200123-dropped-users", false, false)
	f("pre-scrub-1795255200123", false, false)
	f("truncated-soon-users", false, false)
	f("sstash-20261122T020000Z", false, false)
}
