package watcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/internal/sstable"
)

const id = "6beb05b0e58d11f1a7ef0d05e55e29f6"

// touch makes empty files and the directories that they need. A path that ends in a
// slash is a directory only.
func touch(t testing.TB, root string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		full := filepath.Join(root, p)
		dir := filepath.Dir(full)
		if strings.HasSuffix(p, "/") {
			dir = full
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == full {
			continue
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func scan(t testing.TB, dirs ...string) Listing {
	t.Helper()
	l, err := Scan(context.Background(), dirs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// places are the sets of a listing as paths below root.
func places(root string, sets []sstable.SSTable) (paths []string) {
	for _, s := range sets {
		rel, _ := filepath.Rel(root, filepath.Join(s.DataDir, s.Dir, s.Stem))
		paths = append(paths, rel)
	}
	return paths
}

func relative(root string, paths []string) (rels []string) {
	for _, p := range paths {
		rel, _ := filepath.Rel(root, p)
		rels = append(rels, rel)
	}
	return rels
}

func wantList(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// Whatever changes in backups/ or snapshots/ ends the quiet: a file, another link to one, one that goes.
func TestScanQuiet(t *testing.T) {
	s := newScript(t, false)
	live := filepath.Join(s.root, "data1/ks/t/nb-1-big")
	s.run("create", []string{"data1/ks/t/nb-1-big"})
	dirs := []string{"data1/ks/t/backups", "data1/ks/t/backups/.index", "data2/ks/t/snapshots/tag", "data2/ks/t/snapshots/tag/.index"}
	changes := map[string]func() error{
		"another link": func() error { return os.Link(live+"-Data.db", filepath.Join(s.root, "elsewhere")) },
	}
	for _, dir := range dirs {
		s.run("link", []string{"data1/ks/t/nb-1-big", dir})
		path := filepath.Join(s.root, dir, "nb-1-big-")
		if dir != dirs[0] {
			changes[dir+": a link goes"] = func() error { return os.Remove(path + "TOC.txt") }
		}
		changes[dir+": a file is written"] = func() error { return os.WriteFile(path+"Statistics.db", nil, 0o600) }
	}
	const tick = 20 * time.Millisecond // more than that of the clock that file systems use
	for what, change := range changes {
		time.Sleep(2 * tick)
		if got := scan(t, s.dirs...).Quiet; got < 2*tick {
			t.Errorf("before %s: quiet for %s", what, got)
		}
		began := time.Now()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if got := scan(t, s.dirs...).Quiet; got > time.Since(began)+tick {
			t.Errorf("%s: quiet for %s", what, got)
		}
	}
}

// Names mean nothing, depth does.
func TestScanPlacesByDepth(t *testing.T) {
	root := t.TempDir()
	touch(t, root,
		"backups/snapshots-"+id+"/nb-9-big-Data.db",
		"backups/snapshots-"+id+"/backups/nb-1-big-Data.db",
		"backups/snapshots-"+id+"/backups/.snapshots/nb-1-big-Data.db",
		"backups/snapshots-"+id+"/snapshots/backups/nb-2-big-Data.db",
		"backups/snapshots-"+id+"/snapshots/backups/.backups/nb-2-big-Data.db",
		"snapshots/backups/backups/nb-3-big-Data.db",
		"snapshots/backups/snapshots/manifest.json/nb-3-big-Data.db",
		"Shop/Orders/.idx/nb-8-big-Data.db",
		"Shop/Orders/backups/",
	)
	l := scan(t, root)
	wantList(t, "backups", places(root, l.Backups),
		"backups/snapshots-"+id+"/backups/nb-1-big",
		"backups/snapshots-"+id+"/backups/.snapshots/nb-1-big",
		"snapshots/backups/backups/nb-3-big")
	var tags []string
	for _, sn := range l.Snapshots {
		tags = append(tags, sn.Table.Keyspace+"."+sn.Table.Name+" "+sn.Tag)
		tags = append(tags, places(root, sn.SSTables)...)
	}
	wantList(t, "snapshots", tags,
		"backups.snapshots backups",
		"backups/snapshots-"+id+"/snapshots/backups/nb-2-big",
		"backups/snapshots-"+id+"/snapshots/backups/.backups/nb-2-big",
		"snapshots.backups manifest.json",
		"snapshots/backups/snapshots/manifest.json/nb-3-big")
	var tables []string
	for _, table := range l.Tables {
		tables = append(tables, table.Keyspace+"/"+table.Dir())
	}
	wantList(t, "tables", tables, "Shop/Orders", "backups/snapshots-"+id, "snapshots/backups")
	wantList(t, "unknown", l.Unknown)
	if index := l.Backups[1].Index; index != ".snapshots" {
		t.Errorf("index %q", index)
	}
	if l.Partial() || l.Started.IsZero() || l.Ended.Before(l.Started) {
		t.Errorf("errors %v, from %s to %s", l.Errors, l.Started, l.Ended)
	}
}

// A set has its files in order, with what tells them from all others (I8).
func TestI8_ScanFingerprints(t *testing.T) {
	root := t.TempDir()
	dir := "ks/t/backups/"
	touch(t, root, dir+"nb-10-big-Data.db", dir+"nb-1-big-TOC.txt", dir+"nb-1-big-Data.db", dir+"nb-1-big-SAI+aa+i+TermsData.db")
	if err := os.Link(filepath.Join(root, dir, "nb-1-big-Data.db"), filepath.Join(root, "other")); err != nil {
		t.Fatal(err)
	}
	l := scan(t, root)
	wantList(t, "unknown", relative(root, l.Unknown), "other")
	wantList(t, "sets", places(root, l.Backups), "ks/t/backups/nb-1-big", "ks/t/backups/nb-10-big")
	wantList(t, "files", l.Backups[0].Components(), "Data.db", "SAI+aa+i+TermsData.db", "TOC.txt")
	for _, f := range l.Backups[0].Files {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(root, l.Backups[0].Rel(f.Component)), &st); err != nil {
			t.Fatal(err)
		}
		if f.Inode != st.Ino || f.Mtime != st.Mtim.Nano() || f.Size != st.Size || f.Links != uint64(st.Nlink) || f.FS == 0 {
			t.Errorf("%s: %+v, want %+v", f.Component, f, st)
		}
	}
}

func TestScanMergesDataDirs(t *testing.T) {
	root := t.TempDir()
	table := "ks/t-" + id
	touch(t, root,
		"data1/"+table+"/snapshots/a b/nb-1-big-Data.db",
		"data1/"+table+"/snapshots/a b/schema.cql",
		"data2/"+table+"/snapshots/a b/manifest.json",
		"data2/"+table+"/snapshots/a b/.idx/nb-1-big-Data.db",
		"data2/"+table+"/snapshots/ephemeral/ephemeral.snapshot",
		"data2/"+table+"/backups/nb-3-big-Data.db",
		"data1/"+table+"/backups/nb-2-big-Data.db",
	)
	data2 := filepath.Join(root, "linked") // a data directory itself may be a symbolic link
	if err := os.Symlink("data2", data2); err != nil {
		t.Fatal(err)
	}
	l := scan(t, filepath.Join(root, "data1"), data2+"/")
	wantList(t, "backups", places(root, l.Backups), "data1/"+table+"/backups/nb-2-big", "linked/"+table+"/backups/nb-3-big")
	if len(l.Snapshots) != 2 || len(l.Tables) != 1 {
		t.Fatalf("snapshots %+v, tables %v", l.Snapshots, l.Tables)
	}
	a := l.Snapshots[0]
	wantList(t, "sets", places(root, a.SSTables), "data1/"+table+"/snapshots/a b/nb-1-big", "linked/"+table+"/snapshots/a b/.idx/nb-1-big")
	if len(a.Manifests) != 1 || len(a.Schemas) != 1 || a.LegacyEphemeral ||
		a.Manifests[0].Path() != filepath.Join(data2, table, "snapshots/a b/manifest.json") {
		t.Errorf("%+v", a)
	}
	if b := l.Snapshots[1]; b.Tag != "ephemeral" || !b.LegacyEphemeral {
		t.Errorf("%+v", b)
	}
}

// Nothing but plain files and directories is looked into, wherever it is.
func TestScanIsConfined(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "outside/t/backups/nb-1-big-Data.db", "outside/nb-1-big-Data.db", "data/ks/t/backups/", "data/ks/t/snapshots/x/")
	links := []string{"ks2", "ks/t2", "ks/t/backups/.idx", "ks/t/backups/nb-2-big-Data.db", "ks/t/snapshots/y", "ks/t/snapshots/x/.idx",
		"ks/t/snapshots/x/manifest.json", "ks/t/snapshots/x/nb-2-big-Data.db", "lost+found"}
	for _, link := range links {
		if err := os.Symlink(filepath.Join(root, "outside"), filepath.Join(root, "data", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "data/ks/t/backups/nb-3-big-Data.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := scan(t, filepath.Join(root, "data"))
	wantList(t, "backups", places(root, l.Backups))
	if len(l.Snapshots) != 1 || len(l.Snapshots[0].SSTables)+len(l.Snapshots[0].Manifests) != 0 {
		t.Errorf("snapshots %+v", l.Snapshots)
	}
	wantList(t, "unknown", relative(filepath.Join(root, "data"), l.Unknown),
		"ks/t/backups/.idx", "ks/t/backups/nb-2-big-Data.db", "ks/t/backups/nb-3-big-Data.db", "ks/t/snapshots/x/.idx",
		"ks/t/snapshots/x/manifest.json", "ks/t/snapshots/x/nb-2-big-Data.db", "ks/t/snapshots/y")
	// A whole keyspace or table behind a symbolic link would not be backed up: that is an error.
	if len(l.Errors) != 2 || !strings.Contains(l.Errors[0].Error(), "ks/t2: not a directory") || !strings.Contains(l.Errors[1].Error(), "ks2: not a directory") {
		t.Errorf("errors %v", l.Errors)
	}
}

func TestScanUnknown(t *testing.T) {
	root := t.TempDir()
	touch(t, root,
		"file", "lost+found/x", "system/_paxos_repair_state/x", "system/other-dir/", "ks/file", "ks/t-zzz/", "ks/t/live.tmp",
		"ks/t/backups/nb-1-big-Data.db.tmp", "ks/t/backups/manifest.json", "ks/t/backups/dir/", "ks/t/backups/.idx/.deeper/",
		"ks/t/backups/tmp-lb-1-big-Data.db", "ks/t/snapshots/file", "ks/t/snapshots/x/dir/", "ks/t/snapshots/x/.idx/manifest.json")
	l := scan(t, root)
	wantList(t, "unknown", relative(root, l.Unknown),
		"file", "ks/file", "ks/t-zzz", "ks/t/backups/.idx/.deeper", "ks/t/backups/dir", "ks/t/backups/manifest.json",
		"ks/t/backups/nb-1-big-Data.db.tmp", "ks/t/backups/tmp-lb-1-big-Data.db", "ks/t/snapshots/file", "ks/t/snapshots/x/.idx/manifest.json",
		"ks/t/snapshots/x/dir", "system/other-dir")
	if len(l.Backups) > 0 || l.Partial() {
		t.Errorf("backups %v, errors %v", l.Backups, l.Errors)
	}
}

// What can't be listed is an error that leaves the rest, and marks the snapshots
// that it may be a part of.
func TestScanPartial(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "data1/ks/t/backups", "data1/ks/t/snapshots/x/manifest.json", "data1/ks/other/snapshots/x/manifest.json",
		"data1/ks2/t/snapshots/x/manifest.json", "data2/ks/t/backups/nb-1-big-Data.db", "data2/ks/")
	if err := os.Symlink("/", filepath.Join(root, "data2/ks2")); err != nil {
		t.Fatal(err)
	}
	l := scan(t, filepath.Join(root, "data1"), filepath.Join(root, "data2"))
	if len(l.Errors) != 2 || !l.Partial() {
		t.Errorf("errors %v", l.Errors)
	}
	wantList(t, "backups", places(root, l.Backups), "data2/ks/t/backups/nb-1-big")
	var partial []string
	for _, sn := range l.Snapshots {
		if sn.Partial {
			partial = append(partial, sn.Table.Keyspace+"/"+sn.Table.Name)
		}
	}
	wantList(t, "partial", partial, "ks/t", "ks2/t")
}

func TestScanDataDirErrors(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "file", "data/ks/t/backups/nb-1-big-Data.db")
	data := filepath.Join(root, "data")
	if err := os.Symlink("data", filepath.Join(root, "again")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dirs []string
		want string
		is   error
	}{
		"none":           {nil, "no data directories", nil},
		"missing":        {[]string{data, filepath.Join(root, "gone")}, "gone", fs.ErrNotExist},
		"a file":         {[]string{filepath.Join(root, "file")}, "file", unix.ENOTDIR},
		"the same twice": {[]string{data, filepath.Join(root, "again")}, "are the same", nil},
	} {
		l, err := Scan(context.Background(), c.dirs)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) || len(l.Backups) > 0 {
			t.Errorf("%s: %v, %v", name, l.Backups, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Scan(ctx, []string{data}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestScanEmpty(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "ks/t/backups/", "ks/t/snapshots/x/", "ks/u/", "ks3/")
	l := scan(t, root)
	if len(l.Backups)+len(l.Unknown)+len(l.Errors) != 0 || len(l.Tables) != 2 || len(l.Snapshots) != 1 {
		t.Errorf("%+v", l)
	}
	wantList(t, "absent", relative(root, l.absent), "ks/u/backups", "ks/u/snapshots")
	wantList(t, "directories", relative(root, l.directories), ".", "ks", "ks/t/backups", "ks/t/snapshots", "ks3")
}

// Links come and go during a scan; what is gone is not there, and is no error.
func TestScanWhileFilesVanish(t *testing.T) {
	root := t.TempDir()
	touch(t, root, "source", "ks/t/backups/", "ks/t/snapshots/")
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tag := filepath.Join(root, "ks/t/snapshots/x")
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			link := filepath.Join(root, "ks/t/backups/nb-1-big-Data.db")
			_ = os.Link(filepath.Join(root, "source"), link)
			_ = os.MkdirAll(tag, 0o755)
			_ = os.Link(filepath.Join(root, "source"), filepath.Join(tag, "nb-1-big-Data.db"))
			_ = os.RemoveAll(tag)
			_ = os.Remove(link)
		}
	}()
	for range 200 {
		if l := scan(t, root); l.Partial() {
			t.Fatal(l.Errors)
		}
	}
	close(stop)
	<-stopped
}
