package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
)

// world is a node's commit log, a bucket and a tail that looks when it is told to.
type world struct {
	t      *testing.T
	dir    string
	bucket bucket.Bucket
	mode   Mode
	clock  moment
	opens  uint64
	last   Report
	*tailing
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, dir: t.TempDir(), bucket: new(buckettest.Memory), mode: Mode{Mapped: true},
		clock: moment{wall: at(0)},
	}
	w.restart("")
	return w
}

// restart ends the tail, as if it were killed, and begins another one.
func (w *world) restart(spool string) {
	if w.tailing != nil {
		w.holder.close()
	}
	w.opens++
	w.tailing = newTailing(&Tail{
		Dir: w.dir, Spool: spool, Every: 10 * time.Second, Bucket: w.bucket, Prefix: prefix,
		Identity: Identity{"prod", "1c380315", w.opens, fmt.Sprint("writer ", w.opens)},
		Ask:      func(context.Context) (Mode, error) { return w.mode, nil },
		Report:   func(r Report) { w.last = r },
	})
	w.now = func() moment { return w.clock }
	w.holder.deaf = "" // every file that comes is opened, or said to be missed
	w.t.Cleanup(w.holder.close)
}

// look lets time pass, and the tail look.
func (w *world) look(seconds int) Report {
	w.t.Helper()
	w.clock.wall = w.clock.wall.Add(time.Duration(seconds) * time.Second)
	w.clock.run += time.Duration(seconds) * time.Second
	if err := w.turn(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return w.last
}

func (w *world) segment(id int64, parameters string) *made {
	return makeSegment(7, id, parameters).place(w.t, w.dir)
}

// until checks what the newest look says, and that the bucket alone says no more.
func (w *world) until(seconds int, gap string) {
	w.t.Helper()
	want := time.Time{}
	if seconds > 0 {
		want = at(seconds).Add(-tolerance)
	}
	if !w.last.Until.Equal(want) {
		w.t.Errorf("until %s, want %s", w.last.Until, want)
	}
	if w.last.Gap != gap && (gap == "" || !strings.Contains(w.last.Gap, gap)) {
		w.t.Errorf("gap %q, want %q", w.last.Gap, gap)
	}
	if u := mustRead(w.t, w.bucket).Until(); u.After(want) {
		w.t.Errorf("the bucket says until %s", u)
	}
}

// holds checks that everything that was proven can be fetched, and is what it was.
func (w *world) holds(from, to int, segments ...*made) {
	w.t.Helper()
	w.say()
	got := fetch(w.t, mustRead(w.t, w.bucket), at(from), at(to).Add(-tolerance))
	if len(got) != len(segments) {
		w.t.Errorf("%d segments, want %d", len(got), len(segments))
	}
	for _, m := range segments {
		want := m.bytes[:m.marker]
		if g := got[m.Name.String()]; !bytes.HasPrefix(g, want) || len(bytes.Trim(g[len(want):], "\x00")) > 0 {
			w.t.Errorf("%s is not what it was: %q", m.Name, bytes.Trim(g, "\x00"))
		}
	}
}

// say puts what is proven also where nothing is new, as a tail does when it ends.
func (w *world) say() {
	w.t.Helper()
	w.ending = true
	w.look(0)
	w.ending = false
}

func TestTail(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "")
	w.segment(1001, "") // the spare
	w.look(0)
	w.until(0, "begins here")
	w.look(10)
	w.until(10, "") // nothing was written: all of it is proven
	one.write(t, "first").sync(t)
	if r := w.look(10); r.Pieces != 1 || r.Raw != int64(one.marker) {
		t.Errorf("put %+v", r)
	}
	w.until(20, "")
	w.holds(1, 20, one)
	if r := w.look(10); r.Pieces != 0 {
		t.Errorf("nothing new, and put %+v", r)
	}
	w.until(30, "")
	one.write(t, "second") // acknowledged at 30, synced later
	w.look(10)
	w.until(30, "")
	one.sync(t)
	w.look(10)
	w.until(50, "")
	w.holds(1, 50, one)
}

// Under load there is always something that is not synced: the passes of the sync thread prove.
func TestTailUnderLoad(t *testing.T) {
	for name, parameters := range map[string]string{"mapped": "", "compressed": lz4} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one := w.segment(1000, parameters).write(t, "a").sync(t)
			w.segment(1001, parameters)
			busy := func(passes int) {
				for range passes {
					one.write(t, "synced").sync(t)
				}
				one.write(t, "not synced")
			}
			busy(1)
			w.look(0)
			w.until(0, "begins here")
			busy(10)
			w.look(10)
			w.until(0, "") // the look at 0 is proven less the tolerance: before the log begins
			busy(passes - 1)
			w.look(10)
			w.until(0, "")
			busy(1)
			w.look(10)
			w.until(10, "")
			busy(passes)
			w.look(10)
			w.until(30, "")
			w.holds(1, 30, one)
		})
	}
}

