package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/doctor"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
)

// doctorDoc is what `doctor --json` prints.
type doctorDoc struct {
	OK     bool            `json:"ok"` // nothing failed
	Checks doctor.Findings `json:"checks"`
}

// answerTimeout is how long the database may take to say who it is.
const answerTimeout = 20 * time.Second

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Try everything that a backup or a restore will need",
		Long: `Tries the configuration, the node and the bucket, and says what to do about each thing that is wrong. It
puts one small object into the bucket and deletes it again where it may.

Run it as the user that the service runs as. Exit code 1: something will not work. 3: something could be
better.`,
		Example: "  sudo -u cassandra sstash doctor\n  sstash doctor --json | jq '.checks[] | select(.verdict != \"ok\")'",
		Args:    cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, _ []string) error {
			return a.doctor(ctx)
		}),
	}
}

func (a *app) doctor(ctx context.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	found := doctor.Findings{{Name: "configuration", Verdict: doctor.OK, Detail: "read"}}
	if err := cfg.CheckNode(); err != nil {
		found[0] = doctor.Finding{Name: "configuration", Verdict: doctor.Fail, Detail: err.Error(), Remedy: "`sstash init` looks at the node and writes one"}
	}
	n, unknown := identify(ctx, cfg)
	fromBucket, largest := a.examineBucket(ctx, cfg, n)
	found = append(found, a.examineNode(ctx, cfg, largest)...)
	if unknown != nil {
		found = append(found, doctor.Finding{Name: "identity", Verdict: doctor.Fail, Detail: unknown.Error(),
			Remedy: "start the database, or set cluster and cassandra.host_id"})
	}
	found = append(found, fromBucket...)
	doc := doctorDoc{found.Count(doctor.Fail) == 0, found}
	if err := a.print(doc, func(w io.Writer) { writeFindings(w, found) }); err != nil {
		return err
	}
	switch {
	case !doc.OK:
		return fmt.Errorf("doctor: %s failed", count(found.Count(doctor.Fail), "check"))
	case found.Count(doctor.Warn) > 0:
		return fmt.Errorf("doctor: %w: %s", errIncomplete, count(found.Count(doctor.Warn), "warning"))
	}
	return nil
}

func (a *app) examineNode(ctx context.Context, cfg config.Config, largest int64) doctor.Findings {
	dirs, _ := daemon.DataDirs(cfg) // the checks of cassandra.yaml and directories say what is wrong
	n := doctor.Node{Config: cfg, DataDirs: dirs, Largest: largest, Ask: func(ctx context.Context) (cassandra.Identity, error) {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		conn, err := daemon.Dial(ctx, cfg)
		if err != nil {
			return cassandra.Identity{}, err
		}
		defer conn.Close()
		return conn.Identity(ctx)
	}}
	if cfg.Cassandra.CQL != "" {
		n.LogMode = func(ctx context.Context) (commitlog.Mode, error) {
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			return daemon.LogMode(ctx, cfg)
		}
	}
	return n.Check(ctx)
}

// examineBucket tries the bucket, and the node's history in it. Its second result is what the largest
// table takes on disk.
func (a *app) examineBucket(ctx context.Context, cfg config.Config, n node) (doctor.Findings, int64) {
	b, err := bucketurl.Create(ctx, cfg.Bucket, nil)
	if err != nil {
		return doctor.Findings{{Name: "bucket", Verdict: doctor.Fail, Detail: err.Error(), Remedy: hint(err)}}, 0
	}
	found := doctor.Bucket(ctx, b, n.Prefix, a.now)
	if n == (node{}) {
		return found, 0
	}
	state, err := source{n, &history.Reader{Bucket: b, Prefix: n.Prefix}}.state(ctx)
	f := doctor.Finding{Name: "history", Verdict: doctor.OK}
	switch {
	case errors.Is(err, history.ErrDamaged):
		f.Verdict, f.Detail, f.Remedy = doctor.Fail, err.Error(), hint(err)
	case err != nil:
		f.Verdict, f.Detail, f.Remedy = doctor.Fail, err.Error(), "make reading the bucket work first"
	case state.Newest() == nil:
		f.Verdict, f.Detail, f.Remedy = doctor.Warn, "no backup yet", "`sstash backup --snapshot`, or start the service"
	case state.Whole().Tag == "":
		f.Verdict, f.Detail, f.Remedy = doctor.Warn, "no full of every table yet, so nothing is proven", "wait for the service's first full, or `sstash backup --snapshot`"
	default:
		f.Detail = fmt.Sprintf("entry %d, the last full began %s", state.Seq(), stamp(state.Whole().Began).ago(a.now()))
	}
	return append(found, f), largestTable(state)
}

func largestTable(s *manifest.State) (largest int64) {
	if s == nil {
		return 0
	}
	for _, t := range s.Tables() {
		var bytes int64
		for _, st := range s.Chain(t).SSTables {
			bytes += st.Bytes()
		}
		largest = max(largest, bytes)
	}
	return largest
}

func writeFindings(w io.Writer, found doctor.Findings) {
	for _, f := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Verdict, f.Name, f.Detail)
		if f.Remedy != "" && f.Verdict != doctor.OK {
			fmt.Fprintf(w, "\t\t→ %s\n", f.Remedy)
		}
	}
}
