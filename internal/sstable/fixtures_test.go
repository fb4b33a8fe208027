package sstable_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// Every SSTable of every generation, against what else its node left: other
// files of the SSTable, times of files and the rows that were read from the node.
func TestFixtures(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			node := fixtures.Unpack(t, variant)
			sets := readAll(t, node)
			if len(sets) < 300 {
				t.Fatalf("only %d SSTables", len(sets))
			}
			hosts := map[string]int{}
			for _, s := range sets {
				s.checkStats(t, hosts)
				s.checkComponents(t)
				s.checkChunks(t)
				s.checkDigest(t)
				s.checkKeys(t)
			}
			switch {
			case variant < "3" && len(hosts) > 0:
				t.Errorf("host ids %v in a version that has none", hosts)
			case variant >= "3" && len(hosts) != 1:
				t.Errorf("host ids %v, want one: all is of one node", hosts)
			}
			checkRows(t, node, sets)
		})
	}
}

// A set is one SSTable in one directory, with what its files say.
type set struct {
	dir   string
	name  sstable.Name
	files []string // components
	stats sstable.Stats
}

func (s set) String() string { return filepath.Join(s.dir, s.name.Stem) }

func (s set) path(component string) string {
	return filepath.Join(s.dir, s.name.Stem+"-"+component)
}