// Where what is written becomes visible in bulk, each look counts once.
func TestTailOfDirectIO(t *testing.T) {
	w := newWorld(t)
	w.mode = Mode{}
	one := w.segment(1000, "")
	w.look(10)
	for range passes - 1 {
		one.write(t, "a").sync(t).write(t, "b").sync(t).write(t, "c").sync(t).write(t, "d").sync(t)
		w.look(10)
		w.until(0, w.last.Gap)
	}
	w.look(10)
	w.until(0, "")
	one.write(t, "a").sync(t)
	w.look(10)
	w.until(0, "") // the look at 10, less the tolerance: before the log begins
	one.write(t, "a").sync(t)
	w.look(10)
	w.until(20, "")
}

// What is acknowledged is synced: there is nothing to wait for.
func TestTailOfBatchMode(t *testing.T) {
	w := newWorld(t)
	w.mode = Mode{Waits: true}
	one := w.segment(1000, lz4)
	w.look(0) // the database says how it syncs after this look
	one.write(t, "a").sync(t)
	w.look(10)
	w.until(10, "")
	one.write(t, "b")
	w.look(10)
	w.until(20, "")
	w.holds(1, 20, one)
}

func TestTailSwitchesSegments(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	two := w.segment(1001, "")
	w.look(0)
	one.write(t, "last").sync(t)
	two.write(t, "in the second").sync(t)
	three := w.segment(1002, "")
	if r := w.look(10); r.Pieces != 1 {
		t.Errorf("two segments' news took %d pieces", r.Pieces)
	}
	// A segment that is deleted is read to its end.
	two.write(t, "and its end").sync(t)
	three.write(t, "third").sync(t)
	one.remove(t)
	two.remove(t)
	if r := w.look(10); r.Pinned != 0 || r.Waiting != 0 {
		t.Errorf("still holds %+v", r)
	}
	w.until(20, "")
	w.holds(1, 20, one, two, three)
}

// A segment that came, was filled and deleted between two looks was open meanwhile.
func TestTailHoldsWhatIsDeletedBetweenLooks(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	two := w.segment(1001, "")
	w.holder.open(two.Name.String()) // as an event makes it
	two.write(t, "all of it").sync(t)
	two.remove(t)
	three := w.segment(1002, "").write(t, "third").sync(t)
	w.look(10)
	w.until(10, "")
	w.holds(1, 10, one, two, three)
}

func TestI10_TailMissesASegment(t *testing.T) {
	for name, missed := range map[string]func(*world, *made){
		"an event came too late": func(w *world, m *made) { w.holder.open(m.Name.String()) },
		"events were lost":       func(w *world, _ *made) { w.holder.lose() },
		"no events":              func(w *world, _ *made) { w.holder.deaf = "no events" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.segment(1000, "").write(t, "first").sync(t)
			w.look(0)
			w.look(10)
			w.until(10, "")
			two := w.segment(1001, "").write(t, "never seen").sync(t)
			two.remove(t)
			missed(w, two)
			three := w.segment(1002, "").write(t, "third").sync(t)
			w.look(10)
			if w.last.Gap == "" {
				t.Error("no gap")
			}
			w.look(10)
			w.until(30, "")
			w.say()
			l := mustRead(t, w.bucket)
			covers(t, l, 5, 25, "to 2026-11-22T14:00:20.000000Z: ")
			w.holds(21, 30, three)
		})
	}
}

// down is a bucket that can't be written.
type down struct{ bucket.Bucket }

func (down) Put(context.Context, string, []byte) error { return bucket.ErrUnreachable }

// The database needs the room more than we need the segment.
func TestI10_TailLetsGoWhenTheDiskIsFull(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	two := w.segment(1001, "")
	w.look(0)
	w.look(10)
	w.writer.bucket = down{w.bucket}
	fails := func() {
		t.Helper()
		w.clock.wall, w.clock.run = w.clock.wall.Add(10*time.Second), w.clock.run+10*time.Second
		if err := w.turn(t.Context()); !errors.Is(err, bucket.ErrUnreachable) {
			t.Fatal(err)
		}
	}
	one.write(t, "second").sync(t)
	fails()
	one.write(t, "third").sync(t)
	one.remove(t)
	two.write(t, "fourth").sync(t)
	if fails(); w.last.Pinned == 0 || w.last.Waiting == 0 {
		t.Errorf("holds %+v", w.last)
	}
	w.crowded = func(string) bool { return true }
	fails()
	if fails(); w.last.Pinned > 0 {
		t.Errorf("still holds %+v", w.last)
	}
	w.writer.bucket = w.bucket
	w.look(10)
	w.look(10)
	w.until(70, "")
	l := mustRead(t, w.bucket)
	covers(t, l, 5, 19, "") // what was on its way is stored
	covers(t, l, 5, 25, "from 2026-11-22T14:00:19.990000Z")
	covers(t, l, 5, 65, "lost before they were stored: CommitLog-7-1000.log")
}

