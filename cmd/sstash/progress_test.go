package main

import (
	"bytes"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	f := func(terminal, quiet bool, want string) {
		t.Helper()
		var out bytes.Buffer
		a := &app{stderr: &out, terminal: terminal, quiet: quiet, now: func() time.Time { return now }}
		p := a.progress()
		p.show("too soon")
		for i := range 3 {
			now = now.Add(p.every)
			p.show("step %d", i)
			p.show("too soon")
		}
		p.end()
		p.end()
		if got := out.String(); got != want {
			t.Errorf("terminal %v, quiet %v: %q, want %q", terminal, quiet, got, want)
		}
	}
	f(false, false, "step 0\nstep 1\nstep 2\n")
	f(true, false, "\r\x1b[Kstep 0\r\x1b[Kstep 1\r\x1b[Kstep 2\r\x1b[K")
	f(false, true, "")
	f(true, true, "")
}
