package uploader

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/bucket/buckettest"
	"github.com/sstash/sstash/internal/sstable"
)

// damages returns ways to damage an SSTable of one LZ4 Data.db, by what is found of it: "damage" for chunks
// without their checksums or in another place, or a reason why rows are not in columns.
func damages(n *node) map[string][]func(map[string][]byte) {
	ways := map[string][]func(map[string][]byte){}
	change := func(found, component string, f func([]byte) []byte) {
		ways[found] = append(ways[found], func(set map[string][]byte) { set[component] = f(bytes.Clone(set[component])) })
	}
	r := rand.New(rand.NewPCG(1, 2))
	flip := func(b []byte) []byte {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return b
	}
	for range 25 {
		change("damage", sstable.Data, flip)
		change("", sstable.CompressionInfo, flip) // the version of LZ4's settings, say, is not looked at
		change("", sstable.Statistics, flip)
		change("", sstable.Filter, flip)
		change("", sstable.Index, flip)
	}
	info := n.components("5.0.8-nb", "c_lz4_4k")[sstable.CompressionInfo]
	name, _ := sstable.ParseName("nb-1-big-Data.db")
	_, head, err := sstable.ParseCompressionHead(name, info)
	n.must(err)
	misplaced := func(left int) string {
		if int64(left) < head {
			return string(chunker.PlainChunk)
		}
		return "damage"
	}
	for i := range 8 {
		cut := func(b []byte) []byte { return b[:len(b)*i/8] }
		change("damage", sstable.Data, cut)
		change(misplaced(len(info)*i/8), sstable.CompressionInfo, cut)
		change(string(chunker.PlainSchema), sstable.Statistics, func(b []byte) []byte { return b[:i] })
	}
	for _, at := range []uint64{0, 1, 3, 1 << 20, 1 << 40, 1 << 63, 1<<64 - 1} {
		change("damage", sstable.CompressionInfo, func(b []byte) []byte { // the second of three offsets
			binary.BigEndian.PutUint64(b[len(b)-16:], at)
			return b
		})
	}
	other := n.components("5.0.8-nb", "hits")[sstable.Statistics]
	change(string(chunker.PlainGrammar), sstable.Statistics, func([]byte) []byte { return other })
	return ways
}

// What is damaged is stored as it is, told of, and harms no other SSTable.
func TestI10_DamagedFiles(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	n.Uploader.Level = chunker.Balanced
	n.Tables = map[string]chunker.Level{"shop": chunker.Balanced}
	whole := n.components("5.0.8-nb", "c_lz4_4k")
	for found, ways := range damages(n) {
		w := Increment{AsOf: n.now}
		odd := map[string]string{} // what was found, by stem
		for _, damage := range ways {
			for _, damage := range []func(map[string][]byte){damage, func(map[string][]byte) {}} {
				content := maps.Clone(whole)
				damage(content)
				set := n.write(table("c_lz4_4k"), fmt.Sprintf("nb-%d-big", len(n.content)), content)
				w.SSTables = append(w.SSTables, set)
			}
		}
		r, err := n.Increment(context.Background(), w)
		if err != nil || len(r.Failed) != 0 {
			t.Fatalf("%s: %v, failed %v", found, err, r.Err())
		}
		for _, f := range r.Findings {
			odd[f.SSTable.Stem] = string(f.Plain)
			if f.Damage != "" {
				odd[f.SSTable.Stem] = "damage"
			}
		}
		for i, set := range w.SSTables {
			n.wantStored(set)
			got, isOdd := odd[set.Stem]
			switch {
			case i%2 == 1 && (isOdd || n.transforms(set, sstable.Data)[chunker.Indexed] == 0):
				t.Errorf("beside %q: found %q of a set that is whole", found, got)
			case i%2 == 0 && found != "" && got != found:
				t.Errorf("way %d: found %q, want %q", i/2, got, found)
			}
		}
	}
	if n.Mismatches() != 0 {
		t.Errorf("%d mismatches", n.Mismatches())
	}
}

