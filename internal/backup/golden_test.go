package backup

import (
	"testing"
	"time"
)

// The order of operations is the contract (I2): packs, then the manifest that names them. Small
// SSTables share a pack; a full of what is stored is one manifest and no pack.
func TestTraceOfALife(t *testing.T) {
	w := newWorld(t, newMemory(), newDatabase(t, t.TempDir(), newClock(), nil, 1))
	w.cached = true
	var got string
	note := func() {
		got += trace(w.fault.Trace()) + "--\n"
		w.arm(0)
	}
	w.db.flush(users)
	w.open()
	note()
	w.full()
	w.settle()
	note()
	w.db.flush(users)
	w.db.flush(events)
	w.settle()
	note()
	w.settle()
	note()
	w.restart()
	note()
	w.clock.advance(24 * time.Hour)
	w.full()
	w.settle()
	note()
	w.db.snapshot("theirs")
	w.settle()
	note()
	const want = `list manifests/
put manifests/0000000001
--
put manifests/0000000002
put packs/a-000000
put manifests/0000000003
--
put packs/a-000000
put manifests/0000000004
--
--
get manifests/0000000004
list manifests/
list manifests/
put manifests/0000000005
--
put manifests/0000000006
--
put manifests/0000000007
--
`
	if got != want {
		t.Errorf("operations:\n%s\nwant:\n%s", got, want)
	}
	w.check()
}
