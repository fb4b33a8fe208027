package history

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// counted counts GETs of manifests.
type counted struct {
	bucket.Bucket
	gets chan string
}

func (c counted) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	c.gets <- name
	return c.Bucket.Get(ctx, name, off, n)
}

// long is a history of n increments of one SSTable each, with a part of a full among them.
func long(t *testing.T, n int) *buckettest.Memory {
	t.Helper()
	b := &buckettest.Memory{}
	w := openWriter(t, b, nil)
	table := sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280e58c11f199085b39e1f4c1a0"}
	for i := range n {
		keeps := []manifest.Keep{{Set: pack.NewSetID(), Packs: 1, Bytes: 100, Raw: 1000}}
		row := manifest.Table{Table: table, SSTables: []manifest.SSTable{{
			Stem: fmt.Sprintf("nb-%d-big", i), Components: []manifest.Component{{Name: sstable.Data, Size: 10, Inode: uint64(i)}},
		}}}
		body, kind := manifest.Body{AsOf: time.Now().UTC().Round(0), Pending: []string{fmt.Sprint("tag ", i)}}, manifest.Increment
		if i == n/3 {
			row.Base = &manifest.Base{ID: "part"}
			kind, body.Full = manifest.Full, &manifest.FullPart{Tag: "tag"}
		}
		body.Tables = []manifest.Table{row}
		if _, err := w.Commit(t.Context(), kind, keeps, body); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// A service that is begun again and again, and never comes as far as a scan: a roll of nothing but opens
// says what the last scan saw, for increments that a snapshot under way needs must not seem to come before it.
func TestRollOfOpens(t *testing.T) {
	w := openWriter(t, &buckettest.Memory{}, nil)
	add := func(kind manifest.Kind, times int, body manifest.Body) {
		t.Helper()
		for range times {
			if _, err := w.Commit(t.Context(), kind, nil, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(manifest.Open, 2*rollEvery, manifest.Body{})
	if s := w.State(); !s.Fresh() || len(s.Rolls()) > 0 {
		t.Errorf("a history of nothing but opens has %d rolls", len(s.Rolls()))
	}
	asOf := time.Now().UTC().Round(0)
	add(manifest.Increment, 1, manifest.Body{AsOf: asOf})
	before := w.State().Seq()
	add(manifest.Increment, 1, manifest.Body{AsOf: asOf, Pending: []string{"daily"}})
	add(manifest.Open, 2*rollEvery, manifest.Body{})
	s := w.State()
	if len(s.Rolls()) < 3 || s.After("daily", nil) != before || !s.AsOf().Equal(asOf) {
		t.Errorf("%d rolls; increments come after %d, want %d; as of %s", len(s.Rolls()), s.After("daily", nil), before, s.AsOf())
	}
	for _, r := range s.Rolls() {
		if r.To-r.From >= rollEvery {
			t.Errorf("a roll of %d to %d", r.From, r.To)
		}
	}
}

// A reader that knows rolls and one that doesn't read the same history, the first with few GETs; a roll
// that is damaged, and restated by the next, only costs more of them.
func TestRollsSayTheSame(t *testing.T) {
	const n = 3*rollEvery + 100
	b := long(t, n)
	r := Reader{Bucket: b, Prefix: prefix}
	newest, err := r.Newest(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var one []*manifest.Manifest
	for seq := uint64(1); seq <= newest; seq++ {
		m, err := r.Manifest(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		one = append(one, m)
	}
	rolls := map[uint64]bool{}
	old := manifest.NewState() // I4: to each, the previous one's hash
	for _, m := range one {
		if m.Body.Roll != nil {
			rolls[m.Seq] = true
		}
		if err := old.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	if len(rolls) != 3 {
		t.Fatalf("%d rolls in %d entries", len(rolls), newest)
	}
	f := func(what string, b bucket.Bucket, most int) {
		t.Helper()
		c := counted{b, make(chan string, 10*n)}
		var got []*manifest.Manifest
		err := (&Reader{Bucket: c, Prefix: prefix}).Each(t.Context(), 1, newest, func(m *manifest.Manifest) error {
			got = append(got, m)
			return nil
		})
		if err != nil || len(got) != len(one) {
			t.Fatalf("%s: %d entries of %d, %v", what, len(got), len(one), err)
		}
		for i, m := range got {
			want := *one[i]
			if m.Body.Roll == nil && want.Body.Roll != nil {
				want.Body.Roll, want.Keeps = nil, nil // restated itself
			}
			if !reflect.DeepEqual(*m, want) {
				t.Fatalf("%s: entry %d is %+v, want %+v", what, i+1, *m, want)
			}
		}
		if gets := len(c.gets); gets > most {
			t.Errorf("%s: %d GETs, want at most %d", what, gets, most)
		}
	}
	f("whole", b, 3+100+10)
	s, err := r.State(t.Context(), newest)
	if err != nil || s.Seq() != newest || s.After("tag 7", nil) != old.After("tag 7", nil) || len(s.Chain(s.Tables()[0]).SSTables) != n-1 {
		t.Errorf("state: %v, at %d, after %d instead of %d", err, s.Seq(), s.After("tag 7", nil), old.After("tag 7", nil))
	}
	f("one is damaged", damagedAt{b, Name(prefix, rollEvery+1)}, rollEvery+3+100+20)
	broken := Reader{Bucket: damagedAt{b, Name(prefix, 3*rollEvery+1)}, Prefix: prefix}
	if _, err := broken.State(t.Context(), newest); !errors.Is(err, ErrDamaged) {
		t.Errorf("the newest roll, an entry that no other restates, is damaged: %v", err)
	}
}

// damagedAt is a bucket in which one object is cut short.
type damagedAt struct {
	bucket.Bucket
	name string
}

func (d damagedAt) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	b, err := d.Bucket.Get(ctx, name, off, n)
	if err == nil && name == d.name {
		b = b[:len(b)/2]
	}
	return b, err
}

// Entries of many SSTables make smaller rolls, so that whoever makes or reads one needs little memory. One
// that is large is read by itself, and so is a full: neither is read to make a roll.
func TestRollsAreBounded(t *testing.T) {
	const commits, each, many = rollEvery + 120, 50, 350
	b := &buckettest.Memory{}
	w := openWriter(t, b, nil)
	large := map[uint64]bool{}
	for i := range commits {
		n := each
		if i == 7 {
			n = many
			large[w.State().Seq()+1] = true
		}
		row := manifest.Table{Table: sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280e58c11f199085b39e1f4c1a0"}}
		for j := range n {
			x := manifest.SSTable{Stem: fmt.Sprintf("nb-%d-big", i*many+j)}
			for k := range 8 {
				x.Components = append(x.Components, manifest.Component{Name: fmt.Sprint("C", k, ".db"), Size: 10, Inode: uint64(i)})
			}
			row.SSTables = append(row.SSTables, x)
		}
		keeps := []manifest.Keep{{Set: pack.NewSetID(), Packs: 1, Bytes: 100, Raw: 1000}}
		if _, err := w.Commit(t.Context(), manifest.Increment, keeps, manifest.Body{AsOf: time.Now(), Tables: []manifest.Table{row}}); err != nil {
			t.Fatal(err)
		}
	}
	rolls := w.State().Rolls()
	if len(rolls) < 2 {
		t.Fatalf("%d rolls", len(rolls))
	}
	r := Reader{Bucket: b, Prefix: prefix}
	for _, s := range rolls {
		m, err := r.Manifest(t.Context(), s.Seq)
		if err != nil {
			t.Fatal(err)
		}
		sstables := 0
		for _, e := range m.Unroll() {
			if large[e.Seq] {
				t.Errorf("roll %d restates entry %d, which is large", s.Seq, e.Seq)
			}
			for _, row := range e.Body.Tables {
				sstables += len(row.SSTables)
			}
		}
		if sstables > 5000 || sstables < 4000 {
			t.Errorf("roll %d of %d to %d restates %d SSTables", s.Seq, s.From, s.To, sstables)
		}
	}
	if n := w.State().Seq() + 1 - w.State().Unrolled(); n >= rollEvery {
		t.Errorf("%d entries are in no roll", n)
	}
	s, err := r.State(t.Context(), w.State().Seq())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Chain(s.Tables()[0]).SSTables); n != (commits-1)*each+many {
		t.Errorf("%d SSTables", n)
	}
}

// A roll that can't be made keeps nothing from being backed up: it is told of, and made later.
func TestRollThatFails(t *testing.T) {
	b := long(t, rollEvery-1)
	w := openWriter(t, b, nil)
	for n := w.State().Seq() + 1 - w.State().Unrolled(); n < rollEvery; n++ {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	rolls := len(w.State().Rolls())
	now := w.now
	w.now = func() time.Time { // the roll's: not a time that JSON has
		w.now = now
		return time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	for range rollEvery {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
		if len(w.State().Rolls()) != rolls || w.Unrolled() == nil {
			t.Fatalf("%d rolls, want %d; %v", len(w.State().Rolls()), rolls, w.Unrolled())
		}
	}
	if err := commit(w); err != nil || w.Unrolled() != nil || len(w.State().Rolls()) < rolls+2 {
		t.Errorf("%v; %d rolls; %v", err, len(w.State().Rolls()), w.Unrolled())
	}
	seqs(t, b)
}

// A roll in doubt, and a writer that has opened since, end a commit as ever.
func TestI4_RollIsFenced(t *testing.T) {
	b := &buckettest.Memory{}
	w := openWriter(t, b, nil)
	for n := w.State().Seq(); n < rollEvery; n++ {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	w.reader.Bucket = &buckettest.Fault{Bucket: b, At: rollEvery + 1, Kind: buckettest.FailAfter} // the PUT of the roll
	if err := commit(w); err == nil || w.doubt == nil || errors.Is(err, ErrFenced) || w.Unrolled() != nil {
		t.Errorf("in doubt: %v, %v", err, w.Unrolled())
	}
	if err := commit(w); err != nil || len(w.State().Rolls()) != 1 {
		t.Errorf("%v, %d rolls", err, len(w.State().Rolls()))
	}
	for w.State().Seq()+1-w.State().Unrolled() < rollEvery {
		if err := commit(w); err != nil {
			t.Fatal(err)
		}
	}
	openWriter(t, b, nil)
	if err := commit(w); !errors.Is(err, ErrFenced) || w.Unrolled() != nil {
		t.Errorf("%v, want ErrFenced; %v", err, w.Unrolled())
	}
}

// A writer goes on rolling after a restart, and after a full has made what is before it needless.
func TestRollsGoOn(t *testing.T) {
	b := long(t, rollEvery+10)
	for range 2 {
		w := openWriter(t, b, nil)
		for range rollEvery / 2 {
			if err := commit(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := openWriter(t, b, nil)
	if rolls := w.State().Rolls(); len(rolls) != 2 || rolls[1].From != rolls[0].To+1 || rolls[1].To != rolls[1].From+rollEvery-1 {
		t.Errorf("rolls %+v", rolls)
	}
	full := manifest.Body{AsOf: time.Now().UTC(), Full: &manifest.FullPart{Tag: "all", After: w.State().Seq() - 1, All: true, Last: true}}
	if _, err := w.Commit(t.Context(), manifest.Full, nil, full); err != nil {
		t.Fatal(err)
	}
	if err := commit(w); err != nil {
		t.Fatal(err)
	}
	if m := w.State().Newest(); m.Roll != 0 {
		t.Errorf("the newest entry names roll %d, which nothing needs", m.Roll)
	}
	if n := seqs(t, b); n == 0 {
		t.Error("no history")
	}
}

// After a year of a commit per minute and no full, a plan reads so many objects: at 30 ms each, four at
// a time, in less than 10 s.
func TestObjectsToReadAfterAYear(t *testing.T) {
	const year = 365 * 24 * 60
	var rolls []manifest.Span
	next := uint64(1)
	for n := 0; n < year; n += rollEvery {
		rolls = append(rolls, manifest.Span{Seq: next + rollEvery, From: next, To: next + rollEvery - 1})
		next += rollEvery
	}
	rolls = rolls[:len(rolls)-1] // the worst moment: right before the next
	last := rolls[len(rolls)-1].To + rollEvery
	got := units(1, last, rolls)
	t.Logf("%d entries in %d objects", last, len(got))
	if len(got) > 1600 {
		t.Errorf("%d objects, want at most 1600", len(got))
	}
	seen := uint64(0)
	for _, u := range got {
		if u.from != seen+1 || u.to < u.from {
			t.Fatalf("%+v comes after entry %d", u, seen)
		}
		seen = u.to
	}
	if seen != last {
		t.Errorf("it ends with entry %d of %d", seen, last)
	}
}

func TestUnits(t *testing.T) {
	rolls := []manifest.Span{{Seq: 11, From: 3, To: 10}, {Seq: 20, From: 12, To: 19}}
	f := func(from, to uint64, want string) {
		t.Helper()
		var got []string
		for _, u := range units(from, to, rolls) {
			got = append(got, fmt.Sprintf("%d-%d/%d", u.from, u.to, u.roll))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%d to %d: %s, want %s", from, to, s, want)
		}
	}
	f(1, 2, "1-1/0 2-2/0")
	f(2, 12, "2-2/0 3-10/11 11-11/0 12-12/20")
	f(5, 21, "5-10/11 11-11/0 12-19/20 20-20/0 21-21/0")
	f(4, 4, "4-4/11")
	f(3, 2, "")
}
