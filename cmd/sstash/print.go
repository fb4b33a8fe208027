package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// print writes a verb's result to stdout: doc with --json, else what human writes, whose tabs become
// columns.
func (a *app) print(doc any, human func(w io.Writer)) error {
	if a.json {
		e := json.NewEncoder(a.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	human(w)
	return w.Flush()
}

// list makes an empty list of one that is not there: JSON gets [] and never null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", humanize.Comma(int64(n)), noun)
}
