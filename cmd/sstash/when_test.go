package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/restore"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	f := func(in, want string) {
		t.Helper()
		got, err := parseTime(in, now)
		if want == "" {
			if err == nil || exitCode(err) != 2 {
				t.Errorf("%q: %v, %v, want wrong usage", in, got, err)
			}
			return
		}
		if err != nil || stamp(got).String() != want {
			t.Errorf("%q: %s, %v, want %s", in, stamp(got), err, want)
		}
	}
	f("2026-11-22T01:02:03Z", "2026-11-22T01:02:03.000000Z")
	f("2026-11-22T01:02:03.123456Z", "2026-11-22T01:02:03.123456Z")
	f("2026-11-22T01:02:03+02:00", "2026-11-21T23:02:03.000000Z")
	f("2026-11-22T01:02:03", "2026-11-22T01:02:03.000000Z")
	f("2026-11-22 14:03", "2026-11-22T14:03:00.000000Z")
	f("2026-11-22 14:03:59.5", "2026-11-22T14:03:59.500000Z")
	f("2026-11-22", "2026-11-22T00:00:00.000000Z")
	f("02:59", "2026-11-22T02:59:00.000000Z")
	f("14:03", "2026-11-21T14:03:00.000000Z") // not in the future
	f("02:59:30", "2026-11-22T02:59:30.000000Z")
	f("10m ago", "2026-11-22T02:50:00.000000Z")
	f("1h30m ago", "2026-11-22T01:30:00.000000Z")
	f("2d ago", "2026-11-20T03:00:00.000000Z")
	f("1w ago", "2026-11-15T03:00:00.000000Z")
	f("latest", "-")
	f("", "-")

	f("yesterday", "")
	f("25:00", "")
	f("-5m ago", "")
	f("d ago", "")
	f("5 ago", "")
	f("2026-13-01", "")
}

func TestStamp(t *testing.T) {
	f := func(at time.Time, want string) {
		t.Helper()
		got, err := json.Marshal(stamp(at))
		if err != nil || string(got) != want {
			t.Errorf("%v: %s, %v, want %s", at, got, err, want)
		}
	}
	f(time.Time{}, "null")
	f(time.Date(2026, 11, 22, 1, 2, 3, 0, time.FixedZone("", 3600)), `"2026-11-22T00:02:03.000000Z"`)
	f(time.Date(2026, 11, 22, 1, 2, 3, 123456999, time.UTC), `"2026-11-22T01:02:03.123456Z"`) // never claims more
}

func TestRoughly(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := roughly(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	f(0, "0s")
	f(90*time.Second, "1m30s")
	f(3*time.Hour+10*time.Minute+4*time.Second, "3h10m")
	f(50*time.Hour, "2d2h")
	f(-time.Minute, "-1m0s")
}

// The time that a point is named with chooses it again: rounded down, it would choose the one before.
func TestPointsAreNamedByATimeThatFindsThem(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 21, 16, 279_588_001, time.UTC)
	for _, ns := range []time.Duration{0, 1, 998, 999} {
		point := restore.Point{Seq: 11, Time: at.Add(ns - 1)}
		named, err := parseTime(newPointRef(point).Time.String(), at)
		if late := named.Sub(point.Time); err != nil || late < 0 || late >= time.Microsecond {
			t.Errorf("%s is named %s, %v", point.Time.Format(time.RFC3339Nano), named.Format(time.RFC3339Nano), err)
		}
	}
}
