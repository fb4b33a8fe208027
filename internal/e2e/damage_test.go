package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

// backedUp is a copied tree with a backup of it, and what that restores.
func backedUp(t *testing.T) (*copied, map[string]chunker.Hash) {
	t.Helper()
	c := copyTree(t).clone(t, "node")
	if err := c.backup(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := c.converged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, want
}

// What is damaged in the bucket is named and left out, all else is restored; once the object is
// mended, the next restore finishes.
func TestDamagedPack(t *testing.T) {
	c, want := backedUp(t)
	a := archived(t, c.bucket)
	var name string // of the one with the most in it
	for n, p := range a.packs {
		if name == "" || len(p.Frames) > len(a.packs[name].Frames) {
			name = n
		}
	}
	object := filepath.Join(c.dir, "bucket", a.prefix, name)
	whole, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	frame := a.packs[name].Frames[len(a.packs[name].Frames)/2]
	flipped[frame.Off+frame.Len/2] ^= 0x10

	for what, data := range map[string][]byte{"a bit": flipped, "cut": whole[:len(whole)/2], "missing": nil} {
		t.Run(what, func(t *testing.T) {
			replace(t, object, data)
			to := filepath.Join(t.TempDir(), "restored")
			_, err := c.Command(t.Context(), "restore", "--at", "latest", "--to", to)
			if exitCode(err) != 3 || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "backups.kv") {
				t.Errorf("restore: %v; want exit status 3, the object and the table", err)
			}
			got := placed(t, to)
			if len(got) >= len(want) {
				t.Errorf("%d files of %d were restored from damage", len(got), len(want))
			}
			if what == "a bit" && len(got) != len(want)-1 {
				t.Errorf("%d files of %d were restored, one was damaged", len(got), len(want))
			}
			for path, hash := range got {
				if want[path] != hash {
					t.Errorf("%s was restored, and wrong", path)
				}
			}
			replace(t, object, whole)
			if _, err := c.Command(t.Context(), "restore", "--at", "latest", "--to", to); err != nil {
				t.Fatal(err)
			}
			if got := placed(t, to); !maps.Equal(got, want) {
				t.Errorf("%d files were restored after mending, want %d; or they differ", len(got), len(want))
			}
		})
	}
}

// A frame that inflates to more than the history says of it is found out, by a restore and by a
// verification. Everything around it is as it must be, checksums included.
func TestBomb(t *testing.T) {
	c, want := backedUp(t)
	a := archived(t, c.bucket)
	const tail = 32 // a pack ends with its own checksum
	var name string
	var frame pack.FrameRef // the longest that is compressed
	for n, p := range a.packs {
		for _, f := range p.Frames {
			if f.Codec == chunker.Zstd && f.Len > frame.Len {
				name, frame = n, f
			}
		}
	}
	path := filepath.Join(c.dir, "bucket", a.prefix, name)
	object, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(object[frame.Off:], bomb(frame.Raw, int(frame.Len)))
	sum := chunker.Sum(object[:len(object)-tail])
	copy(object[len(object)-tail:], sum[:])
	if _, err := pack.Open(object); err != nil {
		t.Fatal(err)
	}
	replace(t, path, object)

	_, err = c.Command(t.Context(), "restore", "--at", "latest", "--to", filepath.Join(c.dir, "bombed"))
	if exitCode(err) != 3 || !containsAll(err.Error(), []string{name, "backups.kv", "hint: "}) {
		t.Errorf("restore: %v; want exit status 3, the object, the table and a hint", err)
	}
	got := placed(t, filepath.Join(c.dir, "bombed"))
	for path, hash := range got {
		if want[path] != hash {
			t.Errorf("%s was restored, and wrong", path)
		}
	}
	if len(got) != len(want)-1 {
		t.Errorf("%d files were restored, want all %d but one", len(got), len(want))
	}
	found, err := c.Command(t.Context(), "verify", "--deep")
	if exitCode(err) != 1 || !containsAll(found, []string{name, "backups.kv"}) {
		t.Errorf("verify: %v; want exit status 1, the object and the table:\n%s", err, found)
	}
}

