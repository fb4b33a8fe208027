package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/links"
	"github.com/sstash/sstash/internal/status"
	"github.com/sstash/sstash/watcher"
)

// serviceTimeout is how long the service may take to answer.
const serviceTimeout = 3 * time.Second

// statusDoc is what `status --json` prints: the service's document, with times as everywhere.
type statusDoc struct {
	status.Status
	CoveredUntil stamp `json:"covered_until"`
	LogUntil     stamp `json:"log_until"`
	LastFull     stamp `json:"last_full"`
	// LastDrill is null when none is remembered.
	LastDrill *drillStatus `json:"last_drill"`
}

type drillStatus struct {
	*status.Drill
	Time        stamp `json:"time"`
	ProvenUntil stamp `json:"proven_until"`
}

func newStatus(a *app) *cobra.Command {
	var maxAge string
	cmd := &cobra.Command{
		Use:   "status [--max-age DURATION]",
		Short: "Say whether this node is safe, and until when it is covered",
		Long: `Asks the service. When it does not answer, looks at the bucket and at the node's directories itself.

Exit code 0: safe. 6: covered_until is too old. 3: something needs a person, see the warnings.`,
		Example: "  sstash status\n  sstash status --json | jq .covered_until\n  sstash status --max-age 1h --quiet",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.status(ctx, maxAge)
		}),
	}
	cmd.Flags().StringVar(&maxAge, "max-age", "", "how old covered_until may be (default: by watch.rescan and commit_every)")
	return cmd
}

func (a *app) status(ctx context.Context, maxAge string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	limit := daemon.MaxAge(cfg)
	if maxAge != "" {
		if limit, err = parseDuration(maxAge); err != nil {
			return err
		}
	}
	s, err := askService(ctx, cfg.Listen)
	if id := cfg.Cassandra.HostID; err == nil && id != "" && id != s.HostID {
		err = fmt.Errorf("the service at %s is that of host %s", cfg.Listen, s.HostID)
	}
	if err != nil {
		if s, err = a.look(ctx, cfg, err); err != nil {
			return err
		}
	}
	now := a.now()
	s.Judge(now, limit)
	doc := statusDoc{Status: s, CoveredUntil: stamp(s.CoveredUntil), LogUntil: stamp(s.LogUntil), LastFull: stamp(s.LastFull)}
	if d := s.LastDrill; d != nil {
		doc.LastDrill = &drillStatus{d, stamp(d.Time), stamp(d.ProvenUntil)}
	}
	doc.Warnings, doc.Notes = list(doc.Warnings), list(doc.Notes)
	if err := a.print(doc, func(w io.Writer) { doc.write(w, now) }); err != nil {
		return err
	}
	switch {
	case s.CoveredUntil.IsZero():
		return fmt.Errorf("nothing is covered yet: %w", errTooOld)
	case s.TooOld(now, limit):
		return fmt.Errorf("covered until %s: %w, more than %s", doc.CoveredUntil.ago(now), errTooOld, roughly(limit))
	case !s.OK:
		return fmt.Errorf("status: %w: see the warnings", errIncomplete)
	}
	return nil
}

// askService asks the service on this machine.
func askService(ctx context.Context, listen string) (status.Status, error) {
	var s status.Status
	if listen == "" {
		return s, errors.New("the key listen is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/status", nil)
	if err != nil {
		return s, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy: it is this machine
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("what answers at %s is not sstash (%s)", listen, resp.Status)
	}
	return s, nil
}

// look makes the status from the bucket and the node's directories. why is what the service's silence
// looked like.
func (a *app) look(ctx context.Context, cfg config.Config, why error) (status.Status, error) {
	var s status.Status
	if err := cfg.CheckNode(); err != nil {
		return s, usage(fmt.Errorf("the service does not answer (%w), and no node is configured here: %w", why, err))
	}
	n, dirs, err := here(ctx, cfg)
	if err != nil {
		return s, err
	}
	state, err := n.state(ctx)
	if err != nil {
		return s, err
	}
	l, err := watcher.Scan(ctx, dirs)
	if err != nil {
		return s, err
	}
	s.Cluster, s.HostID = n.Cluster, n.HostID
	s.Node, _ = os.Hostname() // only said to people
	daemon.Measure(&s, l, state)
	if stored, err := commitlog.Read(ctx, n.Bucket, n.node.Prefix); err == nil {
		s.LogUntil = stored.Until()
	} else {
		s.Warnings = append(s.Warnings, err.Error())
	}
	s.CoveredUntil, s.LastFull, s.Seq = links.CoveredUntil(l, state), state.Whole().Began, state.Seq()
	if s.LastDrill = daemon.LastDrill(cfg.State); s.LastDrill.Warning() != "" {
		s.Warnings = append(s.Warnings, s.LastDrill.Warning())
	}
	s.Warnings = append(s.Warnings, fmt.Sprintf("the service is not running (%v)", why))
	s.Warnings = append(s.Warnings, daemon.Unproven(state)...)
	for _, err := range l.Errors {
		s.Warnings = append(s.Warnings, err.Error())
	}
	return s, nil
}

func (d statusDoc) write(w io.Writer, now time.Time) {
	safe := "safe"
	if !d.OK {
		safe = "NOT SAFE"
	}
	fmt.Fprintf(w, "%s\t%s (%s/%s)\n", safe, d.Node, d.Cluster, d.HostID)
	fmt.Fprintf(w, "covered until\t%s\n", d.CoveredUntil.ago(now))
	fmt.Fprintf(w, "commit log until\t%s\n", d.LogUntil.ago(now))
	fmt.Fprintf(w, "last full\t%s\n", d.LastFull.ago(now))
	fmt.Fprintf(w, "not stored yet\t%s, %s\n", count(d.QueueFiles, "file"), size(d.QueueBytes))
	fmt.Fprintf(w, "held by backups/\t%s, of which %s is durable\n", size(d.LinksBytes), size(d.LinksPrunableBytes))
	fmt.Fprintf(w, "in the bucket\t%s, entry %d\n", size(d.BucketBytes), d.Seq)
	if drill := d.LastDrill; drill != nil && drill.OK {
		fmt.Fprintf(w, "last drill\t%s, in %.0f s\n", stamp(drill.Time).ago(now), drill.Seconds)
	}
	if d.LastError != "" {
		fmt.Fprintf(w, "last error\t%s\n", d.LastError)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "warning\t%s\n", warning)
	}
	for _, note := range d.Notes {
		fmt.Fprintf(w, "note\t%s\n", note)
	}
}
