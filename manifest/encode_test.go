package manifest

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
)

var update = flag.Bool("update", false, "write golden files that don't exist yet")

func users() sstable.Table {
	return sstable.Table{Keyspace: "shop", Name: "users", ID: "b2637280e58c11f199085b39e1f4c1a0"}
}

// example is one of everything that format 1 can say.
func example() *Manifest {
	at := time.Date(2026, 11, 22, 2, 0, 0, 123456000, time.UTC)
	set := pack.SetID{1, 2, 3}
	component := func(name, content string) Component {
		return Component{
			Name: name, Size: int64(len(content)), Hash: chunker.Sum([]byte(content)), Set: 0,
			List: pack.ListRef{Pack: 0, Off: 4096, Len: 77}, FS: 7, Inode: 4711, Mtime: at.UnixNano(),
		}
	}
	return &Manifest{
		Header: Header{
			Seq: 3, Time: at.Add(time.Minute), Kind: Full, Cluster: "prod", HostID: "1c380315-0000-4000-8000-000000000000",
			Writer: strings.Repeat("ab", 16), Nonce: strings.Repeat("cd", 16), Previous: chunker.Sum([]byte("2")), Base: 2,
			Keeps: []Keep{{Set: set, Packs: 1, Bytes: 5000, Raw: 20000, Bundle: true}},
		},
		Body: Body{
			AsOf:    at,
			Node:    &Node{Release: "5.0.8", Datacenter: "dc1", Rack: "r1", Partitioner: "Murmur3Partitioner", Tokens: []string{"-9223372036854775808", "0"}},
			Schema:  &Schema{Hash: "h", Statements: []string{`CREATE KEYSPACE shop …`}},
			Full:    &FullPart{Tag: "sstash-20261122T020000Z", Began: at, After: 1, All: true, Last: true},
			Pending: []string{"daily"},
			Tables: []Table{{
				Table: users(), Base: &Base{ID: "0011223344556677", Complete: true, SchemaCQL: "CREATE TABLE …"}, Proven: at,
				SSTables: []SSTable{{
					Index: ".users_city", Stem: "nb-12-big",
					Facts:      Facts{MinTimestamp: 1, MaxTimestamp: 2, MaxDeletionTime: 3, Level: 4, RepairedAt: 5, OriginHost: "h", FirstToken: "-1", LastToken: "1", Partitioner: "Murmur3Partitioner"},
					Components: []Component{component("Data.db", "rows"), component("SAI+aa+title+GroupComplete.db", "")},
				}},
				Superseded: []SSTable{{Stem: "nb-1-big", Components: []Component{{Name: "Data.db", Size: 9, FS: 7, Inode: 8, Mtime: 9}}}},
			}},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	want := example()
	object, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(object)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	h, sum, err := DecodeHeader(object)
	if err != nil || sum != want.Sum || !reflect.DeepEqual(h, want.Header) {
		t.Errorf("DecodeHeader: %+v, %v, %v", h, sum, err)
	}
}

// Golden files are read for ever; none is ever changed.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1-full.manifest")
	if _, err := os.Stat(path); *update && os.IsNotExist(err) {
		object, err := Encode(example())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, object, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	object, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(object)
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	want.Format, want.Sum = 1, got.Sum
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A stranger reads a manifest with zstd and jq.
func TestReadableByStrangers(t *testing.T) {
	object, err := Encode(example())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("zstd", "-dc")
	cmd.Stdin = strings.NewReader(string(object))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd -dc (Debian package zstd, which `make test` installs): %v", err)
	}
	var body map[string]any
	if err := json.Unmarshal(out, &body); err != nil {
		t.Fatal(err)
	}
	if tag := body["full"].(map[string]any)["tag"]; tag != "sstash-20261122T020000Z" {
		t.Errorf("tag %v", tag)
	}
}

func TestEveryBitFlipAndCutIsFound(t *testing.T) {
	object, err := Encode(example())
	if err != nil {
		t.Fatal(err)
	}
	for i := range object {
		for bit := range 8 {
			object[i] ^= 1 << bit
			if _, err := Decode(object); !errors.Is(err, chunker.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			object[i] ^= 1 << bit
		}
		if _, err := Decode(object[:i]); !errors.Is(err, chunker.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// Whoever can write to the bucket can make a manifest whose checksum is right.
func TestHostileManifestsAreRefused(t *testing.T) {
	f := func(what string, want error, change func(*Manifest)) {
		t.Helper()
		m := example()
		m.Format = Format
		change(m)
		if _, err := Decode(raw(t, m)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	sst := func(m *Manifest) *SSTable { return &m.Body.Tables[0].SSTables[0] }
	for _, name := range []string{"..", "../../etc/passwd", "/etc/passwd", "a/b", "", ".", "a\x00b", "-x", "a\nb", strings.Repeat("x", 300)} {
		f("keyspace "+name, chunker.ErrCorrupt, func(m *Manifest) { m.Body.Tables[0].Keyspace = name })
		f("table "+name, chunker.ErrCorrupt, func(m *Manifest) { m.Body.Tables[0].Name = name })
		f("stem "+name, chunker.ErrCorrupt, func(m *Manifest) { sst(m).Stem = name })
		f("component "+name, chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[0].Name = name })
		if name != "" {
			f("id "+name, chunker.ErrCorrupt, func(m *Manifest) { m.Body.Tables[0].ID = name })
			f("index "+name, chunker.ErrCorrupt, func(m *Manifest) { sst(m).Index = name })
			f("superseded stem "+name, chunker.ErrCorrupt, func(m *Manifest) { m.Body.Tables[0].Superseded[0].Stem = name })
		}
	}
	f("index ..", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Index = ".." })
	f("negative size", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[0].Size = -1 })
	f("set out of range", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[0].Set = 1 })
	f("pack out of range", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[0].List.Pack = m.Keeps[0].Packs })
	f("negative set", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[0].Set = -1 })
	f("same file twice", chunker.ErrCorrupt, func(m *Manifest) { sst(m).Components[1].Name = "Data.db" })
	f("base after seq", chunker.ErrCorrupt, func(m *Manifest) { m.Base = 4 })
	f("no sequence", chunker.ErrCorrupt, func(m *Manifest) { m.Seq, m.Base = 0, 0 })
	f("full without part", chunker.ErrCorrupt, func(m *Manifest) { m.Body.Full = nil })
	f("newer format", ErrNewer, func(m *Manifest) { m.Format = 2 })
	f("sealed", ErrNewer, func(m *Manifest) { m.Suite = 1 })
	f("unknown kind", ErrNewer, func(m *Manifest) { m.Kind = "merge" })
	f("critical", ErrNewer, func(m *Manifest) { m.Critical = []string{"recipes"} })
}

// raw encodes without validating.
func raw(t *testing.T, m *Manifest) []byte {
	t.Helper()
	header, err := json.Marshal(m.Header)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := appendSkippable(nil, magicHeader, header)
	out = compress(out, body)
	sum := chunker.Sum(out)
	return appendSkippable(out, magicSum, sum[:])
}

func FuzzDecode(f *testing.F) {
	object, err := Encode(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Fuzz(func(t *testing.T, b []byte) {
		// What the fuzzer changes would be stopped at the checksum: write it anew.
		if len(b) > tailSize {
			front := b[:len(b)-tailSize]
			sum := chunker.Sum(front)
			b = appendSkippable(front[:len(front):len(front)], magicSum, sum[:])
		}
		m, err := Decode(b)
		if err != nil {
			return
		}
		if _, err := Encode(m); err != nil {
			t.Errorf("decoded but does not encode: %v", err)
		}
	})
}