// bomb is a zstd frame (RFC 8878) of so many bytes that declares raw bytes of content and has 128 KiB
// for every four of its own.
func bomb(raw uint32, size int) []byte {
	const block, last, repeated = 128 << 10, 1, 1 << 1
	b := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	b = append(b, 2<<6, 10<<3) // a content size of 4 bytes, a window of 1 MiB
	b = binary.LittleEndian.AppendUint32(b, raw)
	for size-len(b) >= 4+3 {
		b = append(b, repeated, block<<3>>8&0xff, block<<3>>16, 'x')
	}
	stored := size - len(b) - 3
	b = append(b, byte(stored<<3|last), byte(stored<<3>>8), 0)
	return append(b, make([]byte, stored)...)
}

// replace is what no bucket does: another content under a name. nil removes it.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	err := os.RemoveAll(path)
	if err == nil && data != nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// placed are the contents of the files restored to a directory, by path.
func placed(t *testing.T, to string) map[string]chunker.Hash {
	t.Helper()
	contents, _, err := restoredTo(to)
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// A manifest of a stranger is refused by all: nothing is restored, nothing is committed behind it, no
// file appears anywhere.
func TestForeignManifest(t *testing.T) {
	c, _ := backedUp(t)
	a := archived(t, c.bucket)
	newest := filepath.Join(c.dir, "bucket", a.prefix, fmt.Sprintf("manifests/%010d", len(a.manifests)))
	ours, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	table := func(body object) object { return first(body["tables"]) }
	sstable := func(body object) object { return first(table(body)["sstables"]) }
	for _, forged := range []struct {
		name, says string
		how        func(header, body object)
	}{
		{"a later format", "newer", func(header, _ object) { header["format"] = 2 }},
		{"a critical section", "newer", func(header, _ object) { header["critical"] = []string{"x"} }},
		{"another kind", "newer", func(header, _ object) { header["kind"] = "seal" }},
		{"another number", "", func(header, _ object) { header["seq"] = 1 }},
		{"another predecessor", "follow", func(header, _ object) { header["previous"] = strings.Repeat("0", 64) }},
		{"a keyspace outside", "..", func(_, body object) { table(body)["keyspace"] = "../../outside" }},
		{"a table outside", "..", func(_, body object) { table(body)["table"] = "../../outside" }},
		{"an absolute keyspace", "/outside", func(_, body object) { table(body)["keyspace"] = "/outside" }},
		{"an absolute stem", "/outside", func(_, body object) { sstable(body)["stem"] = "/outside/nb-1-big" }},
		{"an absolute component", "/outside", func(_, body object) {
			first(sstable(body)["components"])["name"] = "/outside/Data.db"
		}},
		{"an index outside", "..", func(_, body object) { sstable(body)["index"] = "../../outside" }},
		{"a stem outside", "..", func(_, body object) { sstable(body)["stem"] = "../../../outside/nb-1-big" }},
		{"a component outside", "..", func(_, body object) {
			first(sstable(body)["components"])["name"] = "../../../outside/Data.db"
		}},
	} {
		t.Run(forged.name, func(t *testing.T) {
			replace(t, newest, forge(t, ours, forged.how))
			defer replace(t, newest, ours)
			before := tree(t, c.dir)
			to := filepath.Join(c.dir, "to", "here")
			for _, args := range [][]string{{"restore", "--at", "latest", "--to", to}, {"backup"}} {
				if _, err := c.Command(t.Context(), args...); exitCode(err) != 1 || !containsAll(err.Error(), []string{forged.says, fmt.Sprint(len(a.manifests)), "hint: "}) {
					t.Errorf("%s: %v; want exit status 1, the entry, %q and a hint", args[0], err, forged.says)
				}
			}
			for _, path := range tree(t, c.dir) {
				if !slices.Contains(before, path) {
					t.Errorf("%s has appeared", path)
				}
			}
		})
	}
}

// object is one of JSON.
type object = map[string]any

func first(list any) object { return list.([]any)[0].(object) }

// forge changes a manifest as somebody would who knows the format.
func forge(t *testing.T, manifest []byte, how func(header, body object)) []byte {
	t.Helper()
	const tail = 8 + 32 // a skippable frame with a hash
	n := 8 + binary.LittleEndian.Uint32(manifest[4:])
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	raw, err := z.DecodeAll(manifest[n:len(manifest)-tail], nil)
	if err != nil {
		t.Fatal(err)
	}
	header, body := decode(t, manifest[8:n]), decode(t, raw)
	how(header, body)
	clear := encode(t, header)
	out := binary.LittleEndian.AppendUint32(bytes.Clone(manifest[:4]), uint32(len(clear)))
	out = append(out, clear...)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	out = w.EncodeAll(encode(t, body), out)
	sum := chunker.Sum(out)
	return append(append(out, manifest[len(manifest)-tail:len(manifest)-32]...), sum[:]...)
}

func decode(t *testing.T, b []byte) object {
	t.Helper()
	var o object
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // inodes don't fit into a float
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func encode(t *testing.T, o object) []byte {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tree lists everything below a directory but what a run leaves in the state directory.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	all, err := readFiles([]string{dir}, live)
	if err != nil {
		t.Fatal(err)
	}
	for path := range all {
		if !strings.HasPrefix(path, filepath.Join(dir, "state")) {
			paths = append(paths, path)
		}
	}
	return paths
}

// A disk that is full ends a restore before anything wrong stands there; after making room the next
// one finishes.
func TestRestoreToFullDisk(t *testing.T) {
	c, want := backedUp(t)
	for what, options := range map[string]string{"at once": "size=64k", "half-way": "nr_inodes=24"} {
		t.Run(what, func(t *testing.T) {
			d := newSmallDisk(t, t.TempDir(), options)
			to := filepath.Join(d.dir, "restored")
			restore := []string{"restore", "--at", "latest", "--to", to}
			if err := c.run(t.Context(), d.limit, restore...); err == nil {
				t.Error("a restore to a full disk succeeded")
			}
			for path, hash := range placed(t, to) {
				if want[path] != hash {
					t.Errorf("%s was restored, and wrong", path)
				}
			}
			d.grow(t)
			if err := c.run(t.Context(), nil, restore...); err != nil {
				t.Fatal(err)
			}
			if got := placed(t, to); !maps.Equal(got, want) {
				t.Errorf("%d files were restored after making room, want %d; or they differ", len(got), len(want))
			}
		})
	}
}

// The same for a bucket in a directory, full after every so many bytes.
func TestBackupToFullDisk(t *testing.T) {
	template, reference := copyTree(t), map[string]chunker.Hash(nil)
	for size := 4; ; size += 8 {
		c := template.clone(t, fmt.Sprint("bucket of ", size, " KiB"))
		d := newSmallDisk(t, filepath.Join(c.dir, "bucket"), fmt.Sprintf("size=%dk", size))
		failed := c.backup(t.Context(), d.limit...)
		if err := c.check(t.Context(), failed == nil); err != nil {
			t.Fatalf("%d KiB (%v): %v", size, failed, err)
		}
		d.grow(t)
		if err := c.backup(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := c.converged(t.Context())
		if err != nil {
			t.Fatalf("%d KiB (%v): %v", size, failed, err)
		}
		if reference == nil {
			reference = got
		}
		if !maps.Equal(got, reference) {
			t.Fatalf("%d KiB (%v): %d files were restored, want %d; or they differ", size, failed, len(got), len(reference))
		}
		if failed == nil {
			break
		}
	}
}

// smallDisk is a file system of its own. Where mount(2) is not allowed, it is a directory, and what
// is run with limit can't write files beyond a few KiB.
type smallDisk struct {
	dir     string
	limit   []string
	mounted bool
}

func newSmallDisk(t *testing.T, dir, options string) smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := smallDisk{dir: dir}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Logf("mount: %v; limiting the size of files instead", err)
		d.limit = []string{"prlimit", "--fsize=4096", "--"}
		return d
	}
	d.mounted = true
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d smallDisk) grow(t *testing.T) {
	t.Helper()
	if !d.mounted {
		return
	}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, "size=16m,nr_inodes=10k"); err != nil {
		t.Fatal(err)
	}
}
