package main

import (
	"compress/gzip"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/fixtures"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// small is a data set of two SSTables in two data directories.
func small(t *testing.T) dataset {
	t.Helper()
	d := dataset{t.TempDir()}
	for _, data := range []string{"data1", "data2"} {
		dir := filepath.Join(d.dir, data, keyspace, "users-6beb05b0e58d11f1a7ef0d05e55e29f6", "snapshots", tag)
		for _, c := range components() {
			write(t, filepath.Join(dir, "nb-"+data[4:]+"-big-"+c), strings.Repeat(c, 100))
		}
	}
	write(t, filepath.Join(d.dir, "data1", keyspace, "users-6beb05b0e58d11f1a7ef0d05e55e29f6", "snapshots", tag, "manifest.json"), "{}")
	return d
}

func TestSnapshotIsHardLinks(t *testing.T) {
	d, tree := small(t), t.TempDir()
	if err := d.snapshot(tree, "monday"); err != nil {
		t.Fatal(err)
	}
	for name, linked := range map[string]bool{"nb-1-big-Data.db": true, "manifest.json": false} {
		rel := filepath.Join("data1", keyspace, "users-6beb05b0e58d11f1a7ef0d05e55e29f6", "snapshots")
		a, errA := os.Stat(filepath.Join(d.dir, rel, tag, name))
		b, errB := os.Stat(filepath.Join(tree, rel, "monday", name))
		if errA != nil || errB != nil || os.SameFile(a, b) != linked {
			t.Errorf("%s: %v, %v; the same file: %v", name, errA, errB, !linked)
		}
	}
	tables, all, err := d.contents()
	if err != nil || len(tables) != 1 || tables[0].table != "users" || tables[0].volume != all || all.sstables != 2 || all.files != 16 {
		t.Errorf("contents %+v, %+v, %v", tables, all, err)
	}
}

func TestTryCopying(t *testing.T) {
	d := small(t)
	r, err := try(t.Context(), d, copying, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, all, err := d.contents()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]pass{"first": r.first, "second": r.second} {
		if p.data != 2 || p.added != all.bytes+2 || p.wall <= 0 {
			t.Errorf("%s pass: %+v, of %+v", name, p, all)
		}
	}
}

func TestWhatIsMissingIsSeen(t *testing.T) {
	d, tree, restored := small(t), t.TempDir(), t.TempDir()
	for _, to := range []string{tree, restored} {
		if err := d.snapshot(to, "monday"); err != nil {
			t.Fatal(err)
		}
	}
	if err := same(tree, restored); err != nil {
		t.Error(err)
	}
	found, err := filepath.Glob(filepath.Join(restored, "data2", "*", "*", "*", "*", "*-TOC.txt"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	if same(tree, restored) == nil {
		t.Error("a restore that lacks a file passed")
	}
	if (pass{data: 2}).whole(tree) != nil || (pass{data: 1}).whole(tree) == nil {
		t.Error("a first pass that left an SSTable out passed, or one that did not failed")
	}
}

func TestMeasure(t *testing.T) {
	const size = 64 << 20
	c, err := measure(t.Context(), "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
	if err != nil {
		t.Fatal(err)
	}
	if c.read < size || c.read > size+1<<20 || c.rss < size || c.rss > 4*size || c.wall <= 0 || c.cpu <= 0 {
		t.Errorf("dd of %d bytes: %+v", size, c)
	}
	if _, err := measure(t.Context(), "sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a command that fails: %v", err)
	}
}

func TestReadWatch(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "a")
	write(t, b, "b")
	for name, watched := range map[string]struct {
		paths []string
		flags uint32
	}{"directory": {[]string{dir}, 0}, "files": {[]string{a, b}, unix.IN_ONESHOT}} {
		w, err := watchReads(watched.paths, watched.flags)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(a); err != nil {
			t.Fatal(err)
		}
		if n, err := w.files(); n != 0 || err != nil {
			t.Errorf("%s: %d files read by listing and looking, %v", name, n, err)
		}
		for range 2 {
			if err := warm(dir); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := w.files(); n != 2 || err != nil {
			t.Errorf("%s: %d files read, %v, want 2", name, n, err)
		}
	}
}

func TestMeasureScan(t *testing.T) {
	s, err := measureScan(t.Context(), t.TempDir(), 40, 3)
	if err != nil || s.files != 320 || s.places != 6 || s.read != 0 || s.first <= 0 || s.warm <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestProse(t *testing.T) {
	dir := t.TempDir()
	p := &prose{}
	seen := map[string]bool{}
	long := "A paragraph that is long enough to be taken, with an umlaut: ü."
	p.add([]byte(long+"\n\nshort\n\n"+long+"\n"), seen)
	if len(p.starts) != 1 || string(p.bytes) != long+"\n\n" {
		t.Errorf("%q, %v", p.bytes, p.starts)
	}
	r := rand.New(rand.NewPCG(1, 2))
	if e := p.excerpt(r, strings.Index(long, "ü")+1); !utf8.ValidString(e) || !strings.HasPrefix(long, e) {
		t.Errorf("excerpt %q", e)
	}
	if w := p.words(r, 3); strings.Join(w, " ") != "A paragraph that" {
		t.Errorf("words %q", w)
	}

	f, err := os.Create(filepath.Join(dir, "changelog.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(long + "\ncut off")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	write(t, filepath.Join(dir, "binary"), "\x00\n")
	for name, want := range map[string]string{"changelog.gz": long + "\n", "binary": ""} {
		if got, err := readText(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := readProse([]string{dir, filepath.Join(dir, "missing")}); err == nil || !strings.Contains(err.Error(), "only") {
		t.Errorf("too little text: %v", err)
	}
}

func TestRowsFitTheirTables(t *testing.T) {
	p := &prose{}
	seen := map[string]bool{}
	for i := range 50 {
		p.add([]byte(strings.Repeat("text of some length ", 5+i)), seen)
	}
	var shares float64
	for _, table := range tables() {
		shares += table.share
		next := table.rows(rand.New(rand.NewPCG(1, 1)), p)
		rows := 20
		if table.name == "orders" {
			rows = 6000 // they change earlier ones then
		}
		for range rows {
			row := next()
			if want := 1 + strings.Count(table.insert, ","); len(row) != want || weigh(row) < 20 {
				t.Fatalf("%s: %d columns of %d bytes, want %d", table.name, len(row), weigh(row), want)
			}
		}
	}
	if shares < 0.999 || shares > 1.001 {
		t.Errorf("the shares add up to %f", shares)
	}
}

func TestReport(t *testing.T) {
	r := report{
		command: "bench", host: []string{"a machine"}, reference: "restic", data: volume{8, 1, 1 << 20},
		storers: []string{"sstash", "restic"},
		tables: []held{
			{"users", volume{8, 1, 1 << 20}, engine{1000, 1, 10, 10}, []int64{1 << 18, 1 << 19}},
			{"none", volume{8, 1, 1 << 20}, engine{}, []int64{1 << 19, 1 << 19}},
		},
		trials: []trial{
			{tool: "sstash", first: pass{cost: cost{time.Second, 2 * time.Second, 1 << 20, 2 << 20}, added: 1 << 19, data: 1}},
			{tool: "restic", first: pass{cost: cost{2 * time.Second, time.Second, 0, 0}}},
		},
	}
	var text, markdown strings.Builder
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| sstash | 1.00 | 2.00 | 0.50 | 2.00 | 1.0 MiB | 2.0 MiB | 512 KiB | 0.500 | 1 |",
		"| users | 256 KiB | 0.250 | 0.500 | 512 KiB | 0.500 |",
		"| users | 1,000 | 99.90 % | 10 | 100.00 % |",
	} {
		if !strings.Contains(markdown.String(), want) {
			t.Errorf("no %q in\n%s", want, &markdown)
		}
	}
	if got := strings.Join(strings.Fields(text.String()), " "); !strings.Contains(got, "restic 2.00 1.00 1.00 1.00 – 0 B") {
		t.Errorf("text:\n%s", &text)
	}
}

// Every fixture is encoded; a table that falls short fails the run.
func TestEncode(t *testing.T) {
	d := dataset{t.TempDir()}
	node := fixtures.Unpack(t, "5.0.8-nb")
	var tables []held
	for _, name := range []string{"types", "wide", "c_none"} {
		found, err := filepath.Glob(filepath.Join(node, "data1", "shop", name+"-*", "snapshots", "base"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		to := filepath.Join(d.dir, "data1", keyspace, name+"-1", "snapshots", tag)
		if err := link(found[0], to); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, held{table: name})
	}
	if err := d.encode(tables); err != nil {
		t.Fatal(err)
	}
	for _, h := range tables {
		if e := h.engine; (e.frames == 0) != (h.table == "c_none") || e.frames > 0 && (e.chunks < 1 || e.reproduced() != 1 || e.columns() != 1) {
			t.Errorf("%s: %+v", h.table, e)
		}
	}
	if err := fallen(tables); err != nil {
		t.Error(err)
	}
	tables[0].engine = engine{chunks: 1000, kept: 2, frames: 100, column: 98}
	if err := fallen(tables); err == nil || strings.Count(err.Error(), "types:") != 2 {
		t.Errorf("fallen: %v", err)
	}
}

func TestStoreEach(t *testing.T) {
	d, r := small(t), report{tables: []held{{table: "users"}}}
	if err := r.storeEach(t.Context(), d, []func(workplace) tool{copying, copying}, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	_, all, err := d.contents()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.tables[0].stored; len(got) != 2 || got[0] != all.bytes+2 || len(r.storers) != 2 {
		t.Errorf("%v stored %v, of %+v", r.storers, got, all)
	}
}

func TestMeasureFlushes(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sstash")
	if out, err := exec.Command("go", "build", "-tags", "disable_grpc_modules", "-o", binary, "github.com/sstash/sstash/cmd/sstash").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	took, err := measureFlushes(t.Context(), binary, t.TempDir(), 2, 2)
	if err != nil || len(took) != 4 || took[0] <= 0 || !slices.IsSorted(took) {
		t.Fatalf("%v, %v", took, err)
	}
	var text strings.Builder
	if err := (report{flushes: took}).text(&text); err != nil || !strings.Contains(text.String(), "4        "+seconds(took[0])) {
		t.Errorf("%v\n%s", err, &text)
	}
}

func TestBest(t *testing.T) {
	a := trial{first: pass{cost: cost{wall: 1}}, second: pass{cost: cost{wall: 5}}, restore: cost{wall: 3}}
	b := trial{first: pass{cost: cost{wall: 2}}, second: pass{cost: cost{wall: 4}}, restore: cost{wall: 2}}
	if got := best(a, b); got.first.wall != 1 || got.second.wall != 4 || got.restore.wall != 2 {
		t.Errorf("%+v", got)
	}
}
