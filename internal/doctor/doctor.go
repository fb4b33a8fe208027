// Package doctor tries everything that a backup or a restore will need, before it matters.
//
// Each check is a few findings: facts, each with a remedy where one is needed. A check changes nothing
// but what it says: it never creates a file in a database's directory, and its probe in the bucket has
// a name of its own.
package doctor

import (
	"fmt"
)

// Verdict says how bad a finding is.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // backups work; something is worse than it could be
	Fail Verdict = "fail" // backups or restores will not work
)

// Finding is what one check found.
type Finding struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Remedy  string  `json:"remedy"` // empty when there is nothing to do
}

// Findings are the results of checks, in their order.
type Findings []Finding

func (found *Findings) ok(name, format string, args ...any) {
	*found = append(*found, Finding{name, OK, fmt.Sprintf(format, args...), ""})
}

func (found *Findings) warn(name, remedy, format string, args ...any) {
	*found = append(*found, Finding{name, Warn, fmt.Sprintf(format, args...), remedy})
}

func (found *Findings) fail(name, remedy, format string, args ...any) {
	*found = append(*found, Finding{name, Fail, fmt.Sprintf(format, args...), remedy})
}

// Count is how many findings have a verdict.
func (found Findings) Count(v Verdict) (n int) {
	for _, f := range found {
		if f.Verdict == v {
			n++
		}
	}
	return n
}
