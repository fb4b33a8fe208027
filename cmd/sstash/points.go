package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

type pointsVerb struct {
	*app
	chooser
	around string
	maxAge string
	limit  int

	at     time.Time // what around means
	tables []string  // "KS" or "KS.T"; none: all
}

// allNodes is what --cluster says without a value.
const allNodes = "."

func newPoints(a *app) *cobra.Command {
	v := &pointsVerb{app: a}
	cmd := &cobra.Command{
		Use:   "points [KS[.T]…] [--around TIME] [--cluster]",
		Short: "List what can be restored, and what each point is proven through",
		Long: `Lists the newest points of the node's history, the newest last: each entry that changes what can be
restored or is proven, of these tables or of all. A table is proven through the newest flush or snapshot that
was seen to succeed: everything acknowledged before that began is in the point. Where it lags, a line below
says why.

--cluster lists the points of every node of this cluster; --cluster NAME of another one.`,
		Example: `  sstash points
  sstash points shop.orders --around "2026-11-22 14:03"
  sstash points --cluster --json
  sstash points --bucket gs://acme-backup/sstash --node 1c380315
  sstash points --max-age 1d --quiet`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeTables,
		RunE:              a.verb(v.run),
	}
	v.flags(cmd)
	cmd.Flags().Lookup("cluster").NoOptDefVal = allNodes
	cmd.Flags().Lookup("cluster").Usage = "every node of this cluster, or of the one called so"
	cmd.Flags().StringVar(&v.around, "around", "", "the points around this time")
	cmd.Flags().StringVar(&v.maxAge, "max-age", "", "exit with 6 when the newest point is older")
	cmd.Flags().IntVar(&v.limit, "limit", 20, "how many points of each node")
	return cmd
}

func (v *pointsVerb) run(ctx context.Context, args []string) error {
	var err error
	if v.at, err = parseTime(v.around, v.now()); err != nil {
		return err
	}
	var limit time.Duration
	if v.maxAge != "" {
		if limit, err = parseDuration(v.maxAge); err != nil {
			return err
		}
	}
	if v.limit < 1 {
		return usagef("--limit %d lists nothing", v.limit)
	}
	sources, err := v.sources(ctx, args)
	if err != nil {
		return err
	}
	doc := pointsDoc{Points: []point{}, Damaged: []string{}}
	for _, s := range sources {
		points, damage, err := v.find(ctx, s)
		if err != nil {
			return err
		}
		doc.Points = append(doc.Points, points...)
		if damage != nil {
			doc.Damaged = append(doc.Damaged, fmt.Sprintf("%s: %v", s.node, damage))
		}
	}
	if len(doc.Points) == 0 && len(v.tables) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(v.tables, ", "), restore.ErrNoTable)
	}
	if err := v.print(doc, func(w io.Writer) { v.write(w, doc, len(sources) > 1) }); err != nil {
		return err
	}
	return v.judge(doc, sources, limit)
}

// judge finds the first node whose newest point is older than limit.
func (v *pointsVerb) judge(doc pointsDoc, sources []source, limit time.Duration) error {
	newest := map[string]time.Time{}
	for _, p := range doc.Points {
		if at := time.Time(p.Time); at.After(newest[p.HostID]) {
			newest[p.HostID] = at
		}
	}
	for _, s := range sources {
		if at := newest[s.HostID]; v.maxAge != "" && v.now().Sub(at) > limit {
			return fmt.Errorf("the newest point of %s is of %s: %w", s.node, stamp(at).ago(v.now()), errTooOld)
		}
	}
	if len(doc.Damaged) > 0 {
		return fmt.Errorf("older points: %w: %s", errIncomplete, doc.Damaged[0])
	}
	return nil
}

