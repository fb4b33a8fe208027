package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
)

type backupVerb struct {
	*app
	snapshot bool
	tag      string
	tables   []string
}

// backupDoc is what `backup --json` prints.
type backupDoc struct {
	Seq         uint64   `json:"seq"`
	Kind        string   `json:"kind"`
	Tables      int      `json:"tables"`
	SSTables    int      `json:"sstables"`
	Files       int      `json:"files"`
	Bytes       int64    `json:"bytes"`
	NewBytes    int64    `json:"new_bytes"`
	StoredBytes int64    `json:"stored_bytes"`
	Puts        int      `json:"puts"`
	Seconds     float64  `json:"seconds"`
	PrunedFiles int      `json:"pruned_files"`
	PrunedBytes int64    `json:"pruned_bytes"`
	Incomplete  []held   `json:"incomplete"`
	Problems    []string `json:"problems"`
	Damaged     []held   `json:"damaged"`

	bare bool // the history holds no table
}

// held is something that is not durable, and why.
type held struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

func newBackup(a *app) *cobra.Command {
	v := &backupVerb{app: a}
	cmd := &cobra.Command{
		Use:   "backup [--snapshot [--tag TAG] [--tables KS[.T],…]]",
		Short: "Back up what is there, once, in the foreground",
		Long: `Stores what is new in backups/ and snapshots/, commits it, and unlinks what is durable, as the service
does all the time. Links that appeared just now are waited for, at most for watch.patience.

With --snapshot, the database takes a snapshot first, and what it holds becomes a new full.`,
		Example: `  sstash backup
  sstash backup --snapshot
  sstash backup --snapshot --tag before-upgrade --tables shop,web`,
		Args: cobra.NoArgs,
		RunE: a.verb(v.run),
	}
	cmd.Flags().BoolVar(&v.snapshot, "snapshot", false, "take a new snapshot first")
	cmd.Flags().StringVar(&v.tag, "tag", "", `its tag, behind "`+backup.TagPrefix+`" (default: the time)`)
	cmd.Flags().StringSliceVar(&v.tables, "tables", nil, "keyspaces, or tables, to snapshot (default: all)")
	return cmd
}

func (v *backupVerb) run(ctx context.Context, _ []string) error {
	if !v.snapshot && (v.tag != "" || len(v.tables) > 0) {
		return usagef("--tag and --tables are about a new snapshot: add --snapshot")
	}
	cfg, err := v.nodeConfig()
	if err != nil {
		return err
	}
	if v.snapshot && len(cfg.Cassandra.Nodetool) == 0 {
		return usagef("--snapshot needs the key cassandra.nodetool")
	}
	log := v.logger()
	if err := v.yield(cfg.Limits); err != nil {
		log.Warn("can't make room for the database", "error", err)
	}
	began := v.now()
	progress := v.progress()
	node, err := daemon.Open(ctx, daemon.Options{Config: cfg, Version: facts().Version, Progress: func(p uploader.Progress) {
		progress.show("stored %d of %d SSTables, %s of %s%s", p.SSTables, p.OfSSTables, size(p.Bytes), size(p.OfBytes), progress.left(p.Read, p.OfBytes-p.Bytes))
	}})
	if err != nil {
		return err
	}
	defer func() { _ = node.Close() }() // a cache
	sayAhead(log, node)
	r, err := v.passes(ctx, node, cfg, progress)
	progress.end()
	doc := newBackupDoc(r, v.now().Sub(began))
	doc.bare = len(node.Uploader.History.State().Tables()) == 0
	if err == nil || doc.Seq > 0 { // what was committed before an error counts
		err = errors.Join(err, v.print(doc, doc.write))
	}
	if err == nil && len(doc.Incomplete)+len(doc.Problems) > 0 {
		err = fmt.Errorf("backup: %w: %s", errIncomplete, doc.first())
		if cause := causes(r); errors.Is(cause, fs.ErrPermission) {
			err = marked{err, fs.ErrPermission} // for the hint
		}
	}
	return err
}

// maxAhead is what clocks differ by that nobody has set.
const maxAhead = 5 * time.Second

// sayAhead warns when the history is from the future.
func sayAhead(log *slog.Logger, node *daemon.Node) {
	if ahead := node.Uploader.History.Ahead(); ahead > maxAhead {
		log.Warn("the newest entry of the history is from the future: this clock was set back, and points are chosen by it",
			"ahead", ahead.Round(time.Second))
	}
}

