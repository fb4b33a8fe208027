package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/manifest"
)

// choice is what to restore, and where to.
type choice struct {
	chooser
	at     string
	point  uint64
	tables []string
	as     string
	to     string
	// segments leaves replaying the log to whoever starts on the files.
	segments bool
	// beforeDrop and beforeTruncate are "KS.T".
	beforeDrop, beforeTruncate string
}

func (c *choice) flags(a *app, cmd *cobra.Command) {
	c.chooser.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.at, "at", "", "a moment, to the microsecond where the commit log is stored; else the last point that holds nothing written later (default: latest)")
	f.Uint64Var(&c.point, "point", 0, "the point of that number, as \"sstash points\" lists them")
	f.StringSliceVar(&c.tables, "tables", nil, "KS or KS.T, several with commas (default: all)")
	f.StringVar(&c.as, "as", "", "KS.T: load one table into another one")
	f.StringVar(&c.beforeDrop, "before-drop", "", "KS.T: the table as it was before its last DROP, or the one nearest to --at")
	f.StringVar(&c.beforeTruncate, "before-truncate", "", "KS.T: the same for a TRUNCATE")
	f.StringVar(&c.to, "to", "", "a directory to restore to (default: load into the running node)")
	f.BoolVar(&c.segments, "segments", false, "with --to: place the commit log beside the files, for a node that starts on them to replay")
	_ = cmd.RegisterFlagCompletionFunc("tables", a.completeTables) // the flag is there
}

// loadFlags are how a plan is carried out.
type loadFlags struct {
	stage         string
	force         bool
	allowNotEmpty bool
	allowDamaged  bool
}

func (l *loadFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.stage, "stage", "", "where files wait for their import; on the file system of the data (default: beside the first data directory)")
	f.BoolVar(&l.force, "force", false, "with --to: replace other files that are in the way")
	f.BoolVar(&l.allowNotEmpty, "allow-not-empty", false, "load into tables that hold data: what is newer there wins")
	f.BoolVar(&l.allowDamaged, "allow-damaged", false, "load what is left of a table whose backup is damaged")
}

type restoreVerb struct {
	*app
	choice
	loadFlags
	output string
}

func newRestore(a *app) *cobra.Command {
	v := &restoreVerb{app: a}
	cmd := &cobra.Command{
		Use:   "restore [--at TIME | --point N | --before-drop KS.T | --before-truncate KS.T] [--tables …] [--as KS.T] [--to DIR]",
		Short: "Restore tables, or all of a node: into the running node, or to a directory",
		Long: `Restores a moment, or a point. Between the flushes that a point is made of, the commit log knows every
write: where it is stored, an isolated scratch Cassandra on this machine replays it up to the moment, and
the running node gets the result. With --to, files are placed under DIR, one directory whatever the number
of data directories was. Without it, tables are loaded into the running node: those that are not there are
made, those that hold data are refused.

A restore that was cut short is finished by the next one. "restore plan" shows what would be done.`,
		Example: `  sstash restore --tables shop.orders --at "2026-11-22 14:03"
  sstash restore --tables shop.orders --as shop.orders_before --at 2026-11-22T14:03:09.999999Z
  sstash restore --before-drop shop.orders
  sstash restore --to /mnt/restore --bucket gs://acme-backup/sstash --node 1c380315
  sstash restore plan --tables shop -o shop.plan && sstash restore run shop.plan`,
		Args: cobra.NoArgs,
		RunE: a.verb(v.direct),
	}
	v.choice.flags(a, cmd)
	v.loadFlags.flags(cmd)
	cmd.AddCommand(newRestorePlan(a), newRestoreRun(a), newRestoreVerify(a))
	return cmd
}

func newRestorePlan(a *app) *cobra.Command {
	v := &restoreVerb{app: a}
	cmd := &cobra.Command{
		Use:   "plan [--at TIME | --point N | --before-drop KS.T | --before-truncate KS.T] [--tables …] [--as KS.T] [--to DIR] [-o FILE]",
		Short: "Show what a restore would do, and write it down; touch nothing",
		Example: `  sstash restore plan --tables shop.orders --at 14:03 -o orders.plan
  sstash restore plan --before-drop shop.orders -o orders.plan
  sstash restore plan --to /mnt/restore --json`,
		Args: cobra.NoArgs,
		RunE: a.verb(v.plan),
	}
	v.choice.flags(a, cmd)
	cmd.Flags().StringVarP(&v.output, "output", "o", "", "the file to write the plan to")
	return cmd
}

