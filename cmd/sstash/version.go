package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the source; empty where nobody knows
	Modified bool   `json:"modified"` // the source was not quite that revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version and what it was built from",
		Example: "  sstash version\n  sstash version --json",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(context.Context, []string) error {
			b := facts()
			return a.print(b, func(w io.Writer) {
				fmt.Fprintf(w, "sstash %s (%s, %s)\n", b.Version, b.Go, b.Platform)
				if b.Revision != "" {
					fmt.Fprintf(w, "built from %s\n", b.Revision)
				}
			})
		}),
	}
}

func facts() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
