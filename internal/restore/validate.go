package restore

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/pack"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
)

// What these admit has no separator and can't be "." or ".."; manifest admits the same.
var (
	wordPattern  = regexp.MustCompile(`^\w{1,222}$`)
	indexPattern = regexp.MustCompile(`^(\.\w{1,222})?$`)
	filePattern  = regexp.MustCompile(`^\w[\w.+-]{0,250}$`)
)

// maxList is the longest frame list that is fetched: enough for a component of 1 TiB.
const maxList = 64 << 20

func isWord(s string) bool { return wordPattern.MatchString(s) }

func bad(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrBadPlan)...)
}

// validate holds for what is written and for what is read.
func (p *Plan) validate() error {
	if p.Format < 1 || p.Format > PlanFormat {
		return bad("format %d, this sstash knows %d", p.Format, PlanFormat)
	}
	if err := bucket.CheckName(p.Prefix + pack.Name(pack.SetID{}, 0)); err != nil {
		return bad("prefix: %v", err)
	}
	if p.To != "" && (!filepath.IsAbs(p.To) || filepath.Clean(p.To) != p.To) {
		return bad("%q is no absolute path", p.To)
	}
	seen := map[string]bool{}
	var total int64
	for _, t := range p.Tables {
		place := t.Dir()
		if p.To == "" {
			place = t.Target().String() // two tables of one name are one in a node
		}
		if seen[place] {
			return bad("table %s is there twice", t.Source())
		}
		seen[place] = true
		if err := p.validateTable(t, &total); err != nil {
			return fmt.Errorf("table %q.%q: %w", t.Keyspace, t.Name, err)
		}
	}
	if err := p.validateReplay(); err != nil {
		return err
	}
	if total != p.Bytes || p.FetchBytes < 0 {
		return bad("%d bytes planned, %d listed", p.Bytes, total)
	}
	return nil
}

func (p *Plan) validateTable(t Table, total *int64) error {
	if err := manifest.CheckTable(t.Table()); err != nil {
		return fmt.Errorf("%w: %w", ErrBadPlan, err)
	}
	if t.As != nil && (!isWord(t.As.Keyspace) || !isWord(t.As.Table) || len(p.Tables) != 1 || p.To != "") {
		return bad("can't be restored as %q", *t.As)
	}
	paths := map[string]bool{}
	for _, s := range t.SSTables {
		if !indexPattern.MatchString(s.Index) || s.Index != "" && p.To == "" {
			return bad("index %q", s.Index)
		}
		for _, f := range s.Files {
			at := s.Path(f.Name)
			if paths[at] {
				return bad("%q is there twice", at)
			}
			paths[at] = true
			if err := p.validateFile(s, f); err != nil {
				return err
			}
			if *total > math.MaxInt64-f.Size {
				return bad("more bytes than there are")
			}
			*total += f.Size
		}
	}
	return nil
}

func (p *Plan) validateFile(s SSTable, f File) error {
	name := s.Stem + "-" + f.Name
	switch {
	case !filePattern.MatchString(s.Stem) || !filePattern.MatchString(f.Name) || len(name) > 255:
		return bad("%q is no name of an SSTable's file", name)
	case f.Size < 0:
		return bad("%q has size %d", name, f.Size)
	case f.Set < 0 || f.Set >= len(p.Sets):
		return bad("%q is in pack set %d of %d", name, f.Set, len(p.Sets))
	case f.Size > 0 && (f.List.Len == 0 || f.List.Len > maxList):
		return bad("%q has a frame list of %d bytes", name, f.List.Len)
	}
	return nil
}

func (p *Plan) validateReplay() error {
	r := p.Replay
	if r == nil {
		return nil
	}
	if r.Segments && p.To == "" {
		return bad("segments of the log are for a directory")
	}
	if r.From.IsZero() || r.To.Before(r.From) || r.Until.After(r.To) || r.Bytes < 0 {
		return bad("the log from %s to %s, until %s", r.From, r.To, r.Until)
	}
	for _, n := range r.Tables {
		if !slices.ContainsFunc(p.Tables, func(t Table) bool { return t.Source() == n && t.ID != "" && !sstable.IsSystemKeyspace(n.Keyspace) }) {
			return bad("the log of %s is replayed, and the table is not restored", n)
		}
	}
	return nil
}
