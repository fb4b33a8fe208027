package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/restore"
)

func newRestoreVerify(a *app) *cobra.Command {
	v := &restoreVerb{app: a}
	cmd := &cobra.Command{
		Use:   "verify PLAN",
		Short: "Compare what was restored with the plan",
		Long: `Hashes the files that a plan placed in a directory, or looks for its SSTables among the live files of the
node. Compaction replaces those by and by, which is told apart by what the stage remembers.`,
		Example: "  sstash restore verify orders.plan",
		Args:    cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			p, err := v.readPlan(args[0])
			if err != nil {
				return err
			}
			return v.verify(ctx, p)
		}),
	}
	cmd.Flags().StringVar(&v.stage, "stage", "", "where the import was staged")
	return cmd
}

func (v *restoreVerb) verify(ctx context.Context, p *restore.Plan) error {
	progress := v.progress()
	defer progress.end()
	stager, err := v.stager(ctx, progress)
	if err != nil {
		return err
	}
	var found restore.Verification
	if p.To != "" {
		found, err = stager.Verify(ctx, p)
	} else {
		err = v.withLoader(ctx, stager, func(l *restore.Loader) error {
			found, err = l.Verify(ctx, p)
			return err
		})
	}
	if err != nil {
		return err
	}
	progress.end()
	found.Tables, found.Problems = list(found.Tables), list(found.Problems)
	if err := v.print(found, func(w io.Writer) { writeVerification(w, found) }); err != nil {
		return err
	}
	if n := len(found.Problems); n > 0 {
		return fmt.Errorf("verify: %s, the first: %s is %s", count(n, "problem"), found.Problems[0].Path, found.Problems[0].What)
	}
	return nil
}
