package commitlog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpool(t *testing.T) {
	w := newWorld(t)
	spool := t.TempDir()
	w.restart(spool)
	one := w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	copied := func(m *made) {
		if err := os.WriteFile(filepath.Join(spool, m.Name.String()), m.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int { return len(files(t, spool)) }
	copied(one)
	w.look(10)
	if left() != 1 {
		t.Error("a segment that the database still has was taken from the spool")
	}
	one.remove(t)
	two := makeSegment(7, 1001, "").write(t, "missed").sync(t)
	copied(two)
	w.holder.open(two.Name.String()) // it was there
	three := w.segment(1002, "").write(t, "third").sync(t)
	w.look(10)
	w.until(20, "")
	if left() != 0 {
		t.Errorf("left %d files", left())
	}
	w.holds(1, 20, one, two, three)

	// While nobody looks, the spool bridges.
	three.write(t, "more").sync(t)
	copied(three)
	three.remove(t)
	four := w.segment(1003, "").write(t, "fourth").sync(t)
	w.restart(spool)
	w.look(10)
	w.until(20, "")
	w.look(10)
	w.until(40, "")
	if left() != 0 {
		t.Errorf("left %d files", left())
	}
	w.holds(1, 40, one, two, three, four)
}

// What is not as it is stored stays.
func TestSpoolKeepsAnotherContent(t *testing.T) {
	w := newWorld(t)
	spool := t.TempDir()
	w.restart(spool)
	one := w.segment(1000, "").write(t, "first").sync(t)
	w.look(0)
	other := makeSegment(7, 1000, "").write(t, "other").sync(t)
	path := filepath.Join(spool, other.Name.String())
	if err := os.WriteFile(path, other.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	one.remove(t)
	w.look(10)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("it was unlinked before it was stored: %v", err)
	}
	w.look(10)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was not taken: %v", err)
	}
}

func TestRecycledSegment(t *testing.T) {
	w := newWorld(t)
	one := makeSegment(4, 1000, "").place(t, w.dir).write(t, "first").sync(t)
	w.look(0)
	two := makeSegment(4, 1001, "")
	two.file = one.file
	two.write(t, "second").sync(t)
	if err := os.Rename(one.file.Name(), filepath.Join(w.dir, two.Name.String())); err != nil {
		t.Fatal(err)
	}
	w.look(10)
	if !strings.Contains(w.last.Gap, "recycled") {
		t.Errorf("gap %q", w.last.Gap)
	}
	if w.look(10); w.last.Gap != "" {
		t.Errorf("once more: %q", w.last.Gap)
	}
}
