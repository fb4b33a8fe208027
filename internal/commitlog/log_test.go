package commitlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustRead(t testing.TB, b bucket.Bucket) *Log {
	t.Helper()
	l, err := Read(t.Context(), b, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// covers checks Covers for [from, to) in seconds; hole is what the error must mention, empty for none.
func covers(t testing.TB, l *Log, from, to int, hole string) {
	t.Helper()
	err := l.Covers(at(from), at(to))
	switch {
	case hole == "" && err != nil:
		t.Errorf("%d to %d: %v", from, to, err)
	case hole != "" && (!errors.Is(err, ErrHole) || !strings.Contains(err.Error(), hole)):
		t.Errorf("%d to %d: %v, want a hole %q", from, to, err, hole)
	}
}

func TestEmptyLog(t *testing.T) {
	l := mustRead(t, new(buckettest.Memory))
	if !l.Until().IsZero() || len(l.Stretches) > 0 {
		t.Errorf("%+v", l)
	}
	covers(t, l, 1, 2, "from 2026-11-22T14:00:01.000000Z to 2026-11-22T14:00:02.000000Z: nothing is stored")
}

// story is a log of two segments: looks every 10 s from 10 on, each with one record in one piece; the
// second segment begins with piece 4.
func story(t testing.TB, b bucket.Bucket, open uint64) (*Writer, [2]*made) {
	t.Helper()
	w := newWriter(t, b, open)
	segments := [2]*made{makeSegment(7, 1000, ""), makeSegment(7, 1001, "")}
	sent, first, begun := [2]int{}, [2]uint64{}, uint64(0)
	for n := range 6 {
		s := n / 3
		segments[s].write(t, fmt.Sprint("record ", n)).sync(t)
		m := segments[s]
		p := Piece{
			Looked: at(10 * (n + 1)), Read: at(10*(n+1) + 1), First: begun, Since: at(5), Until: at(10 * n),
			Parts: []Part{{Segment: m.Name.String(), From: int64(sent[s]), To: int64(m.marker), Size: segmentLen, First: first[s]}},
			Going: []Going{{Segment: m.Name.String(), To: int64(m.marker), First: first[s]}},
		}
		if n == 0 {
			p.Why, p.Until = "it began", time.Time{}
		}
		stored := mustPut(t, w, p, m.bytes[sent[s]:m.marker])
		begun, first[s], sent[s] = stored.First, stored.Parts[0].First, m.marker
	}
	return w, segments
}

func TestCovers(t *testing.T) {
	b := new(buckettest.Memory)
	story(t, b, 1)
	l := mustRead(t, b)
	if !l.Until().Equal(at(50)) || len(l.Stretches) != 1 || l.Stretches[0].Why != "it began" {
		t.Errorf("until %s, %+v", l.Until(), l.Stretches)
	}
	covers(t, l, 5, 50, "")
	covers(t, l, 30, 31, "")
	covers(t, l, 4, 50, "from 2026-11-22T14:00:04.000000Z to 2026-11-22T14:00:05.000000Z: it began")
	covers(t, l, 5, 51, "from 2026-11-22T14:00:50.000000Z to 2026-11-22T14:00:51.000000Z: nothing later")
	covers(t, l, 52, 53, "nothing later")
}

// fetch returns the files that Fetch made, by name.
func fetch(t testing.TB, l *Log, from, to time.Time) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := l.Fetch(t.Context(), from, to, dir); err != nil {
		t.Fatal(err)
	}
	return files(t, dir)
}

func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, e := range entries {
		if got[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestFetch(t *testing.T) {
	b := new(buckettest.Memory)
	_, segments := story(t, b, 1)
	l := mustRead(t, b)
	one, two := segments[0].Name.String(), segments[1].Name.String()

	got := fetch(t, l, at(5), at(50))
	if len(got) != 2 || !bytes.Equal(got[one], segments[0].bytes) || !bytes.Equal(got[two], segments[1].bytes) {
		t.Errorf("all of it is not what there was: %d files", len(got))
	}
	// The first record of the second segment is in piece 4, which was read at 41; the one after it not.
	got = fetch(t, l, at(5), at(30))
	if len(got) != 2 || !bytes.Contains(got[two], []byte("record 3")) || bytes.Contains(got[two], []byte("record 4")) || len(got[two]) != segmentLen {
		t.Errorf("a part: %d files, %q", len(got), bytes.Trim(got[two], "\x00"))
	}
	late := at(50)
	for i := range l.headers {
		delete(l.headers, i)
	}
	for i := range l.pieces { // as if looks were minutes apart
		p, err := l.header(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		p.Read = late.Add(time.Duration(i-5) * 2 * slack)
		l.headers[i] = p
	}
	if got = fetch(t, l, at(45), late); len(got) != 1 || !bytes.Equal(got[two], segments[1].bytes) {
		t.Errorf("the end: %d files", len(got))
	}
	if n, err := l.Size(t.Context(), at(45), late); err != nil || n != l.pieces[3].size+l.pieces[4].size+l.pieces[5].size {
		t.Errorf("the end takes %d bytes, %v", n, err)
	}
	before, err := l.header(t.Context(), 2)
	if begins, err2 := l.Begins(t.Context(), at(45), late); err != nil || err2 != nil || begins.IsZero() || !begins.Equal(before.Until) {
		t.Errorf("the end begins at %s, %v, %v; want %s", begins, err, err2, before.Until)
	}
	if err := l.Fetch(t.Context(), at(5), at(51), t.TempDir()); !errors.Is(err, ErrHole) {
		t.Errorf("beyond the end: %v", err)
	}
}

// Whatever one piece suffers, nothing wrong is given out: what it takes is refused, the rest stays.
func TestDamage(t *testing.T) {
	whole := new(buckettest.Memory)
	story(t, whole, 1)
	for n := uint64(1); n <= 6; n++ {
		name := objectName(prefix, n)
		object, err := whole.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		for what, replacement := range map[string][]byte{"missing": nil, "cut short": object[:len(object)/2], "flipped": flipped(object), "empty": {}} {
			b := whole.Clone()
			if err := b.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if replacement != nil {
				if err := b.Put(t.Context(), name, replacement); err != nil {
					t.Fatal(err)
				}
			}
			l := mustRead(t, b)
			dir := t.TempDir()
			err := l.Fetch(t.Context(), at(5), at(50), dir)
			if !errors.Is(err, ErrHole) && !errors.Is(err, ErrDamaged) {
				t.Errorf("piece %d %s: fetched all: %v", n, what, err)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("piece %d %s: left %d files", n, what, len(left))
			}
			// The second segment is whole without what is before it, and the first without what follows.
			if n < 4 && what == "missing" {
				if got := fetch(t, l, at(42), at(50)); len(got) == 0 {
					t.Errorf("piece %d %s: nothing of the second segment", n, what)
				}
			}
			if n > 4 && what == "missing" {
				if got := fetch(t, l, at(5), at(10*int(n-2))); len(got) == 0 {
					t.Errorf("piece %d %s: nothing of what is before", n, what)
				}
			}
		}
	}
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// The times between are ambiguous, and in no stretch.
func TestClockSetBack(t *testing.T) {
	b := new(buckettest.Memory)
	w := newWriter(t, b, 1)
	mustPut(t, w, Piece{Read: at(50), Since: at(0), Until: at(50)}, nil)
	mustPut(t, w, Piece{Read: at(40), Since: at(20), Until: at(40), Why: "the clock was set back"}, nil)
	mustPut(t, w, Piece{Read: at(59), Since: at(41), Until: at(59), Why: "again"}, nil)
	l := mustRead(t, b)
	covers(t, l, 0, 20, "")
	covers(t, l, 0, 21, "from 2026-11-22T14:00:20")
	covers(t, l, 30, 35, "from 2026-11-22T14:00:30")
	covers(t, l, 45, 48, "from 2026-11-22T14:00:45")
	covers(t, l, 50, 59, "")
}

func TestHoleBetweenStretches(t *testing.T) {
	b := new(buckettest.Memory)
	w := newWriter(t, b, 1)
	mustPut(t, w, Piece{Read: at(10), Since: at(0), Until: at(10)}, nil)
	mustPut(t, w, Piece{Read: at(30), Since: at(20), Until: at(30), Why: "a segment was missed"}, nil)
	mustPut(t, w, Piece{Read: at(50), Since: at(40), Until: at(50), Why: "another one"}, nil)
	l := mustRead(t, b)
	covers(t, l, 0, 10, "")
	covers(t, l, 20, 30, "")
	covers(t, l, 5, 25, "from 2026-11-22T14:00:10.000000Z to 2026-11-22T14:00:20.000000Z: a segment was missed")
	covers(t, l, 12, 13, "from 2026-11-22T14:00:12.000000Z to 2026-11-22T14:00:13.000000Z")
	covers(t, l, 12, 45, "from 2026-11-22T14:00:12.000000Z to 2026-11-22T14:00:20.000000Z: a segment was missed")
	covers(t, l, 25, 45, "to 2026-11-22T14:00:40.000000Z: another one")
	if got := l.Reach(at(22), at(25)); !got.Equal(at(30)) {
		t.Errorf("what covers 22 to 25 goes on to %s", got)
	}
	if got := l.Reach(at(12), at(25)); !got.IsZero() {
		t.Errorf("over a hole it goes on to %s", got)
	}
}
