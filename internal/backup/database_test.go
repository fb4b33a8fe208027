package backup

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// database does to files what Cassandra 4.1 does to them: flushes that are linked into backups/ and
// then live, compactions, truncations and snapshots, over two data directories. What its SSTables
// hold it knows by the hash of Data.db, so that a test can tell what a restore brings back without
// asking the code under test.
type database struct {
	t      *testing.T
	mu     sync.Mutex // nodetool calls from another goroutine
	clock  *clock
	random *rand.Rand
	temp   string // everything is in it
	dirs   []string
	tables []*table
	real   []components // SSTables that a real node wrote; some flushes use them up
	rows   int          // written so far; each has a number
	stems  int
	stamps int // files so far: no two have the same mtime

	holds map[digest][]int // rows by the SHA-256 of Data.db
	paths map[string]inode // every file that must be there
	ever  map[inode]digest // content of every file that ever was
	away  string           // the one of paths that is not there just now
}

type (
	digest     [sha256.Size]byte
	components map[string][]byte // content by component
	inode      struct {
		number uint64
		size   int64
		mtime  int64
	}
)

// table is one table, and in live its SSTables and those of its index.
type table struct {
	sstable.Table
	index string // directory of its table-backed index; "" for none
	live  []live
	acked []int // rows since the last truncation
}

type live struct {
	dir   string // a data directory
	index string
	stem  string
	names []string // components
	rows  []int
}

func newDatabase(t *testing.T, temp string, c *clock, real []components, seed uint64) *database {
	d := &database{
		t: t, clock: c, real: real, random: rand.New(rand.NewPCG(seed, 0)),
		temp:  temp,
		holds: map[digest][]int{}, paths: map[string]inode{}, ever: map[inode]digest{},
	}
	d.dirs = []string{d.mkdir("data1"), d.mkdir("data2")}
	d.create("users", ".users_city")
	d.create("events", "")
	return d
}

func (d *database) create(name, index string) *table {
	return d.createAs(fmt.Sprintf("%032x", 0xb2637280+len(d.tables)), name, index)
}

func (d *database) createAs(id, name, index string) *table {
	tb := &table{Table: sstable.Table{Keyspace: "shop", Name: name, ID: id}, index: index}
	d.tables = append(d.tables, tb)
	for _, dir := range d.dirs {
		d.must(os.MkdirAll(filepath.Join(dir, tb.Keyspace, tb.Dir(), "backups", index), 0o755))
		d.must(os.MkdirAll(filepath.Join(dir, tb.Keyspace, tb.Dir(), index), 0o755))
	}
	return tb
}

func (d *database) mkdir(name string) string {
	dir := filepath.Join(d.temp, name)
	d.must(os.MkdirAll(dir, 0o755))
	return dir
}

// inMemory is a temporary directory that costs little, where the system has one: lives are many, and
// most are not about the disk.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "sstash-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (d *database) must(err error) {
	if err != nil {
		d.t.Helper()
		d.t.Fatal(err)
	}
}

// flush writes a row into table n and flushes it, with an SSTable of the index where there is one.
func (d *database) flush(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(d.tables[n], 200+d.random.IntN(3000))
}

func (d *database) write(tb *table, size int) int {
	d.rows++
	tb.acked = append(tb.acked, d.rows)
	d.link(tb, d.sstable(tb, "", size, []int{d.rows}))
	if tb.index != "" {
		d.link(tb, d.sstable(tb, tb.index, 100, []int{-d.rows}))
		tb.acked = append(tb.acked, -d.rows)
	}
	return d.rows
}

// sstable makes a live SSTable that holds rows.
func (d *database) sstable(tb *table, index string, size int, rows []int) live {
	d.stems++
	l := live{dir: d.dirs[d.stems%len(d.dirs)], index: index, stem: fmt.Sprintf("nb-%d-big", d.stems), rows: rows}
	content := components{
		"Data.db": d.noise(size), "Index.db": d.noise(30 + d.random.IntN(90)), "CRC.db": d.noise(8),
		"Statistics.db": d.noise(80 + d.random.IntN(200)), "Filter.db": d.noise(16),
		"TOC.txt": []byte("Data.db\nIndex.db\nCRC.db\nStatistics.db\nFilter.db\nTOC.txt\n"),
	}
	if len(d.real) > 0 && d.stems%3 == 0 {
		content, d.real = d.real[0], d.real[1:]
	}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		d.create1(d.path(tb, l, "", name), content[name])
		l.names = append(l.names, name)
	}
	d.holds[sha256.Sum256(content["Data.db"])] = rows
	tb.live = append(tb.live, l)
	return l
}

func (d *database) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.random.Uint32())
	}
	return b
}

// path is where a component is: live when sub is empty, else in backups or snapshots/<tag>.
func (d *database) path(tb *table, l live, sub, component string) string {
	return filepath.Join(l.dir, tb.Keyspace, tb.Dir(), sub, l.index, l.stem+"-"+component)
}

func (d *database) link(tb *table, l live) {
	d.copyLinks(tb, l, "backups")
}

func (d *database) copyLinks(tb *table, l live, sub string) {
	for _, name := range l.names {
		from, to := d.path(tb, l, "", name), d.path(tb, l, sub, name)
		d.must(os.MkdirAll(filepath.Dir(to), 0o755))
		d.must(os.Link(from, to))
		d.paths[to] = d.paths[from]
	}
}

