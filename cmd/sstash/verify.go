package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/verify"
)

type verifyVerb struct {
	*app
	chooser
	deep   bool
	sample string
}

// verifyDoc is what `verify --json` prints.
type verifyDoc struct {
	Cluster             string           `json:"cluster"`
	HostID              string           `json:"host_id"`
	Objects             int              `json:"objects"` // that the history names
	Bytes               int64            `json:"bytes"`
	Manifests           int              `json:"manifests"`
	PacksRead           int              `json:"packs_read"` // whole, every frame decoded
	BytesRead           int64            `json:"bytes_read"`
	UnreferencedObjects int              `json:"unreferenced_objects"`
	UnreferencedBytes   int64            `json:"unreferenced_bytes"`
	Problems            []verify.Problem `json:"problems"`
}

func newVerify(a *app) *cobra.Command {
	v := &verifyVerb{app: a}
	cmd := &cobra.Command{
		Use:   "verify [--deep | --sample N%]",
		Short: "Verify a node's objects in the bucket against its history",
		Long: `Reads every manifest, and compares presence and sizes of all objects that they name. --deep reads every
byte and decodes every frame; --sample reads that share of the packs: those that were read longest ago,
so that ten runs with 10% read everything.`,
		Example: "  sstash verify\n  sstash verify --deep --json\n  sstash verify --sample 5% --bucket gs://acme-backup/sstash --node 1c380315",
		Args:    cobra.NoArgs,
		RunE:    a.verb(v.run),
	}
	v.flags(cmd)
	cmd.Flags().BoolVar(&v.deep, "deep", false, "read every byte and decode every frame")
	cmd.Flags().StringVar(&v.sample, "sample", "", "read only so many of the packs, such as 5%")
	return cmd
}

func (v *verifyVerb) run(ctx context.Context, _ []string) error {
	share, err := v.share()
	if err != nil {
		return err
	}
	source, err := v.open(ctx, v.chooser)
	if err != nil {
		return err
	}
	p := v.progress()
	defer p.end()
	s := &verify.Scrub{Source: source.Reader, Progress: func(what string, done, total int64) {
		if what == "bytes" {
			p.show("decoded %s of %s%s", size(done), size(total), p.left(done, total-done))
		} else {
			p.show("read %d of %d %s", done, total, what)
		}
	}}
	if err := s.Shallow(ctx); err != nil {
		return err
	}
	doc := verifyDoc{Cluster: source.Cluster, HostID: source.HostID}
	if share > 0 {
		if err := v.read(ctx, s, share, &doc); err != nil {
			return err
		}
	}
	p.end()
	slices.SortStableFunc(s.Problems, func(a, b verify.Problem) int { return strings.Compare(a.Object, b.Object) })
	doc.Objects, doc.Bytes, doc.Manifests, doc.Problems = s.Objects, s.Bytes, s.Manifests, list(s.Problems)
	for i := range doc.Problems {
		doc.Problems[i].Affects = list(doc.Problems[i].Affects)
	}
	doc.UnreferencedObjects, doc.UnreferencedBytes = s.Stray, s.StrayBytes
	if err := v.print(doc, doc.write); err != nil {
		return err
	}
	if n := len(doc.Problems); n > 0 {
		return fmt.Errorf("verify %s: %s, the first: %s: %s", source.node, count(n, "problem"), doc.Problems[0].Object, doc.Problems[0].What)
	}
	return nil
}

// share is how much of the packs to read, 0 to 1.
func (v *verifyVerb) share() (float64, error) {
	if v.sample != "" && v.deep {
		return 0, usagef("--deep reads everything, --sample a share of it: give one of them")
	}
	if v.sample == "" {
		if v.deep {
			return 1, nil
		}
		return 0, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(v.sample, "%"), 64)
	if err != nil || !(percent > 0 && percent <= 100) {
		return 0, usagef("--sample %q is no share such as 5%%", v.sample)
	}
	return percent / 100, nil
}

// read reads a share of the packs, those first that were read longest ago.
func (v *verifyVerb) read(ctx context.Context, s *verify.Scrub, share float64, doc *verifyDoc) error {
	cfg, err := v.config()
	if err != nil {
		return err
	}
	memory := recallReads(cfg.State, cfg.Bucket)
	targets := s.Targets()
	slices.SortStableFunc(targets, func(a, b verify.Target) int { return memory.Read[a.Name].Compare(memory.Read[b.Name]) })
	targets = targets[:int(math.Ceil(share*float64(len(targets))))]
	err = s.Deep(ctx, targets, func(name string) { memory.Read[name] = v.now().UTC() })
	for _, t := range targets {
		doc.PacksRead++
		doc.BytesRead += t.Size
	}
	if problem := memory.keep(cfg.State); problem != nil {
		v.logger().Debug("what was read is not remembered", "error", problem)
	}
	return err
}

// reads remembers when packs were last read and found right. It is a cache (I5): without it, the next
// sample begins at the first pack.
type reads struct {
	Bucket string               `json:"bucket"`
	Read   map[string]time.Time `json:"read"` // by object
}

const readsFile = "verified-1.json"

func recallReads(state, bucket string) reads {
	var r reads
	b, err := os.ReadFile(filepath.Join(state, readsFile))
	if err != nil || json.Unmarshal(b, &r) != nil || r.Bucket != bucket || r.Read == nil {
		return reads{bucket, map[string]time.Time{}}
	}
	return r
}

func (r reads) keep(state string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(state, readsFile+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(state, readsFile))
}

func (d verifyDoc) write(w io.Writer) {
	fmt.Fprintf(w, "%s/%s: %s, %s: %d manifests", d.Cluster, d.HostID, count(d.Objects, "object"), size(d.Bytes), d.Manifests)
	if d.PacksRead > 0 {
		fmt.Fprintf(w, ", %s decoded (%s)", count(d.PacksRead, "pack"), size(d.BytesRead))
	}
	fmt.Fprintln(w)
	if d.UnreferencedObjects > 0 {
		fmt.Fprintf(w, "%s that no manifest names, %s: of uploads that are under way, or were cut off\n", count(d.UnreferencedObjects, "pack"), size(d.UnreferencedBytes))
	}
	for _, p := range d.Problems {
		fmt.Fprintf(w, "problem: %s: %s (affects %s)\n", p.Object, p.What, strings.Join(p.Affects, ", "))
	}
	if len(d.Problems) == 0 {
		fmt.Fprintln(w, "no problems")
	}
}
