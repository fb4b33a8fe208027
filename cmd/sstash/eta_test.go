package main

import (
	"testing"
	"time"
)

func TestETA(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	var e eta
	f := func(after time.Duration, done, todo int64, want time.Duration, known bool) {
		t.Helper()
		now = now.Add(after)
		if got, ok := e.left(now, done, todo); got != want || ok != known {
			t.Errorf("%d done: %s, %v; want %s, %v", done, got, ok, want, known)
		}
	}
	f(0, 1000, 1000, 0, false) // found done
	f(time.Second, 1000, 1000, 0, false)
	f(time.Second, 1020, 980, 0, false)
	f(time.Second, 1030, 970, 97*time.Second, true)
	f(100*time.Millisecond, 1031, 969, 97*time.Second, true)
	f(0, 1031, 0, 0, true)
	for i := range int64(60) { // it goes ten times as fast
		now = now.Add(time.Second)
		e.left(now, 1031+100*i, 0)
	}
	f(0, 1031+100*59, 1000, 10*time.Second, true)
	if len(e.marks) > 35 {
		t.Errorf("%d marks are kept", len(e.marks))
	}
	now = now.Add(2 * etaWindow)
	e.left(now, 6931, 1000)
	f(2*etaWindow, 6931, 1000, 0, false) // it stands still
}
