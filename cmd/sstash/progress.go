package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress says on stderr how far a verb has come: on a terminal a line that changes, in a log a line
// now and then. Safe for concurrent use.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration // between two lines
	now      func() time.Time

	mu    sync.Mutex
	eta   eta
	last  time.Time
	drawn bool // the line on the terminal is ours
}

func (a *app) progress() *progress {
	p := &progress{w: a.stderr, terminal: a.terminal, now: a.now, every: 10 * time.Second, last: a.now()}
	if a.terminal {
		p.every = 200 * time.Millisecond
	}
	if a.quiet {
		p.w = io.Discard
	}
	return p
}

// show shows a line, unless it is too soon after the last one.
func (p *progress) show(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(p.last) < p.every {
		return
	}
	p.last = p.now()
	line := fmt.Sprintf(format, args...)
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprint(p.w, "\r\x1b[K", line)
	p.drawn = true
}

// left says how long todo bytes will take when so many have been done, behind a comma; nothing while
// nobody knows.
func (p *progress) left(done, todo int64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.eta.left(p.now(), done, todo)
	if !ok {
		return ""
	}
	return ", " + roughly(d) + " left"
}

// end takes the line away, for what is printed next.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
