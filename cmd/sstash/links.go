package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/links"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/watcher"
)

// linksDoc is what `links --json` prints.
type linksDoc struct {
	Groups  []links.Group `json:"groups"`
	Unknown []string      `json:"unknown"` // files that nobody can place: never backed up, never unlinked
}

// pruneDoc is what `links prune --json` prints.
type pruneDoc struct {
	Done  bool   `json:"done"` // false without --yes: this is what would be unlinked
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Kept  []held `json:"kept"`
}

func newLinks(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "links",
		Short: "Show who holds disk through hard links",
		Long: `Lists what backups/ and snapshots hold, table by table: the bytes of their files, those that would be
free without them (exclusive), and whether they are stored.`,
		Example: "  sstash links\n  sstash links --json | jq '.groups[] | select(.durable)'\n  sstash links prune --yes",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.links(ctx)
		}),
	}
	cmd.AddCommand(newLinksPrune(a))
	return cmd
}

func newLinksPrune(a *app) *cobra.Command {
	var superseded, yes bool
	cmd := &cobra.Command{
		Use:   "prune [--superseded] --yes",
		Short: "Unlink what is durable from backups/",
		Long: `Unlinks from backups/ what is stored: the very same files, or none. The service does so by itself unless
the configuration says links: off. Snapshots are never touched.

--superseded also unlinks what predates the first full: it was never stored, since a full that is whole
holds all that was live by then. Without --yes, nothing is unlinked.`,
		Example: "  sstash links prune\n  sstash links prune --superseded --yes",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.prune(ctx, superseded, yes)
		}),
	}
	cmd.Flags().BoolVar(&superseded, "superseded", false, "also what a whole full has made needless")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// survey scans the node and reads its history.
func (a *app) survey(ctx context.Context) (watcher.Listing, *manifest.State, error) {
	var l watcher.Listing
	cfg, err := a.nodeConfig()
	if err != nil {
		return l, nil, err
	}
	n, dirs, err := here(ctx, cfg)
	if err != nil {
		return l, nil, err
	}
	state, err := n.state(ctx)
	if err != nil {
		return l, nil, err
	}
	l, err = watcher.Scan(ctx, dirs)
	return l, state, err
}

func (a *app) links(ctx context.Context) error {
	l, state, err := a.survey(ctx)
	if err != nil {
		return err
	}
	doc := linksDoc{list(links.Report(l, state, backup.TagPrefix)), list(l.Unknown)}
	err = a.print(doc, func(w io.Writer) {
		fmt.Fprintln(w, "TABLE\tHELD BY\tFILES\tBYTES\tEXCLUSIVE\tSTANDING")
		for _, g := range doc.Groups {
			by := "backups/"
			if g.Tag != "" {
				by = fmt.Sprintf("snapshot %q of %s", g.Tag, g.MadeBy)
			}
			fmt.Fprintf(w, "%s.%s\t%s\t%d\t%s\t%s\t%s\n", g.Keyspace, g.Table, by, g.Files, size(g.Bytes), size(g.ExclusiveBytes), g.Reason)
		}
		for _, u := range doc.Unknown {
			fmt.Fprintf(w, "unknown file: %s\n", u)
		}
	})
	if err == nil && l.Partial() {
		err = fmt.Errorf("links: %w: %w", errIncomplete, l.Errors[0])
	}
	return err
}

func (a *app) prune(ctx context.Context, superseded, yes bool) error {
	if yes {
		release, err := a.claimLinks()
		if err != nil {
			return err
		}
		defer release()
	}
	l, state, err := a.survey(ctx)
	if err != nil {
		return err
	}
	doc := pruneDoc{Done: yes, Kept: []held{}}
	for _, set := range l.Backups {
		standing, stored := links.Stand(state, set)
		switch {
		case standing == links.Undurable || standing == links.Superseded && !superseded:
		case yes:
			freed, kept, err := links.Prune(ctx, set, stored) // I8
			doc.add(set, freed, kept, err)
		default:
			doc.add(set, links.Freed{Files: len(set.Files), Bytes: set.Size()}, nil, nil)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	err = a.print(doc, doc.write)
	if err == nil && len(doc.Kept) > 0 {
		err = fmt.Errorf("prune: %w: %s kept, the first: %s: %s", errIncomplete, count(len(doc.Kept), "link"), doc.Kept[0].Path, doc.Kept[0].Why)
	}
	return err
}

func (a *app) claimLinks() (release func(), err error) {
	cfg, err := a.nodeConfig()
	if err != nil {
		return nil, err
	}
	dirs, err := daemon.DataDirs(cfg)
	if err != nil {
		return nil, err
	}
	return daemon.ClaimLinks(cfg, dirs)
}

func (d *pruneDoc) add(set sstable.SSTable, freed links.Freed, kept []links.Kept, err error) {
	d.Files += freed.Files
	d.Bytes += freed.Bytes
	for _, k := range kept {
		d.Kept = append(d.Kept, held{filepath.Join(set.DataDir, k.Path), k.Why})
	}
	if err != nil {
		d.Kept = append(d.Kept, held{set.Place(), err.Error()})
	}
}

func (d pruneDoc) write(w io.Writer) {
	if !d.Done {
		fmt.Fprintf(w, "would unlink %s, %s; nothing was done: add --yes\n", count(d.Files, "file"), size(d.Bytes))
		return
	}
	fmt.Fprintf(w, "unlinked %s, %s\n", count(d.Files, "file"), size(d.Bytes))
	for _, k := range d.Kept {
		fmt.Fprintf(w, "kept %s: %s\n", k.Path, k.Why)
	}
}
