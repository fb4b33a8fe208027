package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/restore"
)

// drillDoc is what `drill --json` prints.
type drillDoc struct {
	restore.Drilled
	Point       pointRef         `json:"point"`
	ProvenUntil stamp            `json:"proven_until"`
	Damaged     []restore.Damage `json:"damaged"`
}

func newDrill(a *app) *cobra.Command {
	var o daemon.DrillOptions
	cmd := &cobra.Command{
		Use:   "drill [--tables KS[.T],…] [--dir DIR]",
		Short: "Restore a table into a scratch database, and read every row of it",
		Long: `Brings the newest point of a table, drawn by lot unless named, and what the commit log has since, into
an isolated scratch Cassandra on this machine, reads every row, and keeps the result for status. The
running node is not touched, and nothing is left behind.`,
		Example: "  sstash drill\n  sstash drill --tables shop.orders --json | jq .tables[].rows",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.drill(ctx, o)
		}),
	}
	cmd.Flags().StringSliceVar(&o.Tables, "tables", nil, "KS or KS.T, several with commas (default: one table, by lot)")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "a directory with room for the tables (default: the state directory)")
	_ = cmd.RegisterFlagCompletionFunc("tables", a.completeTables) // the flag is there
	return cmd
}

func (a *app) drill(ctx context.Context, o daemon.DrillOptions) error {
	cfg, err := a.nodeConfig()
	if err != nil {
		return err
	}
	if o.Dir != "" {
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return err
		}
	}
	progress := a.progress()
	defer progress.end()
	o.Progress = func(r restore.Progress) {
		progress.show("%s: restored %s of %s, fetched %s", r.Table, size(r.Bytes), size(r.OfBytes), size(r.Fetched))
	}
	d, err := daemon.Drill(ctx, cfg, o)
	progress.end()
	if err != nil && len(d.Damaged) == 0 {
		return err
	}
	doc := drillDoc{d, newPointRef(d.Point), stamp(d.ProvenUntil), list(d.Damaged)}
	if printed := a.print(doc, doc.write); err == nil {
		err = printed
	}
	return err
}

func (d drillDoc) write(w io.Writer) {
	fmt.Fprintln(w, "TABLE\tSSTABLES\tBYTES\tROWS\tDIGEST")
	for _, t := range d.Tables {
		fmt.Fprintf(w, "%s.%s\t%d\t%s\t%d\t%s\n", t.Keyspace, t.Table, t.SSTables, size(t.Bytes), t.Rows, t.Digest.String()[:16])
	}
	for _, damage := range d.Damaged {
		fmt.Fprintf(w, "damaged: %s\n", damage)
	}
	fmt.Fprintf(w, "point %d, %s of the commit log, proven until %s, in %.1f s; fetched %s\n",
		d.Point.Seq, count(d.Mutations, "write"), d.ProvenUntil, d.Seconds, size(d.BytesFetched))
}
