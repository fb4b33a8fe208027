package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/restore"
	"github.com/sstash/sstash/manifest"
)

type schemaVerb struct {
	*app
	chooser
	at string
}

// schemaDoc is what `schema --json` prints.
type schemaDoc struct {
	Point pointRef `json:"point"`
	// Complete: the database described all of its schema. Otherwise the statements are those that it
	// puts beside snapshots, table by table: without keyspaces, functions and roles.
	Complete   bool     `json:"complete"`
	Statements []string `json:"statements"`
}

// pointRef names a point.
type pointRef struct {
	Seq  uint64        `json:"seq"`
	Kind manifest.Kind `json:"kind"`
	Time stamp         `json:"time"`
}

func newPointRef(p restore.Point) pointRef { return pointRef{p.Seq, p.Kind, pointStamp(p.Time)} }

func newSchema(a *app) *cobra.Command {
	v := &schemaVerb{app: a}
	cmd := &cobra.Command{
		Use:   "schema [PLAN] [--at TIME]",
		Short: "Print the CQL that recreates the schema as of a point",
		Long: `Prints keyspaces, types, tables with their ids and dropped columns, indexes and views, in an order that
replays, as of a plan's point or of a moment. Before Cassandra 4.0 there is only what snapshots hold:
the tables, without their keyspaces.`,
		Example: `  sstash schema > schema.cql
  sstash schema --at "2026-11-22 14:03"
  sstash schema restore.plan`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.verb(v.run),
	}
	v.flags(cmd)
	cmd.Flags().StringVar(&v.at, "at", "", "as of then (default: latest)")
	return cmd
}

func (v *schemaVerb) run(ctx context.Context, args []string) error {
	doc, err := v.find(ctx, args)
	if err != nil {
		return err
	}
	if len(doc.Statements) == 0 {
		return fmt.Errorf("point %d: no schema was recorded: %w", doc.Point.Seq, errIncomplete)
	}
	return v.print(doc, func(w io.Writer) {
		fmt.Fprintf(w, "-- as of point %d, %s\n", doc.Point.Seq, doc.Point.Time)
		if !doc.Complete {
			fmt.Fprintln(w, "-- from Cassandra's snapshots: make the keyspaces yourself")
		}
		for _, s := range doc.Statements {
			fmt.Fprintln(w, strings.TrimSuffix(strings.TrimSpace(s), ";")+";")
		}
	})
}

func (v *schemaVerb) find(ctx context.Context, args []string) (schemaDoc, error) {
	if len(args) == 1 {
		if v.at != "" {
			return schemaDoc{}, usagef("a plan has its own point: leave --at out")
		}
		p, err := v.readPlan(args[0])
		if err != nil {
			return schemaDoc{}, err
		}
		doc := schemaDoc{newPointRef(p.Point), len(p.Schema) > 0, list(p.Schema)}
		for _, t := range p.Tables {
			if !doc.Complete && t.SchemaCQL != "" {
				doc.Statements = append(doc.Statements, t.SchemaCQL)
			}
		}
		return doc, nil
	}
	at, err := parseTime(v.at, v.now())
	if err != nil {
		return schemaDoc{}, err
	}
	s, err := v.open(ctx, v.chooser)
	if err != nil {
		return schemaDoc{}, err
	}
	return schemaAt(ctx, s.Reader, at)
}

func schemaAt(ctx context.Context, r *history.Reader, at time.Time) (schemaDoc, error) {
	state, err := restore.Select(ctx, r, restore.Selector{At: at})
	if err != nil {
		return schemaDoc{}, err
	}
	m := state.Newest()
	doc := schemaDoc{Point: pointRef{m.Seq, m.Kind, stamp(restore.Until(m))}, Statements: []string{}}
	if schema := state.Schema(); schema != nil {
		doc.Complete, doc.Statements = true, list(schema.Statements)
		return doc, nil
	}
	for _, t := range state.Tables() {
		if cql := state.Chain(t).SchemaCQL; cql != "" {
			doc.Statements = append(doc.Statements, cql)
		}
	}
	return doc, nil
}

// readPlan reads a plan from a file, or from stdin when that is called "-".
func (a *app) readPlan(path string) (*restore.Plan, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(a.stdin)
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("read plan: %w", err))
	}
	return restore.Decode(b)
}