// passes backs up until nothing is waited for any more.
func (v *backupVerb) passes(ctx context.Context, node *daemon.Node, cfg config.Config, p *progress) (backup.Report, error) {
	var r backup.Report
	var err error
	if v.snapshot {
		r, err = node.Full(ctx, v.snapshotTag(), v.tables)
	} else {
		r, err = node.Pass(ctx)
	}
	enough := cfg.Watch.Patience + 2*cfg.Watch.Settle
	until := v.now().Add(enough)
	for err == nil && (r.More || len(r.Waiting) > 0 && v.now().Before(until)) {
		if !r.More {
			p.show("waiting for %s to be complete", count(len(r.Waiting), "set"))
			if err = pause(ctx, cfg.Watch.Settle); err != nil {
				break
			}
		}
		var next backup.Report
		next, err = node.Pass(ctx)
		r = r.Then(next)
		if len(next.Manifests) > 0 { // storing took its time
			until = v.now().Add(enough)
		}
	}
	return r, err
}

func (v *backupVerb) snapshotTag() string {
	tag := v.tag
	if tag == "" {
		tag = v.now().UTC().Format("20060102T150405.000Z")
	}
	return backup.TagPrefix + strings.TrimPrefix(tag, backup.TagPrefix)
}

// causes are why a backup is incomplete, as far as errors say.
func causes(r backup.Report) error {
	all := append(slices.Clone(r.Problems), r.Scan.Errors...)
	for _, f := range r.Failed {
		all = append(all, f.Err)
	}
	return errors.Join(all...)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newBackupDoc(r backup.Report, took time.Duration) backupDoc {
	d := backupDoc{
		Seq: r.Seq(), Kind: "none", SSTables: r.SSTables, Files: r.Files, Bytes: r.Bytes, NewBytes: r.NewBytes,
		StoredBytes: r.Stored, Puts: r.Puts, Seconds: took.Seconds(), PrunedFiles: r.Pruned.Files, PrunedBytes: r.Pruned.Bytes,
		Incomplete: []held{}, Problems: []string{}, Damaged: []held{},
	}
	tables := map[sstable.Table]bool{}
	for _, m := range r.Manifests {
		if d.Kind != string(manifest.Full) {
			d.Kind = string(m.Kind)
		}
		for _, t := range m.Body.Tables {
			tables[t.Table] = true
		}
	}
	d.Tables = len(tables)
	for _, h := range append(r.Waiting, r.Quarantined...) {
		d.Incomplete = append(d.Incomplete, held{h.Path, h.Why})
	}
	for _, f := range r.Failed {
		d.Incomplete = append(d.Incomplete, held{f.SSTable.Place(), f.Err.Error()})
	}
	for _, err := range r.Scan.Errors {
		d.Incomplete = append(d.Incomplete, held{"what could not be listed", err.Error()})
	}
	for _, h := range r.Damaged {
		d.Damaged = append(d.Damaged, held{h.Path, h.Why})
	}
	for _, f := range r.Findings {
		if f.Damage != "" {
			d.Damaged = append(d.Damaged, held{f.SSTable.Place(), f.Why()})
		}
	}
	for _, err := range r.Problems {
		d.Problems = append(d.Problems, err.Error())
	}
	return d
}

func (d backupDoc) write(w io.Writer) {
	switch {
	case d.bare && len(d.Incomplete) == 0:
		fmt.Fprintln(w, "nothing is stored: backups/ is empty, and there is no snapshot, which is what live SSTables are stored from")
	case d.Seq == 0:
		fmt.Fprintln(w, "nothing new")
	default:
		fmt.Fprintf(w, "committed %d (%s): %s of %s, %s\n", d.Seq, d.Kind, count(d.SSTables, "SSTable"), count(d.Tables, "table"), size(d.Bytes))
		fmt.Fprintf(w, "read %s, stored %s in %s, %.1f s\n", size(d.NewBytes), size(d.StoredBytes), count(d.Puts, "object"), d.Seconds)
	}
	if d.PrunedFiles > 0 {
		fmt.Fprintf(w, "unlinked %s, %s\n", count(d.PrunedFiles, "file"), size(d.PrunedBytes))
	}
	for _, h := range d.Incomplete {
		fmt.Fprintf(w, "not stored: %s: %s\n", h.Path, h.Why)
	}
	for _, h := range d.Damaged {
		fmt.Fprintf(w, "damaged on this node, stored as it is: %s: %s\n", h.Path, h.Why)
	}
	for _, p := range d.Problems {
		fmt.Fprintf(w, "problem: %s\n", p)
	}
}

// first is what an error can say in one line.
func (d backupDoc) first() string {
	if len(d.Incomplete) > 0 {
		return fmt.Sprintf("%s not stored, the first: %s: %s", count(len(d.Incomplete), "thing"), d.Incomplete[0].Path, d.Incomplete[0].Why)
	}
	return d.Problems[0]
}