// create1 writes a file. Its mtime is the clock's, and a little more so that no other file has it:
// inodes come back, and a simulated clock stands still.
func (d *database) create1(path string, content []byte) {
	d.must(os.WriteFile(path, content, 0o644))
	d.stamps++
	at := d.clock.Now().Add(time.Duration(d.stamps))
	d.must(os.Chtimes(path, at, at))
	d.note(path, content)
}

// note takes a file as it is for what it must be.
func (d *database) note(path string, content []byte) {
	id := d.inode(path)
	d.paths[path], d.ever[id] = id, sha256.Sum256(content)
}

func (d *database) inode(path string) inode {
	id, _, err := lstat(path)
	d.must(err)
	return id
}

func (d *database) unlink(path string) {
	d.must(os.Remove(path))
	delete(d.paths, path)
}

// compact makes one SSTable of all that are live, which is not linked, and one of the index's.
func (d *database) compact(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	rows := map[string][]int{}
	old := tb.live
	tb.live = nil
	for _, l := range old {
		rows[l.index] = append(rows[l.index], l.rows...)
	}
	for _, index := range slices.Sorted(maps.Keys(rows)) {
		d.sstable(tb, index, 300+100*len(rows[index]), rows[index])
	}
	d.drop(tb, old)
}

func (d *database) drop(tb *table, old []live) {
	for _, l := range old {
		for _, name := range l.names {
			d.unlink(d.path(tb, l, "", name))
		}
	}
}

// truncate takes the snapshot that auto_snapshot takes and then drops what is live.
func (d *database) truncate(n int) { d.end(n, "truncated-%013d-%s") }

// end is a TRUNCATE or DROP, with an auto snapshot of that tag unless it is empty. It returns when.
func (d *database) end(n int, tag string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	d.clock.advance(2 * time.Millisecond) // it takes its time
	at := d.clock.Now()
	if tag != "" {
		d.snap(fmt.Sprintf(tag, at.UnixMilli(), tb.Name), tb)
	}
	d.drop(tb, tb.live)
	tb.live, tb.acked = nil, nil
	d.clock.advance(2 * time.Millisecond)
	return at
}

// repair rewrites Statistics.db of everything live, as anticompaction does: a new file under the old
// name. Links keep the old one.
func (d *database) repair(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tb := d.tables[n]
	for _, l := range tb.live {
		path := d.path(tb, l, "", "Statistics.db")
		if _, ok := d.paths[path]; ok {
			d.unlink(path)
			d.create1(path, d.noise(100+d.random.IntN(200)))
		}
	}
}

// snapshot is what somebody else takes: of all tables when none is given.
func (d *database) snapshot(tag string, tables ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, tb := range d.tables {
		if len(tables) == 0 || slices.Contains(tables, n) {
			d.snap(tag, tb)
		}
	}
}

func (d *database) snap(tag string, tb *table) {
	sub := filepath.Join("snapshots", tag)
	var files []string
	for _, l := range tb.live {
		d.copyLinks(tb, l, sub)
		files = append(files, filepath.Join(l.index, l.stem+"-Data.db"))
	}
	manifest, err := json.Marshal(map[string]any{"files": append([]string{}, files...), "created_at": d.clock.Now().UTC(), "expires_at": nil})
	d.must(err)
	pick := d.random.IntN(len(d.dirs))
	for i, f := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {"schema.cql", []byte("CREATE TABLE " + tb.Name)}} {
		dir := filepath.Join(d.dirs[(pick+i)%len(d.dirs)], tb.Keyspace, tb.Dir(), sub)
		d.must(os.MkdirAll(dir, 0o755))
		d.create1(filepath.Join(dir, f.name), f.content)
	}
}

// clear removes a snapshot, of all tables when none is given.
func (d *database) clear(tag string, tables ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, tb := range d.tables {
		if len(tables) > 0 && !slices.Contains(tables, n) {
			continue
		}
		for _, dir := range d.dirs {
			root := filepath.Join(dir, tb.Keyspace, tb.Dir(), "snapshots", tag)
			for path := range d.paths {
				if within(path, root) {
					delete(d.paths, path)
				}
			}
			d.must(os.RemoveAll(root))
		}
	}
}

func within(path, dir string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) }

// schema is what it answers when it is asked for its tables.
func (d *database) schema(context.Context) (Existing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := Existing{Tables: map[string]sstable.Table{}}
	for _, tb := range d.tables {
		e.Tables[tb.ID] = tb.Table
	}
	return e, nil
}

// acked are the rows that were acknowledged and not truncated since.
func (d *database) acked() map[int]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[int]bool{}
	for _, tb := range d.tables {
		for _, r := range tb.acked {
			all[r] = true
		}
	}
	return all
}

// realSSTables are distinct small SSTables of a real node, complete.
func realSSTables(t *testing.T) []components {
	t.Helper()
	seen := map[digest]bool{}
	var found []components
	dirs := fixtures.DataDirs(fixtures.Unpack(t, "4.0.19-nb"))
	for _, dir := range dirs {
		paths, err := filepath.Glob(filepath.Join(dir, "*", "*", "backups", "nb-*-TOC.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, toc := range paths {
			c := components{}
			stem := toc[:len(toc)-len("TOC.txt")]
			files, err := filepath.Glob(stem + "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if c[f[len(stem):]], err = os.ReadFile(f); err != nil {
					t.Fatal(err)
				}
			}
			if id := sha256.Sum256(c["Data.db"]); !seen[id] && len(c["Data.db"]) < 4<<10 {
				seen[id] = true
				found = append(found, c)
			}
		}
	}
	if len(found) < 30 {
		t.Fatalf("%d usable SSTables in the fixture", len(found))
	}
	return found
}