func newRestoreRun(a *app) *cobra.Command {
	v := &restoreVerb{app: a}
	cmd := &cobra.Command{
		Use:     "run PLAN",
		Short:   "Carry out a plan, or go on with it",
		Example: "  sstash restore run orders.plan",
		Args:    cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, args []string) error {
			p, err := v.readPlan(args[0])
			if err != nil {
				return err
			}
			return v.carryOut(ctx, p)
		}),
	}
	v.loadFlags.flags(cmd)
	return cmd
}

// build plans the restore that the flags ask for.
func (v *restoreVerb) build(ctx context.Context) (*restore.Plan, error) {
	sel, err := v.selector()
	if err != nil {
		return nil, err
	}
	if v.segments && (v.to == "" || v.point != 0 || v.beforeDrop+v.beforeTruncate != "") {
		return nil, usagef("--segments goes with --to, and with a moment rather than a point")
	}
	r := restore.Request{Tables: v.tables, As: v.as, Now: v.now()}
	if v.to != "" {
		if r.To, err = filepath.Abs(v.to); err != nil {
			return nil, err
		}
	}
	s, err := v.open(ctx, v.chooser)
	if err != nil {
		return nil, err
	}
	if r.Before, err = v.cut(ctx, s.Reader, sel.At); err != nil {
		return nil, err
	}
	if r.Before != nil {
		sel = restore.Selector{} // of the rest, only the newest matters
	}
	state, err := restore.Select(ctx, s.Reader, sel)
	if err != nil {
		return nil, err
	}
	if r.Ahead, err = restore.CutsAhead(ctx, s.Reader, state, sel.At); err != nil {
		return nil, err
	}
	if r.To == "" {
		r.Live = v.live(ctx)
	}
	if v.point == 0 && r.Before == nil {
		r.At = sel.At
		if r.Later, err = restore.SchemaAt(ctx, s.Reader, state, sel.At); err != nil {
			return nil, err
		}
	}
	p, err := restore.Build(state, s.Reader.Prefix, r)
	if err == nil && v.point == 0 && r.Before == nil {
		err = v.refine(ctx, p, s, state, sel.At)
	}
	return p, err
}

func (v *restoreVerb) selector() (restore.Selector, error) {
	at, err := parseTime(v.at, v.now())
	cut := v.beforeDrop != "" || v.beforeTruncate != ""
	switch {
	case err != nil:
	case v.point != 0 && v.at != "":
		err = usagef("--at and --point both choose the point: give one of them")
	case cut && (v.point != 0 || len(v.tables) > 0), v.beforeDrop != "" && v.beforeTruncate != "":
		err = usagef("--before-drop and --before-truncate each choose a table and its point: give one of them, without --point and --tables")
	}
	return restore.Selector{Seq: v.point, At: at}, err
}

// cut finds the DROP or TRUNCATE that is asked for; nil when none is.
func (v *restoreVerb) cut(ctx context.Context, r *history.Reader, at time.Time) (*manifest.Ending, error) {
	sel := restore.CutSelector{Why: manifest.Dropped, At: at}
	table := v.beforeDrop
	if v.beforeTruncate != "" {
		table, sel.Why = v.beforeTruncate, manifest.Truncated
	}
	if table == "" {
		return nil, nil
	}
	var err error
	if sel.Table, err = restore.ParseName(table); err != nil {
		return nil, usage(err)
	}
	e, err := restore.FindCut(ctx, r, sel)
	return &e, err
}

// live asks the node what it is. A plan can do without.
func (v *restoreVerb) live(ctx context.Context) *restore.Live {
	cfg, err := v.config()
	if err != nil || cfg.Cassandra.CQL == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := daemon.Dial(ctx, cfg)
	if err != nil {
		v.logger().Warn("the node is not compared with the plan", "error", err)
		return nil
	}
	defer conn.Close()
	id, err := conn.Identity(ctx)
	if err == nil {
		var live cassandra.Live
		if live, err = conn.Live(ctx); err == nil {
			return &restore.Live{Identity: id, Schema: live}
		}
	}
	v.logger().Warn("the node is not compared with the plan", "error", err)
	return nil
}

func (v *restoreVerb) plan(ctx context.Context, _ []string) error {
	p, err := v.build(ctx)
	if err != nil {
		return err
	}
	if v.output != "" {
		if err := writePlan(p, v.output); err != nil {
			return err
		}
	}
	doc := newPlanDoc(p, v.output)
	return v.print(doc, doc.write)
}

func writePlan(p *restore.Plan, path string) error {
	b, err := p.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o640); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// direct plans and carries out.