// One bit of Data.db is enough to be told of, whatever compressed it and whatever its level.
func TestI10_FlippedBits(t *testing.T) {
	for variant, tables := range map[string][]string{
		"5.0.8-nb":   {"c_lz4_4k", "c_lz4_high", "c_deflate", "c_snappy", "c_zstd", "c_noop", "c_none"},
		"3.11.19-me": {"c_lz4_4k", "c_none"},
	} {
		for _, level := range []chunker.Level{chunker.Fast, chunker.Balanced} {
			n := newNode(t, &buckettest.Memory{})
			n.Uploader.Level, n.Tables = level, map[string]chunker.Level{"shop": level}
			w := Increment{AsOf: n.now}
			for i, name := range tables {
				content := n.components(variant, name)
				content[sstable.Data][len(content[sstable.Data])*i/len(tables)] ^= 1 << i
				w.SSTables = append(w.SSTables, n.write(table(name), fmt.Sprintf("%s-%d-big", variant[len(variant)-2:], i+1), content))
			}
			// And one whose list of chunks is cut.
			content := n.components(variant, "c_deflate")
			info := content[sstable.CompressionInfo]
			content[sstable.CompressionInfo] = info[:len(info)-1]
			w.SSTables = append(w.SSTables, n.write(table("cut"), fmt.Sprintf("%s-99-big", variant[len(variant)-2:]), content))
			told := n.damaged(w)
			for _, set := range w.SSTables {
				n.wantStored(set)
				want := "1 of "
				switch set.Table.Name {
				case "c_none":
					want = "Data.db does not match its digest"
				case "cut":
					want = "chunks of Data.db are not where CompressionInfo.db says"
				}
				if why := told[set.Table.Name]; !strings.HasPrefix(why, want) {
					t.Errorf("%s, %s of %s: told %q, want %q", level, set.Table.Name, variant, why, want)
				}
			}
		}
	}
}

// Chunks without their checksums are counted in every piece, whatever it is stored as: 3.0 has CRC-32, 2.1 and
// 2.2 Adler-32; chunks that LZ4 did not write are none that it can undo.
func TestI10_DamagedChunksAreCounted(t *testing.T) {
	for _, level := range []chunker.Level{chunker.Fast, chunker.Balanced, chunker.Dense} {
		n := newNode(t, &buckettest.Memory{})
		n.Uploader.Level, n.Tables = level, map[string]chunker.Level{"shop": level}
		w := Increment{AsOf: n.now}
		for _, compressor := range []string{"LZ4Compressor", "SnappyCompressor"} {
			for _, stem := range []string{"nb-1-big", "la-1-big"} {
				content := n.components("5.0.8-nb", "c_lz4_64k")
				name, _ := sstable.ParseName(stem + "-Data.db")
				content[sstable.CompressionInfo], content[sstable.Data] = randomChunks(name, compressor, 130, 3, 100, 129)
				w.SSTables = append(w.SSTables, n.write(table(compressor+name.Version), stem, content))
			}
		}
		told := n.damaged(w)
		for _, set := range w.SSTables {
			n.wantStored(set)
			if why, want := told[set.Table.Name], "3 of 130 chunks"; !strings.HasPrefix(why, want) {
				t.Errorf("%s at %s: told %q, want %s", set.Table.Name, level, why, want)
			}
		}
	}
}

