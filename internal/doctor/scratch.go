package doctor

import "os/exec"

// scratch looks for the command with which a restore to a moment replays the commit log. Whether that
// Cassandra is isolated, only a start can tell: that is for `sstash drill`.
func (n Node) scratch(found *Findings) {
	const check, remedy = "scratch node", "set cassandra.scratch to a command that starts Cassandra in the foreground; then try it with `sstash drill`"
	c := n.Config.Cassandra
	if c.YAML == "" {
		return
	}
	if len(c.Scratch) == 0 {
		found.warn(check, remedy, "not configured: a restore reaches no moment between two flushes")
		return
	}
	path, err := exec.LookPath(c.Scratch[0])
	if err != nil {
		found.warn(check, remedy, "a restore reaches no moment between two flushes: %v", err)
		return
	}
	found.ok(check, "%s; `sstash drill` tries it", path)
}