func (v *restoreVerb) direct(ctx context.Context, _ []string) error {
	p, err := v.build(ctx)
	if err != nil {
		return err
	}
	if p.To != "" {
		v.announce(p)
		return v.carryOut(ctx, p)
	}
	cfg, err := v.loadConfig()
	if err != nil {
		return err
	}
	stage, err := v.stageDir(cfg)
	if err != nil {
		return err
	}
	path := fmt.Sprintf("%s-%s.plan", stage, what(p))
	if old, err := v.readPlan(path); err == nil && (v.latest() || old.SamePoint(p)) {
		p = old
	} else if err := writePlan(p, path); err != nil {
		return err
	}
	v.announce(p)
	err = v.carryOut(ctx, p)
	if err == nil || errors.Is(err, restore.ErrRefused) {
		_ = os.Remove(path) // only a plan
	}
	return err
}

func (v *restoreVerb) latest() bool {
	return v.point == 0 && (v.at == "" || v.at == "latest") && v.beforeDrop == "" && v.beforeTruncate == ""
}

// what is a name for what p loads. Under it, the plan is kept until it is done: given again, the same
// command goes on with the same plan, whatever the latest point is by then.
func what(p *restore.Plan) string {
	h := chunker.NewHasher()
	fmt.Fprintln(h, p.Prefix)
	for _, t := range p.Tables {
		fmt.Fprintln(h, t.Source(), t.Target())
	}
	return h.Sum().String()[:8]
}

func (v *restoreVerb) announce(p *restore.Plan) {
	if v.quiet {
		return
	}
	fmt.Fprintf(v.stderr, "restoring point %d, %s\n", p.Point.Seq, pointStamp(p.Point.Time))
	if p.Replay != nil {
		fmt.Fprintf(v.stderr, "and the commit log until %s\n", stamp(p.ProvenUntil))
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(v.stderr, "warning: %s\n", w)
	}
}

// loadConfig is the configuration of a node that can be loaded into.
func (a *app) loadConfig() (config.Config, error) {
	cfg, err := a.nodeConfig()
	if err == nil && (cfg.Cassandra.CQL == "" || len(cfg.Cassandra.Nodetool) == 0) {
		err = usagef("loading needs the keys cassandra.cql and cassandra.nodetool; --to restores to a directory")
	}
	return cfg, err
}

// stageDir is beside the first data directory, where import can rename.
func (v *restoreVerb) stageDir(cfg config.Config) (string, error) {
	if v.stage != "" {
		return filepath.Abs(v.stage)
	}
	dirs, err := daemon.DataDirs(cfg)
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(filepath.Clean(dirs[0])), "sstash-stage"), nil
}

// carryOut does what p says.
func (v *restoreVerb) carryOut(ctx context.Context, p *restore.Plan) error {
	progress := v.progress()
	defer progress.end()
	stager, err := v.stager(ctx, progress)
	if err == nil && p.Replay != nil {
		stager.Replayer, err = v.replayer(ctx, stager.Bucket, p)
	}
	if err != nil {
		return err
	}
	var report restore.Report
	if p.To != "" {
		report, err = stager.Stage(ctx, p)
	} else {
		err = v.withLoader(ctx, stager, func(l *restore.Loader) error {
			report, err = l.Load(ctx, p)
			return err
		})
	}
	progress.end()
	if err == nil || errors.Is(err, restore.ErrIncomplete) {
		doc := newRestoreDoc(report)
		if printed := v.print(doc, doc.write); err == nil {
			err = printed
		}
	}
	return err
}

func (v *restoreVerb) stager(ctx context.Context, p *progress) (restore.Stager, error) {
	_, b, err := v.openBucket(ctx)
	return restore.Stager{Bucket: b, Force: v.force, Progress: func(r restore.Progress) {
		p.show("%s: restored %s of %s, fetched %s%s", r.Table, size(r.Bytes), size(r.OfBytes), size(r.Fetched), p.left(r.Bytes, r.OfBytes-r.Bytes))
	}}, err
}

// withLoader connects to the node.
func (v *restoreVerb) withLoader(ctx context.Context, s restore.Stager, do func(*restore.Loader) error) error {
	cfg, err := v.loadConfig()
	if err != nil {
		return err
	}
	stage, err := v.stageDir(cfg)
	if err != nil {
		return err
	}
	dirs, err := daemon.DataDirs(cfg)
	if err != nil {
		return err
	}
	conn, err := daemon.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(&restore.Loader{
		Stager: s, Session: conn, Tool: cassandra.Nodetool{Argv: cfg.Cassandra.Nodetool}, DataDirs: dirs, Dir: stage,
		AllowNotEmpty: v.allowNotEmpty, AllowDamaged: v.allowDamaged,
	})
}
