package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
)

// TagPrefix begins the tags of the snapshots that sstash takes, and that it clears again.
const TagPrefix = "sstash-"

// ErrTag: a snapshot of ours can't be called that.
var ErrTag = errors.New("can't be the tag of our snapshot")

// Own tells whether sstash took the snapshot of that tag.
func Own(tag string) bool { return strings.HasPrefix(tag, TagPrefix) }

// note is what we remember of a snapshot that we took: files can't tell when it began, nor that it
// succeeded for all tables. It is a file in the state directory, because `sstash snapshot` may run
// beside the service. Without it (I5) the snapshot is stored as anybody's would be: table by table,
// with nothing proven.
type note struct {
	Tag   string    `json:"tag"`
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"` // zero: did not succeed, or not yet
	All   bool      `json:"all"`            // every table of the node
}

func (n note) ok() bool { return !n.Ended.IsZero() }

// Snapshots takes and clears the snapshots of one node and remembers them.
type Snapshots struct {
	Nodetool cassandra.Nodetool
	Dir      string // <state>/snapshots
	Now      func() time.Time
}

// ErrTaken: another process has taken or cleared a snapshot of the same tag meanwhile. What is there by
// now may be of either, in part, or gone in part.
var ErrTaken = errors.New("another process takes or clears a snapshot of that tag")

// Take makes Cassandra flush and snapshot the tables (all of them when there are none), under tag.
func (s Snapshots) Take(ctx context.Context, tag string, tables []string) error {
	before := s.notes()[tag]
	n := note{Tag: tag, Began: s.Now().UTC().Round(0), All: len(tables) == 0}
	if err := s.write(n); err != nil {
		return err
	}
	if err := s.Nodetool.Snapshot(ctx, tag, tables); err != nil {
		if before.ok() && errors.Is(err, cassandra.ErrSnapshotExists) {
			err = errors.Join(err, s.write(before)) // it is still what that snapshot is worth
		}
		return err
	}
	if s.notes()[tag] != n {
		return fmt.Errorf("snapshot %s: %w", tag, ErrTaken)
	}
	n.Ended = s.Now().UTC()
	return s.write(n)
}

// Clear removes the snapshot from the node, in all tables.
func (s Snapshots) Clear(ctx context.Context, tag string) error {
	if !Own(tag) {
		return fmt.Errorf("clear snapshot %q: sstash did not take it", tag)
	}
	// The note goes first: of a snapshot that is cleared in part, nothing is known.
	if err := os.Remove(s.path(tag)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget snapshot: %w", err)
	}
	return s.Nodetool.ClearSnapshot(ctx, tag)
}

// notes are all notes by tag. What can't be read is as good as lost.
func (s Snapshots) notes() map[string]note {
	found := map[string]note{}
	files, _ := os.ReadDir(s.Dir)
	for _, f := range files {
		var n note
		b, err := os.ReadFile(filepath.Join(s.Dir, f.Name()))
		if err == nil && json.Unmarshal(b, &n) == nil && f.Name() == n.Tag+".json" {
			found[n.Tag] = n
		}
	}
	return found
}

func (s Snapshots) path(tag string) string { return filepath.Join(s.Dir, tag+".json") }

// write replaces the note whole.
func (s Snapshots) write(n note) error {
	if !Own(n.Tag) || filepath.Base(n.Tag) != n.Tag {
		return fmt.Errorf("%q %w: it must begin with %q and hold no slash", n.Tag, ErrTag, TagPrefix)
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return fmt.Errorf("remember snapshot: %w", err)
	}
	temp := s.path(n.Tag) + ".tmp"
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return fmt.Errorf("remember snapshot: %w", err)
	}
	if err := os.Rename(temp, s.path(n.Tag)); err != nil {
		return fmt.Errorf("remember snapshot: %w", err)
	}
	return nil
}
