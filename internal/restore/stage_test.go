package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/sstable"
)

// tapped lets a test look at GETs, or change what they return.
type tapped struct {
	bucket.Bucket
	mu  sync.Mutex
	get func(name string, off int64, b []byte, err error) ([]byte, error)
}

func (b *tapped) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	got, err := b.Bucket.Get(ctx, name, off, n)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.get(name, off, got, err)
}

// stage restores everything to dir.
func (w *world) stage(p *Plan) Report {
	w.t.Helper()
	s := &Stager{Bucket: w.bucket}
	r, err := s.Stage(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestI6_StageRestoresEveryByte(t *testing.T) {
	w, want := small(t)
	dir := filepath.Join(t.TempDir(), "new", "dir")
	p := w.plan(Request{To: dir})
	r := w.stage(p)
	equal(t, dir, want)

	var size int64
	for _, b := range want {
		size += int64(len(b))
	}
	if p.Bytes != size || r.Tables[0].Bytes+r.Tables[1].Bytes != size {
		t.Errorf("%d bytes planned, %d and %d reported, want %d", p.Bytes, r.Tables[0].Bytes, r.Tables[1].Bytes, size)
	}
	if r.Tables[0].SSTables != 3 || r.Tables[1].SSTables != 3 || r.PlacedDir != dir || r.Seconds <= 0 {
		t.Errorf("reported %+v", r)
	}
	if r.BytesFetched > p.FetchBytes {
		t.Errorf("fetched %d bytes of %d", r.BytesFetched, p.FetchBytes)
	}
}

// Neighbours come in one GET, frame lists of a bundle too.
func TestStageJoinsGETs(t *testing.T) {
	w := newWorld(t)
	w.pack = 16 << 20
	var all []sst
	for i := range 50 {
		all = append(all, data(orders, fmt.Sprintf("nb-%d-big", i+1), uint64(i), 20_000))
	}
	w.full("base", at(0), 0, all...)
	p := w.plan(Request{To: t.TempDir()})
	fault := &buckettest.Fault{Bucket: w.bucket}
	w.bucket = fault
	w.stage(p)
	if got := fault.Count(); got != 2 {
		t.Errorf("%d GETs for 50 SSTables of one pack, want one for the lists and one for the frames", got)
	}
}

func TestStageOfSystemTablesAndEmptyOnes(t *testing.T) {
	w := newWorld(t)
	a := data(local, "nb-1-big", 1, 10)
	w.full("base", at(0), 0, a, sst{table: roles})
	dir := t.TempDir()
	r := w.stage(w.plan(Request{To: dir}))
	want := map[string][]byte{}
	expect(want, a, "nb-1-big")
	equal(t, dir, want)
	if len(r.Tables) != 2 || r.Tables[1].SSTables != 0 {
		t.Errorf("reported %+v", r.Tables)
	}
}

// gets counts the GETs of a restore.
func (w *world) gets(p *Plan) int {
	w.t.Helper()
	elsewhere := *p
	elsewhere.To = w.t.TempDir()
	count := &buckettest.Fault{Bucket: w.bucket}
	if _, err := (&Stager{Bucket: count}).Stage(w.t.Context(), &elsewhere); err != nil {
		w.t.Fatal(err)
	}
	if count.Count() < 10 {
		w.t.Fatalf("%d GETs are too few to test anything", count.Count())
	}
	return count.Count()
}

// Where the restore is cut, the next one goes on, and fetches again no more than what was in flight.
func TestStageResumesAfterEveryGET(t *testing.T) {
	w, want := small(t)
	p := w.plan(Request{To: t.TempDir()})
	whole := w.stage(p)
	for at := range w.gets(p) {
		at++
		for _, kind := range []buckettest.Kind{buckettest.FailBefore, buckettest.CrashAfter} {
			dir := t.TempDir()
			p := w.plan(Request{To: dir})
			s := &Stager{Bucket: &buckettest.Fault{Bucket: w.bucket, At: at, Kind: kind}, Gets: 2}
			cut, err := s.Stage(t.Context(), p)
			if !errors.Is(err, bucket.ErrUnreachable) && !errors.Is(err, buckettest.ErrCrashed) {
				t.Fatalf("%s at GET %d: %v", kind, at, err)
			}
			for name, b := range tree(t, dir) {
				if !bytes.Equal(b, want[name]) && name != journalName {
					t.Errorf("%s at GET %d: %s is there and not right", kind, at, name)
				}
			}
			s.Bucket = w.bucket
			r, err := s.Stage(t.Context(), p)
			if err != nil {
				t.Fatalf("after %s at GET %d: %v", kind, at, err)
			}
			equal(t, dir, want)
			// In flight are two GETs of at most a pack, and the file that was being written, of two.
			if again := cut.BytesFetched + r.BytesFetched - whole.BytesFetched; again > 4*int64(w.pack) {
				t.Errorf("after %s at GET %d: %d bytes fetched again", kind, at, again)
			}
		}
	}
}

// A run that was killed leaves temporary files and half a line in the journal.
func TestStageSweepsAfterKill(t *testing.T) {
	w, want := small(t)
	dir := t.TempDir()
	p := w.plan(Request{To: dir})
	s := &Stager{Bucket: &buckettest.Fault{Bucket: w.bucket, At: w.gets(p)}}
	if _, err := s.Stage(t.Context(), p); err == nil {
		t.Fatal("not cut")
	}
	write(t, filepath.Join(dir, orders.Keyspace, orders.Dir(), tempPrefix+"1"), "half a file")
	j, err := os.OpenFile(filepath.Join(dir, journalName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.WriteString(`{"file":{"path":"sh`); err != nil {
		t.Fatal(err)
	}
	j.Close()
	w.stage(p)
	equal(t, dir, want)
}

// The journal spares hashing what was verified; without it the files are read again (I5).
func TestI5_StageTrustsItsJournalOnly(t *testing.T) {
	w, want := small(t)
	dir := t.TempDir()
	p := w.plan(Request{To: dir})
	cut := &Stager{Bucket: &buckettest.Fault{Bucket: w.bucket, At: w.gets(p)}, Gets: 1}
	if _, err := cut.Stage(t.Context(), p); err == nil {
		t.Fatal("not cut")
	}
	var placed string
	for name := range tree(t, dir) {
		if strings.HasSuffix(name, sstable.Data) {
			placed = filepath.Join(dir, name)
		}
	}
	if placed == "" {
		t.Fatal("nothing was placed before the cut")
	}
	forge(t, placed)
	s := &Stager{Bucket: &buckettest.Fault{Bucket: w.bucket, At: 1}}
	if _, err := s.Stage(t.Context(), p); !errors.Is(err, bucket.ErrUnreachable) {
		t.Errorf("%v: the file was read although size, time and inode are those of the journal", err)
	}
	if err := os.Remove(filepath.Join(dir, journalName)); err != nil {
		t.Fatal(err)
	}
	s.Bucket = w.bucket
	if _, err := s.Stage(t.Context(), p); !errors.Is(err, ErrForeign) {
		t.Errorf("%v, want %v", err, ErrForeign)
	}
	s.Force = true
	if _, err := s.Stage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	equal(t, dir, want)
	r, err := (&Stager{Bucket: &buckettest.Memory{}}).Stage(t.Context(), p) // all is there: no bucket is needed
	if err != nil || r.BytesFetched != 0 || r.BytesKept != p.Bytes {
		t.Errorf("again: %v, fetched %d, kept %d of %d", err, r.BytesFetched, r.BytesKept, p.Bytes)
	}
}

// forge changes a byte of a file behind everybody's back.
func forge(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStageRefusesWhatIsInTheWay(t *testing.T) {
	w, want := small(t)
	table := filepath.Join(orders.Keyspace, orders.Dir())
	outside := filepath.Join(t.TempDir(), "precious")
	write(t, outside, "precious")
	f := func(what string, forced bool, put func(dir string)) {
		t.Helper()
		dir := t.TempDir()
		put(dir)
		before := tree(t, dir)
		s := &Stager{Bucket: w.bucket}
		p := w.plan(Request{To: dir})
		_, err := s.Stage(t.Context(), p)
		if !errors.Is(err, ErrForeign) || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, want %v", what, err, ErrForeign)
		}
		after := tree(t, dir)
		delete(after, journalName)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s: something has changed", what)
		}
		s.Force = true
		if _, err = s.Stage(t.Context(), p); (err == nil) != forced {
			t.Errorf("%s, forced: %v", what, err)
		}
		if forced {
			after := tree(t, dir)
			for name, b := range want {
				if !bytes.Equal(after[name], b) {
					t.Errorf("%s, forced: %s is not right", what, name)
				}
			}
		}
		if b, err := os.ReadFile(outside); err != nil || string(b) != "precious" {
			t.Errorf("%s: something outside has changed", what)
		}
	}
	f("other content", true, func(dir string) { write(t, filepath.Join(dir, table, "nb-1-big-Data.db"), "x") })
	f("same size", true, func(dir string) {
		write(t, filepath.Join(dir, table, "nb-1-big-Data.db"), strings.Repeat("x", 70_000))
	})
	f("another SSTable", true, func(dir string) { write(t, filepath.Join(dir, table, "nb-9-big-Data.db"), "x") })
	f("a file for a directory", false, func(dir string) { write(t, filepath.Join(dir, table), "x") })
	f("a directory for a file", false, func(dir string) { write(t, filepath.Join(dir, table, "nb-1-big-Data.db", "x"), "x") })
	f("a link out", true, func(dir string) {
		write(t, filepath.Join(dir, table, "nb-9-big-Data.db"), "x")
		if err := os.Symlink(outside, filepath.Join(dir, table, "nb-1-big-Data.db")); err != nil {
			t.Fatal(err)
		}
	})
}

// A directory that is a link to somewhere else is not followed.
func TestStageStaysBelow(t *testing.T) {
	w, _ := small(t)
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "shop")); err != nil {
		t.Fatal(err)
	}
	s := &Stager{Bucket: w.bucket, Force: true}
	if _, err := s.Stage(t.Context(), w.plan(Request{To: dir})); err == nil {
		t.Error("no error")
	}
	if got := tree(t, outside); len(got) > 0 {
		t.Errorf("%d files outside", len(got))
	}
}

func TestStageRefusesASecondRestore(t *testing.T) {
	w, _ := small(t)
	dir := t.TempDir()
	p := w.plan(Request{To: dir})
	tap := &tapped{Bucket: w.bucket}
	var once sync.Once
	tap.get = func(_ string, _ int64, b []byte, err error) ([]byte, error) {
		once.Do(func() {
			if _, err := (&Stager{Bucket: w.bucket}).Stage(t.Context(), p); !errors.Is(err, ErrInUse) {
				t.Errorf("%v, want %v", err, ErrInUse)
			}
		})
		return b, err
	}
	if _, err := (&Stager{Bucket: tap}).Stage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func TestStageModesAndOwner(t *testing.T) {
	w, _ := small(t)
	f := func(s *Stager, file, dir fs.FileMode) {
		t.Helper()
		s.Bucket = w.bucket
		to := filepath.Join(t.TempDir(), "new")
		if _, err := s.Stage(t.Context(), w.plan(Request{To: to})); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want := file
			if d.IsDir() {
				want = dir
			}
			if name != to && info.Mode().Perm() != want {
				t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
			}
			if owner := ownerOf(info); s.Owner != nil && owner != *s.Owner {
				t.Errorf("%s belongs to %+v, want %+v", name, owner, *s.Owner)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f(&Stager{}, 0o640, 0o750)
	f(&Stager{FileMode: 0o666}, 0o666, 0o777)
	f(&Stager{FileMode: 0o600}, 0o600, 0o700)
	if os.Geteuid() == 0 { // only root may give files away
		f(&Stager{Owner: &Owner{4711, 4712}}, 0o640, 0o750)
	}
}

func TestStageTellsProgress(t *testing.T) {
	w, _ := small(t)
	var all []Progress
	p := w.plan(Request{To: t.TempDir()})
	s := &Stager{Bucket: w.bucket, Progress: func(p Progress) { all = append(all, p) }}
	r, err := s.Stage(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if last.Bytes != p.Bytes || last.OfBytes != p.Bytes || last.Fetched > r.BytesFetched || last.Fetched == 0 {
		t.Errorf("at the end %+v, want %d bytes", last, p.Bytes)
	}
	if !slices.IsSortedFunc(all, func(a, b Progress) int { return int(a.Bytes - b.Bytes) }) {
		t.Error("goes back")
	}
}

func TestStageIsCancelled(t *testing.T) {
	w, _ := small(t)
	ctx, cancel := context.WithCancel(t.Context())
	tap := &tapped{Bucket: w.bucket, get: func(_ string, _ int64, b []byte, err error) ([]byte, error) {
		cancel()
		return b, err
	}}
	if _, err := (&Stager{Bucket: tap}).Stage(ctx, w.plan(Request{To: t.TempDir()})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