func TestI10_TailSeesARestart(t *testing.T) {
	f := func(name string, clean bool, mode Mode, parameters string, between func(*world, *made), gap string) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mode = mode
			one := w.segment(1000, parameters).write(t, "first").sync(t)
			w.look(0)
			w.look(10)
			one.write(t, "second")
			if clean {
				one.sync(t)
			}
			two := w.segment(5000, parameters)
			one.remove(t)
			two.write(t, "after").sync(t)
			between(w, one)
			w.look(10)
			if gap == "" && w.last.Gap != "" || !strings.Contains(w.last.Gap, gap) {
				t.Errorf("gap %q, want %q", w.last.Gap, gap)
			}
			w.look(10)
			if w.mode.Waits || w.mode.Mapped && parameters == "" {
				w.until(30, "")
			}
		})
	}
	nothing := func(*world, *made) {}
	f("all was synced", true, Mode{Mapped: true}, "", nothing, "")
	f("something was not", false, Mode{Mapped: true}, "", nothing, "the node was restarted")
	f("it waits", true, Mode{Waits: true}, lz4, nothing, "")
	f("nobody can see", true, Mode{}, lz4, nothing, "the node was restarted")
	f("events were lost", true, Mode{Mapped: true}, "", func(w *world, _ *made) { w.holder.lose() }, "may have come and gone")
}

func TestTailGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	two := w.segment(1001, "")
	w.look(0)
	w.look(10)
	w.until(10, "")
	one.write(t, "second").sync(t)
	w.restart("")
	two.write(t, "third").sync(t)
	if r := w.look(10); r.Gap != "" || r.Raw >= int64(one.marker+two.marker) {
		t.Errorf("%+v", r)
	}
	w.look(10)
	w.until(30, "")
	w.holds(1, 30, one, two)
}

func TestI10_TailDoesNotGoOnOverAHole(t *testing.T) {
	f := func(name, gap string, meanwhile func(w *world, one, two *made)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one := w.segment(1000, "").write(t, "first").sync(t)
			two := w.segment(1001, "")
			w.look(0)
			w.look(10)
			w.say()
			meanwhile(w, one, two)
			w.restart("")
			if w.look(10); !strings.Contains(w.last.Gap, gap) || w.last.Gap == "" {
				t.Errorf("gap %q, want %q", w.last.Gap, gap)
			}
			covers(t, mustRead(t, w.bucket), 5, 15, gap)
		})
	}
	f("a segment was deleted", "CommitLog-7-1000.log was deleted", func(w *world, one, _ *made) { one.remove(t) })
	f("one came and went", "came and went", func(w *world, one, two *made) { w.segment(1003, "") })
	f("another run", "came and went", func(w *world, one, two *made) { w.segment(9000, "") })
	f("another machine", "is not what is stored", func(w *world, one, two *made) {
		one.bytes[30] ^= 1
		one.save(t)
	})
	f("less than is stored", "is not what is stored", func(w *world, one, two *made) {
		clear(one.bytes[20:])
		one.save(t)
	})
	f("the clock", "clock was set back", func(w *world, one, two *made) { w.clock.wall = at(-60) })
}

func TestTailSeesTheClockSetBack(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	w.look(30)
	w.until(30, "")
	w.clock.wall = at(5)
	one.write(t, "second").sync(t)
	w.look(10) // it is 15 now
	if !strings.Contains(w.last.Gap, "set back by 25s") {
		t.Errorf("gap %q", w.last.Gap)
	}
	w.look(5)
	l := mustRead(t, w.bucket)
	covers(t, l, 1, 14, "")
	covers(t, l, 1, 16, "set back")
}

// A log in which nothing is new says so now and then, and when it ends.
func TestTailBeats(t *testing.T) {
	w := newWorld(t)
	w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	puts := 0
	for range 120 {
		puts += w.look(10).Pieces
	}
	if puts != 2 {
		t.Errorf("%d pieces in 20 minutes", puts)
	}
	w.ending = true
	if r := w.look(10); r.Pieces != 1 || mustRead(t, w.bucket).Until() != r.Until {
		t.Errorf("at the end %+v", r)
	}
}

