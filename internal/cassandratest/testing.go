package cassandratest

import "testing"

// New starts a node for a test, in a temporary directory unless o names one. It
// is killed when the test ends, and its log shown if the test has failed.
func New(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, n) })
	return n
}

// NewRing is to StartRing what New is to Start.
func NewRing(t testing.TB, size int, o Options) []*Node {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	ring, err := StartRing(t.Context(), size, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range ring {
		t.Cleanup(func() { end(t, n) })
	}
	return ring
}

func end(t testing.TB, n *Node) {
	n.Kill()
	if t.Failed() {
		t.Logf("%s:\n%s", n.Log, n.LogTail())
	}
}
