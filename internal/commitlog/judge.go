package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// judge says why a look's segments don't go on from those before without a hole; empty when they do.
func (t *tailing) judge(all []*segment, l look) (why string, err error) {
	if back := setBack(t.last, l.at); back > 0 {
		why = fmt.Sprintf("the node's clock was set back by %s", back.Round(time.Millisecond))
	}
	before := t.seen
	for _, s := range all {
		switch {
		case s.ID <= before:
		case s.ID == t.seen+1:
			t.seen = s.ID
		case t.blind != "":
			why, t.seen = fmt.Sprintf("segments may have come and gone unseen before %s (%s)", s.Name, t.blind), s.ID
			t.forget()
		default: // none was missed, so the node has been restarted
			lost, err := t.unsynced(all, s.ID)
			if err != nil {
				return "", err
			}
			if t.seen = s.ID; lost != "" {
				why = lost
			}
			t.forget()
		}
		if s.lost && !s.told && !s.finished(all) {
			why = fmt.Sprintf("%s was recycled before it was read", s.Name)
		}
		if s.lost && !s.told && s.chain.End > s.sent {
			t.unclaim()
		}
		s.told = s.lost
	}
	if len(t.missed) > 0 {
		why = fmt.Sprintf("lost before they were stored: %s", strings.Join(t.missed, ", "))
	}
	return why, nil
}

// unsynced says what a run of the node that has ended before segment id may have acknowledged and
// not synced: nobody has it any more.
func (t *tailing) unsynced(all []*segment, id int64) (why string, err error) {
	if t.mode.Waits {
		return "", nil
	}
	for _, s := range all {
		if s.ID >= id || s.spool {
			continue
		}
		quiet := false
		if t.mapped(s) && !s.lost {
			if quiet, err = s.quiet(); err != nil {
				return "", err
			}
		}
		if !quiet {
			return fmt.Sprintf("the node was restarted: what it had not synced to %s is lost", s.Name), nil
		}
	}
	return "", nil
}

// finished tells whether nothing will be added to s: passes of the sync thread, which goes from older
// segments to newer ones, have written to a newer one and not to s. What would have to happen else is
// that a thread of the database sleeps before its write to s for so long.
func (s *segment) finished(all []*segment) bool {
	return slices.ContainsFunc(all, func(newer *segment) bool {
		return newer.ID > s.ID && newer.progress-s.others[newer.ID] >= passes
	})
}

// begin goes on with the stored log where that can be done without a hole; else it says why not, and
// leaves out the segments that were full before.
func (t *tailing) begin(all []*segment, l look) (why string, err error) {
	for _, s := range all {
		t.seen = max(t.seen, s.ID)
	}
	if why, err = t.resume(all, l); err != nil || why == "" {
		return why, err
	}
	used := 0
	for i, s := range all {
		if s.chain.Markers > 0 {
			used = i
		}
	}
	// A thread that had chosen the segment before the switch may yet write to it.
	for i, s := range all {
		s.stale = i < used-1 && !s.spool
	}
	return why, nil
}

// resume verifies that what the last piece says is going on is here, has the bytes that are stored,
// and that no segment behind it is missing.
func (t *tailing) resume(all []*segment, l look) (why string, err error) {
	last := t.end
	if last == nil {
		return cmp.Or(t.broken, "the log begins here"), nil
	}
	if len(last.Going) == 0 {
		return "the log had ended", nil
	}
	if now := l.at.wall; now.Before(last.Until) || now.Before(last.Read) {
		return "the node's clock was set back", nil
	}
	highest := int64(0)
	for _, g := range last.Going {
		i := slices.IndexFunc(all, func(s *segment) bool { return s.String() == g.Segment })
		if i < 0 {
			return fmt.Sprintf("%s was deleted while nobody looked", g.Segment), nil
		}
		highest = max(highest, all[i].ID)
		switch same, err := all[i].holds(g); {
		case err != nil:
			return "", err
		case !same:
			return fmt.Sprintf("%s is not what is stored", g.Segment), nil
		}
	}
	for _, s := range all {
		if s.ID > highest+1 {
			return fmt.Sprintf("the segments before %s came and went while nobody looked", s.Name), nil
		}
		highest = max(highest, s.ID)
	}
	for _, s := range all {
		g := slices.IndexFunc(last.Going, func(g Going) bool { return g.Segment == s.String() })
		if g >= 0 {
			s.sent, s.first = last.Going[g].To, last.Going[g].First
		}
		s.stale = g < 0 && s.ID < highestOf(last.Going) && !s.spool
	}
	t.proven = going{first: last.First, since: last.Since, until: last.Until, stored: last.Until}
	t.stretches = []going{t.proven}
	return "", nil
}

func highestOf(all []Going) (id int64) {
	for _, g := range all {
		if n, ok := ParseName(g.Segment); ok {
			id = max(id, n.ID)
		}
	}
	return id
}

// holds tells whether the segment begins with the bytes that are stored of it, and hashes them.
func (s *segment) holds(g Going) (bool, error) {
	if s.chain.End < g.To && g.To > 0 {
		return false, nil
	}
	s.sum.Reset()
	if _, err := io.Copy(s.sum, io.NewSectionReader(s.file, 0, g.To)); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read %s: %w", s.Name, err)
	}
	return g.To == 0 || s.sum.Sum() == g.Sum, nil
}

// going is what a piece says of a segment that later ones may go on with.
func (s *segment) going(all []*segment) (Going, bool) {
	if s.stale || s.lost || s.news() == 0 && (s.ended || s.finished(all)) {
		return Going{}, false
	}
	g := Going{Segment: s.String(), To: s.sent, First: s.first}
	if s.sent > 0 {
		g.Sum = s.sum.Sum()
	}
	return g, true
}