func (s set) read(t *testing.T, component string) []byte {
	t.Helper()
	b, err := os.ReadFile(s.path(component))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll groups all files below the data directories. Every one must have a name
// that is known.
func readAll(t *testing.T, node string) []set {
	t.Helper()
	byStem := map[string]*set{}
	for _, dir := range fixtures.DataDirs(node) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "schema.cql" {
				return err
			}
			if d.Name() == "manifest.json" {
				return checkManifest(path)
			}
			n, ok := sstable.ParseName(d.Name())
			if !ok || n.Temporary || !n.Known() || n.Stem+"-"+n.Component != d.Name() {
				return fmt.Errorf("%s: parsed as %+v, %v", path, n, ok)
			}
			key := filepath.Join(filepath.Dir(path), n.Stem)
			if byStem[key] == nil {
				byStem[key] = &set{dir: filepath.Dir(path), name: n}
			}
			byStem[key].files = append(byStem[key].files, n.Component)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var sets []set
	for _, s := range byStem {
		var ok bool
		if s.stats, ok = sstable.ParseStats(s.name, s.read(t, sstable.Statistics)); !ok {
			t.Errorf("%s: Statistics.db not understood", s)
		}
		sets = append(sets, *s)
	}
	return sets
}

// checkManifest looks for the files of a manifest in all data directories.
func checkManifest(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := sstable.ParseSnapshotManifest(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, f := range m.Files {
		one := filepath.Join(filepath.Dir(path), f)
		_, err1 := os.Stat(strings.Replace(one, "/data1/", "/data2/", 1))
		_, err2 := os.Stat(strings.Replace(one, "/data2/", "/data1/", 1))
		if err1 != nil && err2 != nil {
			return fmt.Errorf("%s lists %s, which is in no data directory", path, f)
		}
	}
	return nil
}

func (s set) checkStats(t *testing.T, hosts map[string]int) {
	t.Helper()
	st := s.stats
	if class, ok := strings.CutPrefix(st.Partitioner, "org.apache.cassandra.dht."); !ok || !strings.HasSuffix(class, "Partitioner") {
		t.Errorf("%s: partitioner %q", s, st.Partitioner)
	}
	if st.MinTimestamp > st.MaxTimestamp || st.MinDeletion > st.MaxDeletion || st.Level < 0 || st.Level > 2 || st.RepairedAt != 0 {
		t.Errorf("%s: %+v", s, st)
	}
	if st.HostID != "" {
		hosts[st.HostID]++
	}
	// Nothing is written later than the file, except by kv's client, who says 2286
	// in USING TIMESTAMP. Both clocks are the node's.
	info, err := os.Stat(s.path(sstable.Data))
	if err != nil {
		t.Fatal(err)
	}
	future := time.Unix(9999999999, 0)
	if last := time.UnixMicro(st.MaxTimestamp); last.After(info.ModTime().Add(time.Second)) && !last.Equal(future) {
		t.Errorf("%s: last write %s, file of %s", s, last, info.ModTime())
	}
	header, ok := sstable.SerializationHeader(s.name, s.read(t, sstable.Statistics))
	if ok != (s.name.Version != "ka") || ok && !bytes.Contains(header, []byte("org.apache.cassandra.db.marshal.")) {
		t.Errorf("%s: serialization header %q, %v", s, header, ok)
	}
	if s.name.Version != "ka" && st.Rows == 0 && st.MaxDeletion == sstable.NoDeletion && st.MinDeletion == sstable.NoDeletion {
		t.Errorf("%s: neither rows nor deletions", s)
	}
}

// checkComponents: the nodes were well, so nothing is missing but what SASI never
// links into backups/ and what SAI never writes.
func (s set) checkComponents(t *testing.T) {
	t.Helper()
	toc := sstable.ParseTOC(s.read(t, sstable.TOC))
	required, listed := sstable.Missing(s.name.Format, s.files, toc)
	if len(required)+len(listed) > 0 {
		t.Errorf("%s: missing %q, %q", s, required, listed)
	}
	for _, c := range s.files {
		truncated := len(toc) == 1 && sstable.Attached(toc[0]) // SASI of 3.11 and 4.0
		if !slices.Contains(toc, c) && !truncated {
			t.Errorf("%s: %s is not in TOC.txt %q", s, c, toc)
		}
	}
}

// checkChunks reads Data.db by CompressionInfo.db: every chunk has the checksum
// that follows it.
func (s set) checkChunks(t *testing.T) {
	t.Helper()
	if !slices.Contains(s.files, sstable.CompressionInfo) {
		return
	}
	c, err := sstable.ParseCompression(s.name, s.read(t, sstable.CompressionInfo))
	if err != nil {
		t.Errorf("%s: %v", s, err)
		return
	}
	data := s.read(t, sstable.Data)
	size := int64(len(data))
	if err := c.Check(size); err != nil {
		t.Errorf("%s: %v", s, err)
		return
	}
	if c.Check(c.Offsets[len(c.Offsets)-1]) == nil {
		t.Errorf("%s: a Data.db without its last chunk is accepted", s)
	}
	for i := range c.Offsets {
		at, n := c.Chunk(i, size)
		if got, want := s.name.Checksum(data[at:at+n]), binary.BigEndian.Uint32(data[at+n:]); got != want {
			t.Errorf("%s: chunk %d of %d: checksum %08x, stored %08x", s, i, len(c.Offsets), got, want)
		}
		flipped := bytes.Clone(data[at : at+n+4])
		flipped[i%len(flipped)] ^= 1
		if !s.name.Checked(data[at:at+n+4]) || s.name.Checked(flipped) || s.name.Checked(flipped[:3]) {
			t.Errorf("%s: chunk %d of %d: with its checksum and with a flipped bit, it is called alike", s, i, len(c.Offsets))
		}
	}
}

// checkDigest compares Data.db with the digest, of which there is one.
func (s set) checkDigest(t *testing.T) {
	t.Helper()
	found := 0
	for _, component := range s.files {
		sum := sstable.NewDigest(component)
		if sum == nil {
			continue
		}
		found++
		sum.Write(s.read(t, sstable.Data))
		if want, ok := sstable.ParseDigest(s.read(t, component)); !ok || sum.Sum32() != want {
			t.Errorf("%s: digest %d, %s says %d, %v", s, sum.Sum32(), component, want, ok)
		}
	}
	if found != 1 {
		t.Errorf("%s: %d digests", s, found)
	}
}

// checkKeys compares the first and last key of Summary.db with the first and last
// of Index.db and with Statistics.db, and the order of all keys with their tokens.
func (s set) checkKeys(t *testing.T) {
	t.Helper()
	first, last := s.stats.FirstKey, s.stats.LastKey
	murmur := strings.HasSuffix(s.stats.Partitioner, "Murmur3Partitioner")
	if hasKeys := s.name.Format == "bti" || s.name.Version >= "oa"; hasKeys != (first != nil) {
		t.Errorf("%s: first key %x", s, first)
	}
	if s.name.Format == "bti" {
		if murmur && sstable.Murmur3Token(first) > sstable.Murmur3Token(last) {
			t.Errorf("%s: %x is after %x", s, first, last)
		}
		return
	}
	sumFirst, sumLast, ok := sstable.ParseSummaryKeys(s.read(t, sstable.Summary))
	keys := s.indexKeys(t)
	if !ok || string(keys[0]) != string(sumFirst) || string(keys[len(keys)-1]) != string(sumLast) {
		t.Errorf("%s: Summary.db says %x to %x, %v; Index.db has %x to %x", s, sumFirst, sumLast, ok, keys[0], keys[len(keys)-1])
	}
	if first != nil && (string(first) != string(sumFirst) || string(last) != string(sumLast)) {
		t.Errorf("%s: Summary.db says %x to %x, Statistics.db %x to %x", s, sumFirst, sumLast, first, last)
	}
	inOrder := slices.IsSortedFunc(keys, func(a, b []byte) int {
		if sstable.Murmur3Token(a) < sstable.Murmur3Token(b) {
			return -1
		}
		return 1
	})
	if murmur && !inOrder {
		t.Errorf("%s: the keys of Index.db are not in the order of their tokens", s)
	}
}

// indexKeys are all keys of Index.db: u16 length, key, position, length and bytes
// of a promoted index; the numbers are vints since ma.
func (s set) indexKeys(t *testing.T) [][]byte {
	t.Helper()
	var keys [][]byte
	vint := func(b []byte) (uint64, []byte) {
		more := 0
		for m := byte(0x80); b[0]&m != 0 && m != 0; m >>= 1 {
			more++
		}
		v := uint64(b[0]) & (0xff >> more)
		for _, c := range b[1 : 1+more] {
			v = v<<8 | uint64(c)
		}
		return v, b[1+more:]
	}
	for b := s.read(t, sstable.Index); len(b) > 0; {
		n := binary.BigEndian.Uint16(b)
		keys = append(keys, b[2:2+n])
		b = b[2+n:]
		var promoted uint64
		if s.name.Version < "ma" {
			promoted, b = uint64(binary.BigEndian.Uint32(b[8:])), b[12:]
		} else {
			_, b = vint(b)
			promoted, b = vint(b)
		}
		b = b[promoted:]
	}
	return keys
}

// checkRows compares rows that were read from the node at the end with the rows of
// the snapshot taken then, for tables that were only inserted into and were
// compacted to one SSTable per data directory.
func checkRows(t *testing.T, node string, sets []set) {
	t.Helper()
	for _, table := range []string{"shop.c_lz4_4k", "shop.c_none", "shop.c_snappy"} {
		b, err := os.ReadFile(filepath.Join(node, "rows", table+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var rows struct{ End []json.RawMessage }
		if err := json.Unmarshal(b, &rows); err != nil {
			t.Fatal(err)
		}
		var got int64
		found := 0
		keyspace, name, _ := strings.Cut(table, ".")
		for _, s := range sets {
			if ok, _ := filepath.Match(filepath.Join(node, "data?", keyspace, name+"-*", "snapshots", "end.1 of day"), s.dir); !ok {
				continue
			}
			found++
			got += s.stats.Rows
		}
		want := int64(len(rows.End))
		if sets[0].name.Version == "ka" {
			want = 0
		}
		if found == 0 || got != want {
			t.Errorf("%s: %d SSTables with %d rows, want %d", table, found, got, want)
		}
	}
}