// randomChunks makes so many chunks of 64 KiB, of which 64 are a piece, and their list. The damaged have another
// checksum.
func randomChunks(name sstable.Name, compressor string, count int, damaged ...int) (info, data []byte) {
	const length = 64 << 10
	u32 := binary.BigEndian.AppendUint32
	info = binary.BigEndian.AppendUint16(nil, uint16(len(compressor)))
	info = u32(append(info, compressor...), 0) // no options
	info = u32(info, length)
	if name.Version >= "na" {
		info = u32(info, 1<<31-1) // every chunk is compressed
	}
	info = binary.BigEndian.AppendUint64(info, uint64(count*length))
	info = u32(info, uint32(count))
	r := rand.NewChaCha8([32]byte{1})
	for i := range count {
		info = binary.BigEndian.AppendUint64(info, uint64(len(data)))
		chunk := make([]byte, length-i)
		r.Read(chunk) // never fails
		sum := name.Checksum(chunk)
		if slices.Contains(damaged, i) {
			sum ^= 1
		}
		data = u32(append(data, chunk...), sum)
	}
	return info, data
}

// damaged stores w, and returns what was told of damage, by table.
func (n *node) damaged(w Increment) map[string]string {
	n.t.Helper()
	r, err := n.Increment(context.Background(), w)
	n.must(err)
	told := map[string]string{}
	for _, f := range r.Findings {
		told[f.SSTable.Table.Name] = f.Damage
	}
	return told
}

// A digest that is another (scrub leaves such), missing, or no number, as that of 2.0, tells of nothing where
// chunks have their checksums; and where there are none, only another one does.
func TestDigests(t *testing.T) {
	for digest, told := range map[string]bool{
		"1234567890": true, "": false, "-1": false, "4294967296": false,
		"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12  nb-1-big-Data.db\n": false,
	} {
		n := newNode(t, &buckettest.Memory{})
		w := Increment{AsOf: n.now}
		for i, name := range []string{"c_lz4_4k", "c_none"} {
			content := n.components("5.0.8-nb", name)
			content["Digest.crc32"] = []byte(digest)
			if digest == "" {
				delete(content, "Digest.crc32")
			}
			w.SSTables = append(w.SSTables, n.write(table(name), fmt.Sprintf("nb-%d-big", i+1), content))
		}
		if got := n.damaged(w); (got["c_none"] != "") != told || got["c_lz4_4k"] != "" {
			t.Errorf("digest %q: told %q", digest, got)
		}
	}
}

// Nobody is told of what is as it should be: other compressors, no compression.
func TestNothingIsFound(t *testing.T) {
	for variant, tables := range map[string][]string{
		"5.0.8-nb":   {"c_lz4_4k", "c_lz4_64k", "c_lz4_high", "c_deflate", "c_none", "c_minratio", "types", "hits", "colls"},
		"3.11.19-me": {"types", "wide", "c_deflate"},
	} {
		for _, level := range []chunker.Level{chunker.Fast, chunker.Balanced} {
			n := newNode(t, &buckettest.Memory{})
			n.Uploader.Level, n.Tables = level, map[string]chunker.Level{"shop": level}
			w := Increment{AsOf: n.now}
			for _, name := range tables {
				w.SSTables = append(w.SSTables, n.fixture(variant, name))
			}
			r, err := n.Increment(context.Background(), w)
			if err != nil || len(r.Findings) != 0 || len(r.Failed) != 0 {
				t.Errorf("%s, %s: found %+v, %v, %v", level, variant, r.Findings, r.Err(), err)
			}
		}
	}
}

// A version that is not known is told of, but not where nobody looked.
func TestUnknownVersionIsFound(t *testing.T) {
	n := newNode(t, &buckettest.Memory{})
	n.Tables = map[string]chunker.Level{"shop": chunker.Balanced, "shop.fast": chunker.Fast}
	content := n.components("5.0.8-nb", "types")
	sets := []sstable.SSTable{n.write(table("types"), "qa-1-big", content), n.write(table("fast"), "qa-2-big", content)}
	r, err := n.Increment(context.Background(), Increment{AsOf: n.now, SSTables: sets})
	n.must(err)
	if len(r.Findings) != 1 || r.Findings[0].Version() != "qa-big" || r.Findings[0].Plain == "" || r.Findings[0].Damage != "" {
		t.Errorf("found %+v", r.Findings)
	}
}
