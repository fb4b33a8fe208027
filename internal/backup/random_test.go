package backup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/buckettest"
)

// A random life, and what it has done so far.
type randomLife struct {
	*world
	r     *rand.Rand
	said  []string
	taken map[string]bool // tags of other people's snapshots
	hand  int             // snapshots taken by hand
	asked bool            // the database answers
}

// lives is how many random lives there are; SSTASH_LIVES in the environment makes it more.
func lives(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SSTASH_LIVES"))
	if err != nil && os.Getenv("SSTASH_LIVES") != "" {
		t.Fatal(err)
	}
	return max(n, 24)
}

// Everything that can happen happens in random order: to the database, to the process, to the clock
// and on the way to the bucket. Whenever there is nothing left to do, everything acknowledged can be
// restored; at the end all else is checked, too. A life that failed is lived again by its number:
// go test -run TestRandomLives/17.
func TestRandomLives(t *testing.T) {
	for seed := range lives(t) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, newMemory(), newDatabase(t, inMemory(t), newClock(), nil, uint64(seed)))
			l := &randomLife{world: w, r: rand.New(rand.NewPCG(uint64(seed), 1)), taken: map[string]bool{}}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("life %d: %s", seed, strings.Join(l.said, ", "))
				}
			})
			w.cached = l.r.IntN(2) == 0
			if l.r.IntN(2) == 0 {
				w.wait = 0
			}
			l.asked = true
			w.tables = func(ctx context.Context) (Existing, error) {
				if !l.asked {
					return Existing{}, errors.New("not now")
				}
				return w.db.schema(ctx)
			}
			for range l.r.IntN(4) {
				l.database()
			}
			l.open()
			if l.r.IntN(2) == 0 {
				l.full()
			}
			for range 60 {
				l.step()
			}
			l.arm(0)
			l.tool.goWrong(0, none)
			l.full()
			l.settle()
			l.check()
		})
	}
}

func (l *randomLife) say(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *randomLife) step() {
	switch l.r.IntN(10) {
	case 0, 1, 2, 3:
		l.database()
	case 4:
		l.process()
	case 5:
		l.trouble()
	case 6:
		l.say("full")
		l.full()
	case 7:
		l.say("settle")
		l.settle()
	default:
		l.say("pass")
		l.pass()
		l.clock.advance(time.Duration(l.r.IntN(3)) * time.Second)
	}
}

// database is something that the database does, or its operator.
func (l *randomLife) database() {
	n := l.r.IntN(len(l.db.tables))
	tag := string(rune('a' + l.r.IntN(3)))
	switch what := l.r.IntN(16); {
	case what < 6:
		l.say("flush %d", n)
		l.db.flush(n)
	case what < 8:
		l.say("compact %d", n)
		l.db.compact(n)
	case what == 8:
		l.say("truncate %d", n)
		l.db.truncate(n)
	case what == 9:
		l.say("repair %d", n)
		l.db.repair(n)
	case what == 10 && len(l.db.tables) < 5:
		l.say("create")
		l.db.create(fmt.Sprintf("more%d", len(l.db.tables)), "")
	case what == 11 && l.taken[tag]:
		l.say("clear %s of %d", tag, n)
		l.db.clear(tag, n)
	case l.taken[tag]:
		l.say("clear %s", tag)
		l.db.clear(tag)
		l.taken[tag] = false
	case what == 12:
		l.say("snapshot %s of %d", tag, n)
		l.db.snapshot(tag, n)
		l.taken[tag] = true
	default:
		l.say("snapshot %s", tag)
		l.db.snapshot(tag)
		l.taken[tag] = true
	}
}

// process is something that happens to sstash.
func (l *randomLife) process() {
	switch l.r.IntN(8) {
	case 0:
		l.say("restart")
		l.restart()
	case 1:
		l.say("lose state")
		l.stop()
		l.db.must(os.RemoveAll(l.state))
		l.open()
	case 2:
		l.prune = !l.prune
		l.say("prune %v", l.prune)
	case 3:
		l.parts = time.Duration(l.r.IntN(3)) * 2 * time.Microsecond
		l.say("parts %s", l.parts)
	case 4:
		l.byHand()
	case 5:
		links := l.db.links()
		if len(links) == 0 {
			return
		}
		path := links[l.r.IntN(len(links))]
		l.say("without %s", path)
		defer func(prune bool) { l.prune = prune }(l.prune)
		l.prune = false // a set that is whole again after half of it was pruned is none
		l.without(path)
	case 6:
		n := l.r.IntN(len(l.db.tables))
		l.say("blind for %d", n)
		l.blind(n)
	case 7:
		l.asked = l.r.IntN(2) == 0
		l.say("the database answers %v", l.asked)
	}
}

// byHand is `sstash snapshot` in another process, with a pass while it is at work.
func (l *randomLife) byHand() {
	if l.hand == 0 || l.r.IntN(3) > 0 { // else under a tag that was used before
		l.hand++
	}
	tag := fmt.Sprintf("%shand-%d", TagPrefix, l.hand)
	l.db.clear(tag)
	began := l.clock.Now()
	notes := l.node.Snapshots
	l.db.must(notes.write(note{Tag: tag, Began: began, All: true}))
	half := l.r.IntN(2) == 0
	l.say("snapshot %s by hand, a pass meanwhile: %v", tag, half)
	rest := make([]int, 0, len(l.db.tables))
	for n := range l.db.tables {
		if n > 0 || !half {
			rest = append(rest, n)
		}
	}
	if half {
		l.db.snapshot(tag, 0)
		l.pass()
		l.db.flush(l.r.IntN(len(l.db.tables)))
	}
	l.db.snapshot(tag, rest...)
	l.db.must(notes.write(note{Tag: tag, Began: began, Ended: l.clock.Now(), All: true}))
	state := l.node.Uploader.History.State()
	if n := l.r.IntN(len(l.db.tables)); l.r.IntN(3) == 0 && state.Whole().Tag != "" && slices.Contains(state.Tables(), l.db.tables[n].Table) {
		l.say("clear %s of %d", tag, n)
		l.db.clear(tag, n)
	}
}

// trouble is something that goes wrong once, or a clock that is set.
func (l *randomLife) trouble() {
	switch l.r.IntN(3) {
	case 0:
		by := time.Duration(l.r.IntN(49)-24) * time.Hour
		l.say("clock %s", by)
		l.clock.set(by)
	case 1:
		l.kind = buckettest.Kinds()[l.r.IntN(4)]
		at := 1 + l.r.IntN(8)
		l.say("%v at %d", l.kind, at)
		l.arm(at)
		l.forget = l.r.IntN(3) == 0
	case 2:
		how := []trouble{before, half, after}[l.r.IntN(3)]
		l.say("nodetool trouble %d", how)
		l.tool.goWrong(1, how)
	}
}
