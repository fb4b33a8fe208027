package restore

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// durableSelf is set, to the directory to restore to, in a process of its own, for strace to look at.
const durableSelf = "SSTASH_TEST_DURABLE_SELF"

var (
	syncCall   = regexp.MustCompile(`^(\d+) +fsync\(\d+<(.*)>(\) += 0| <unfinished ...>)$`)
	syncEnd    = regexp.MustCompile(`^(\d+) +<... fsync resumed>\) += 0$`)
	renameCall = regexp.MustCompile(`^\d+ +renameat2?\(\d+<(.*)>, "(.*)", \d+<(.*)>, "([^"]*)"`)
)

// A file has its final name only when its content is durable, and the name is durable in the end: a
// journal that says so must not outlive a loss of power that the file did not.
func TestStageSyncsBeforeItRenames(t *testing.T) {
	if dir := os.Getenv(durableSelf); dir != "" {
		w, _ := small(t)
		w.stage(w.plan(Request{To: dir}))
		return
	}
	dir, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	traced := exec.Command("strace", "-f", "-y", "-s", "4096", "-e", "signal=none", "-e", "trace=fsync,renameat,renameat2", "-o", log,
		os.Args[0], "-test.run=^"+t.Name()+"$")
	traced.Env = append(os.Environ(), durableSelf+"="+dir)
	if out, err := traced.CombinedOutput(); err != nil {
		t.Fatalf("strace (which make test installs, and which needs ptrace(2)): %v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	syncing, synced, open := map[string]string{}, map[string]bool{}, map[string]bool{} // by thread, path, directory
	placed := 0
	for line := range strings.Lines(string(calls)) {
		line = strings.TrimSpace(line)
		done := ""
		if m := syncCall.FindStringSubmatch(line); m != nil {
			if syncing[m[1]] = m[2]; strings.HasPrefix(m[3], ")") {
				done = m[2]
			}
		} else if m := syncEnd.FindStringSubmatch(line); m != nil {
			done = syncing[m[1]]
		} else if m := renameCall.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[2], tempPrefix) {
			placed++
			if !synced[filepath.Join(m[1], m[2])] {
				t.Errorf("%s gets its name before its content is durable", filepath.Join(m[3], m[4]))
			}
			open[m[3]] = true
		}
		synced[done] = true
		delete(open, done)
	}
	if want := len(tree(t, dir)); placed == 0 || placed != want {
		t.Errorf("saw %d files placed, and there are %d", placed, want)
	}
	for dir := range open {
		t.Errorf("%s has new names, and was not synced since", dir)
	}
}
