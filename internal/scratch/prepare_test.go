package scratch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is emptied is a directory of ours: not what a link leads to, and not what somebody else has put
// there, who could change what is started from it.
func TestPrepareEmptiesOurs(t *testing.T) {
	parent := t.TempDir()
	precious := filepath.Join(parent, "data", "precious")
	if err := os.MkdirAll(precious, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(parent, "link")
	if err := os.Symlink(filepath.Dir(precious), link); err != nil {
		t.Fatal(err)
	}
	r := Runner{Command: []string{"cassandra"}, Dir: link}
	if lock, err := r.prepare(); err == nil {
		lock.Close()
		t.Error("a link is taken for a directory of ours")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what a link leads to is gone: %v", err)
	}
	info, err := os.Stat(parent)
	if err != nil {
		t.Fatal(err)
	}
	if ownedBy(info, os.Geteuid()+1) || !ownedBy(info, os.Geteuid()) {
		t.Error("it is not told whose a directory is")
	}
	r.Dir = filepath.Join(parent, "data")
	lock, err := r.prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := os.Stat(precious); !os.IsNotExist(err) {
		t.Errorf("what an earlier run has left is still there: %v", err)
	}
	if info, err = os.Stat(r.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What a JVM takes from its environment does not show in its command line, where it would be looked for.
func TestEnvironmentIsNotTheNodes(t *testing.T) {
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JVM_OPTS"} {
		t.Setenv(name, "-Dcassandra.config=file:///etc/cassandra/cassandra.yaml")
	}
	n := &node{Runner: Runner{Dir: "/scratch"}}
	for _, v := range n.environ(nil) {
		if strings.Contains(v, "/etc/cassandra") {
			t.Errorf("the node's %s is passed on", v)
		}
	}
}