func TestTailCutsPieces(t *testing.T) {
	w := newWorld(t)
	one := w.segment(1000, lz4)
	for range 5 {
		one.write(t, strings.Repeat("x", maxPiece/2)).sync(t)
	}
	w.mode = Mode{Waits: true}
	if r := w.look(0); r.Pieces != 3 {
		t.Errorf("%d pieces", r.Pieces)
	}
	w.look(10)
	w.until(10, "")
	w.holds(1, 10, one)
}

// Whatever the bucket does, what is said to be proven is there.
func TestI10_TailSurvivesTheBucket(t *testing.T) {
	for _, kind := range buckettest.Kinds() {
		for n := 1; ; n++ {
			w := newWorld(t)
			memory := w.bucket.(*buckettest.Memory)
			fault := &buckettest.Fault{Bucket: memory, At: n, Kind: kind}
			w.Bucket, w.tailing.mode, w.known = fault, w.mode, true
			one := w.segment(1000, "").write(t, "first").sync(t)
			two := w.segment(1001, "")
			for i := range 6 {
				w.clock.wall, w.clock.run = w.clock.wall.Add(10*time.Second), w.clock.run+10*time.Second
				switch i {
				case 1:
					one.write(t, "second").sync(t)
				case 2:
					two.write(t, "third").sync(t)
				case 3:
					one.remove(t)
				}
				w.ending = true // says at once what is proven
				if err := w.turn(t.Context()); errors.Is(err, buckettest.ErrCrashed) {
					w.restart("")
					w.tailing.mode, w.known = w.mode, true
				}
				if u := w.last.Until; !u.IsZero() {
					if err := mustRead(t, memory).Covers(w.last.Since, u); err != nil {
						t.Errorf("%s at %d, look %d: said until %s: %v", kind, n, i, u, err)
					}
				}
			}
			if fault.Count() < n {
				break
			}
			w.ending = true
			if w.look(10); !mustRead(t, memory).Until().Equal(w.last.Until) || w.last.Until.IsZero() {
				t.Errorf("%s at %d: in the end until %s", kind, n, w.last.Until)
			}
		}
	}
}

// A tail that the bucket has kept waiting for hours holds thousands of segments: what it can say of them
// in one piece has an end, and a tail that goes on from there takes the others for the next.
func TestTailOfThousandsOfSegments(t *testing.T) {
	w := newWorld(t)
	g := &going{why: "the log begins here"}
	f := func(what string, sent int64) {
		t.Helper()
		file := w.segment(1000, "").write(t, "first").sync(t).file
		var all []*segment
		for id := range int64(9_000) {
			all = append(all, &segment{
				Name: Name{7, 1000 + id}, file: file, chain: Chain{End: 100, Markers: 1}, sent: sent, first: uint64(sent), sum: chunker.NewHasher(),
			})
		}
		p, err := w.compose(g, all)
		if err != nil {
			t.Fatal(err)
		}
		numbered := p.piece.numbered(200)
		if _, err := numbered.encode(p.raw); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for i, g := range numbered.Going {
			if g.Segment != all[i].String() {
				t.Fatalf("%s: %s is going, before %s", what, g.Segment, all[i])
			}
		}
	}
	f("stored", 100)
	f("not stored", 0)
}

// What took our number can't be read: no restore gets across it, so a stretch begins behind it that needs
// nothing from before. That its header may be whole makes no difference.
func TestI10_TailGoesOnBehindWhatCantBeRead(t *testing.T) {
	for name, damage := range map[string]func(object []byte){
		"stray":                        func(object []byte) { clear(object) },
		"a piece with another content": func(object []byte) { object[len(object)-1]++ },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one := w.segment(1000, "").write(t, "first").sync(t)
			w.segment(1001, "")
			w.look(0)
			w.look(10)
			w.say()
			before := w.last.Until
			p := Piece{Number: w.writer.next, First: 1, Open: w.opens, Read: at(10)}
			object, err := p.encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			damage(object)
			if err := w.bucket.Put(t.Context(), objectName(prefix, p.Number), object); err != nil {
				t.Fatal(err)
			}
			one.write(t, "second").sync(t)
			w.clock.wall, w.clock.run = w.clock.wall.Add(10*time.Second), w.clock.run+10*time.Second
			if err := w.turn(t.Context()); !errors.Is(err, ErrDamaged) || !w.last.Until.Equal(before) {
				t.Fatalf("%v, until %s; want ErrDamaged, until %s", err, w.last.Until, before)
			}
			w.look(10)
			w.until(10, objectName(prefix, p.Number)) // what was proven before is no less so
			one.write(t, "third").sync(t)
			w.look(10)
			w.until(40, "")
			w.holds(31, 40, one)
		})
	}
}