// sources are the histories to list. An argument that names a cluster belongs to --cluster, since an
// optional value can't stand apart from its flag; the others are tables.
func (v *pointsVerb) sources(ctx context.Context, args []string) ([]source, error) {
	v.tables = args
	if v.cluster == "" {
		s, err := v.open(ctx, v.chooser)
		return []source{s}, err
	}
	cfg, b, err := v.openBucket(ctx)
	if err != nil {
		return nil, err
	}
	all, err := nodes(ctx, b)
	if err != nil {
		return nil, err
	}
	if v.cluster == allNodes {
		v.cluster = ""
		isCluster := func(arg string) bool {
			return slices.ContainsFunc(all, func(n node) bool { return n.Cluster == arg })
		}
		if i := slices.IndexFunc(args, isCluster); i >= 0 {
			v.cluster, v.tables = args[i], slices.Delete(slices.Clone(args), i, i+1)
		} else if n, err := (chooser{}).choose(ctx, cfg, b); err == nil {
			v.cluster = n.Cluster
		}
	}
	var found []source
	for _, n := range all {
		if v.wants(n) {
			found = append(found, source{n, &history.Reader{Bucket: b, Prefix: n.Prefix}})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("cluster %q, node %q: %w", v.cluster, v.host, history.ErrEmpty)
	}
	return found, nil
}

// find finds the points of one node: the newest, or those around a moment. damage says why older ones
// can't be read.
func (v *pointsVerb) find(ctx context.Context, s source) (points []point, damage, err error) {
	newest, err := s.Newest(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	if newest == 0 {
		return nil, nil, fmt.Errorf("%s: %w", s.node, history.ErrEmpty)
	}
	before, after := v.limit, 0
	middle := newest
	if !v.at.IsZero() {
		before, after = (v.limit+1)/2, v.limit/2
		state, err := restore.Select(ctx, s.Reader, restore.Selector{At: v.at})
		switch {
		case errors.Is(err, restore.ErrNoPoint):
			middle = 1
		case err != nil:
			return nil, nil, err
		default:
			middle = state.Seq()
		}
	}
	w := window{reader: s.Reader, newest: newest, from: middle, to: middle}
	for span := uint64(2 * v.limit); ; span *= 2 {
		if w.damage == nil {
			w.from -= min(span, w.from-1)
		}
		if after > 0 {
			w.to = min(newest, w.to+span)
		}
		found, err := v.read(ctx, s.node, &w)
		if err != nil {
			return nil, nil, err
		}
		i, _ := slices.BinarySearchFunc(found, middle+1, func(p point, seq uint64) int { return cmp.Compare(p.Seq, seq) })
		if (i >= before || w.from == 1 || w.damage != nil) && (len(found)-i >= after || w.to == newest) {
			return found[max(0, i-before):min(len(found), i+after)], w.damage, nil
		}
	}
}

// window is a stretch of a history.
type window struct {
	reader   *history.Reader
	newest   uint64
	from, to uint64
	damage   error // why it can't begin earlier
}

// read lists the points of a window. When it is damaged, it begins where the newest chain does.
func (v *pointsVerb) read(ctx context.Context, n node, w *window) ([]point, error) {
	found, err := v.replay(ctx, n, w)
	if !errors.Is(err, history.ErrDamaged) || w.damage != nil {
		return found, err
	}
	w.damage = err
	newest, err := w.reader.Manifest(ctx, w.newest)
	if err != nil {
		return nil, err
	}
	w.from = max(w.from, newest.Base)
	w.to = max(w.to, w.from)
	return v.replay(ctx, n, w)
}

func (v *pointsVerb) replay(ctx context.Context, n node, w *window) ([]point, error) {
	state, err := w.reader.State(ctx, w.from)
	if err != nil {
		return nil, err
	}
	var found []point
	add := func(m *manifest.Manifest) {
		stored := v.stores(m)
		if !stored && !v.proves(m) {
			return
		}
		if p := v.point(n, state, m); stored || len(v.tables) == 0 || len(p.Tables) > 0 {
			found = append(found, p)
		}
	}
	add(state.Newest())
	err = w.reader.Each(ctx, w.from+1, w.to, func(m *manifest.Manifest) error {
		if err := state.Apply(m); err != nil {
			return fmt.Errorf("%w: %w", err, history.ErrDamaged)
		}
		add(m)
		return nil
	})
	return found, err
}

// proves tells whether m changes what is proven of the tables asked for, if they are there.
func (v *pointsVerb) proves(m *manifest.Manifest) bool {
	return m.Body.Barrier != nil || slices.ContainsFunc(m.Body.Gaps, func(g manifest.Gap) bool {
		return g.Table == nil || v.named(*g.Table)
	})
}

// stores tells whether m changes what can be restored of the tables asked for.
func (v *pointsVerb) stores(m *manifest.Manifest) bool {
	return slices.ContainsFunc(m.Body.Tables, func(t manifest.Table) bool {
		return v.named(t.Table) && (t.Base != nil && t.Base.Complete || t.Base == nil && len(t.SSTables) > 0)
	})
}

func (v *pointsVerb) named(t sstable.Table) bool {
	return len(v.tables) == 0 || slices.Contains(v.tables, t.Keyspace) || slices.Contains(v.tables, t.Keyspace+"."+t.Name)
}

// completeTables offers the tables that the newest point has, as far as they are known quickly.
func (a *app) completeTables(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	s, err := a.open(ctx, chooser{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	state, err := s.state(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range state.Tables() {
		names = append(names, t.Keyspace+"."+t.Name)
	}
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
