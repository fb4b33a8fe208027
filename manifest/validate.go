package manifest

import (
	"fmt"
	"regexp"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/sstable"
)

// Names become paths at restore. What these patterns admit has no separator and can't be "." or
// "..". Cassandra's own rules are narrower (SchemaConstants, Component.Type).
var (
	namePattern  = regexp.MustCompile(`^\w{1,222}$`)
	idPattern    = regexp.MustCompile(`^([0-9a-f]{32})?$`)
	indexPattern = regexp.MustCompile(`^(\.\w{1,222})?$`)
	filePattern  = regexp.MustCompile(`^\w[\w.+-]{0,250}$`)
)

// validate holds for what is written and for what is read: a manifest from a bucket is input from a
// stranger.
func (m *Manifest) validate() error {
	switch {
	case m.Format < 1 || m.Format > Format || m.Suite != 0 || !known(m.Critical):
		return fmt.Errorf("format %d, suite %d %v: %w", m.Format, m.Suite, m.Critical, ErrNewer)
	case !knownKind(m.Kind):
		return fmt.Errorf("kind %q: %w", m.Kind, ErrNewer)
	case m.Seq == 0 || m.Base == 0 || m.Base > m.Seq:
		return corrupt("sequence %d with base %d", m.Seq, m.Base)
	case m.Kind == Full && m.Body.Full == nil:
		return corrupt("a full without its part")
	}
	for _, t := range m.Body.Tables {
		if err := m.validateTable(t); err != nil {
			return err
		}
	}
	if err := m.validateRoll(); err != nil {
		return err
	}
	return m.validateProofs()
}

func (m *Manifest) validateTable(t Table) error {
	if err := CheckTable(t.Table); err != nil {
		return err
	}
	for _, s := range t.SSTables {
		if err := m.validateSSTable(s, true); err != nil {
			return fmt.Errorf("table %s.%s: %w", t.Keyspace, t.Name, err)
		}
	}
	for _, s := range t.Superseded {
		if err := m.validateSSTable(s, false); err != nil {
			return fmt.Errorf("table %s.%s: %w", t.Keyspace, t.Name, err)
		}
	}
	return m.validateCut(t)
}

func (m *Manifest) validateSSTable(s SSTable, stored bool) error {
	if !indexPattern.MatchString(s.Index) {
		return corrupt("%q is no name of an index directory", s.Index)
	}
	seen := make(map[string]bool, len(s.Components))
	for _, c := range s.Components {
		file := s.Stem + "-" + c.Name
		switch {
		case !filePattern.MatchString(s.Stem) || !filePattern.MatchString(c.Name) || len(file) > 255:
			return corrupt("%q is no name of an SSTable's file", file)
		case seen[c.Name]:
			return corrupt("%q is there twice", file)
		case c.Size < 0:
			return corrupt("%q has size %d", file, c.Size)
		case stored && (c.Set < 0 || c.Set >= len(m.Keeps)):
			return corrupt("%q is in pack set %d of %d", file, c.Set, len(m.Keeps))
		case stored && c.List.Pack >= m.Keeps[c.Set].Packs:
			return corrupt("%q is in pack %d of %d", file, c.List.Pack, m.Keeps[c.Set].Packs)
		}
		seen[c.Name] = true
	}
	return nil
}

// CheckTable refuses names that could leave a directory.
func CheckTable(t sstable.Table) error {
	if !namePattern.MatchString(t.Keyspace) || !namePattern.MatchString(t.Name) || !idPattern.MatchString(t.ID) {
		return corrupt("%q.%q with id %q is no name of a table", t.Keyspace, t.Name, t.ID)
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, chunker.ErrCorrupt)...)
}
