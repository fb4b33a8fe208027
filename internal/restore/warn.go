package restore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/sstable"
)

// Warning is something about a plan that whoever carries it out should know.
type Warning struct {
	Kind   WarningKind `json:"kind"`
	Tables []string    `json:"tables,omitempty"` // "KS.T"; none: all of it
	Text   string      `json:"text"`
}

func (w Warning) String() string {
	switch n := len(w.Tables); {
	case n == 0:
		return w.Text
	case n > 3:
		return fmt.Sprintf("%s, %s and %d more: %s", w.Tables[0], w.Tables[1], n-2, w.Text)
	}
	return strings.Join(w.Tables, ", ") + ": " + w.Text
}

// WarningKind says what a warning is about, for programs.
type WarningKind string

// The kinds of warnings.
const (
	WarnNoBase      WarningKind = "no_base"     // no snapshot: only what was written since backups began
	WarnUnproven    WarningKind = "unproven"    // nothing says through when the table is complete
	WarnDropped     WarningKind = "dropped"     // another table has its name since
	WarnTableID     WarningKind = "table_id"    // the live table has another id: it was made anew
	WarnOld         WarningKind = "old"         // beyond gc_grace_seconds: deleted rows may come back
	WarnAgeUnknown  WarningKind = "age_unknown" // whether it is beyond gc_grace_seconds can't be told
	WarnNoSchema    WarningKind = "no_schema"   // no CQL was recorded that makes the table
	WarnRelease     WarningKind = "release"     // the node runs another release
	WarnPartitioner WarningKind = "partitioner" // the node has another partitioner, and will be left alone
	WarnRenumbered  WarningKind = "renumbered"  // SSTables get fresh numbers
	WarnSchema      WarningKind = "schema"      // replaying the schema left something out, or may not do
	WarnFilesystem  WarningKind = "filesystem"  // import copies instead of moving
	WarnInexact     WarningKind = "inexact"     // as of a flush, not of the moment
	WarnFuture      WarningKind = "future"      // rows have timestamps later than the moment
	WarnNewer       WarningKind = "newer"       // the live table is there, and what is newer in it wins
	WarnCounter     WarningKind = "counter"     // counters of two histories don't add up
	WarnView        WarningKind = "view"        // views of the table are left as they are
)

func (b *builder) warn(kind WarningKind, t Name, format string, args ...any) {
	b.p.warn(kind, t, format, args...)
}

// warn adds a warning about a table; tables that share one are named in it together.
func (p *Plan) warn(kind WarningKind, t Name, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	i := slices.IndexFunc(p.Warnings, func(w Warning) bool { return w.Kind == kind && w.Text == text })
	if i < 0 {
		i = len(p.Warnings)
		p.Warnings = append(p.Warnings, Warning{Kind: kind, Text: text})
	}
	w := &p.Warnings[i]
	if !slices.Contains(w.Tables, t.String()) {
		w.Tables = append(w.Tables, t.String())
	}
}

func (b *builder) warnAll(r Request) {
	for _, t := range b.p.Tables {
		switch {
		case t.Base == "" && t.ProvenUntil.IsZero():
			b.warn(WarnNoBase, t.Source(), "no snapshot is stored: what was written before backups began is missing")
		case t.ProvenUntil.IsZero():
			b.warn(WarnUnproven, t.Source(), "nothing proves through when it is complete")
		}
		if sstable.IsSystemKeyspace(t.Keyspace) {
			continue
		}
		b.warnSchema(t, r)
	}
	if r.Live != nil {
		b.warnLive(*r.Live)
	}
}

// warnSchema: past gc_grace_seconds other replicas may have forgotten what was deleted.
func (b *builder) warnSchema(t Table, r Request) {
	facts := b.describe(t.Source(), t.SchemaCQL)
	if !facts.known {
		b.warn(WarnNoSchema, t.Source(), "no CQL was recorded that makes it: make it by hand before it is loaded")
	}
	age := r.Now.Sub(b.p.Point.Time)
	switch {
	case !facts.gcKnown:
		b.warn(WarnAgeUnknown, t.Source(), "its gc_grace_seconds is not known: if the point is older than that, deleted rows may come back")
	case age > facts.gcGrace:
		b.warnOld(t, r, age, facts.gcGrace)
	}
}

// warnOld: what was deleted since the point comes back, unless every replica gets the same tombstones
// and keeps them until a repair has compared them.
func (b *builder) warnOld(t Table, r Request, age, grace time.Duration) {
	const day = 24 * time.Hour
	raised := (age + 10*day).Round(day)
	text := fmt.Sprintf("the point is %s old, gc_grace_seconds is %s: rows that were deleted come back where a replica has dropped their tombstones. ",
		age.Round(time.Minute), grace)
	if r.To == "" && r.As == "" {
		text += "Restore beside the table (--as KS.T), or on every replica: "
	} else {
		text += "Before it takes part in the ring again: "
	}
	b.warn(WarnOld, t.Source(), "%s1. ALTER TABLE … WITH gc_grace_seconds = %d; 2. restore the same point on all replicas; "+
		"3. nodetool repair -full; 4. ALTER TABLE … WITH gc_grace_seconds = %d", text, int(raised.Seconds()), int(grace.Seconds()))
}

func (b *builder) warnLive(live Live) {
	p, id := b.p, live.Identity
	if p.Source != nil && p.Source.Release != "" && p.Source.Release != id.Release {
		p.Warnings = append(p.Warnings, Warning{Kind: WarnRelease,
			Text: fmt.Sprintf("the point is of Cassandra %s, the node runs %s", p.Source.Release, id.Release)})
	}
	for _, t := range p.Tables {
		for _, has := range t.partitioners() {
			if !samePartitioner(has, id.Partitioner) {
				b.warn(WarnPartitioner, t.Source(), "its partitioner is %s, the node's %s: it can't be loaded there", has, id.Partitioner)
			}
		}
		has, ok := liveID(live.Schema, t.Target())
		if !ok || t.As != nil || sstable.IsSystemKeyspace(t.Keyspace) {
			continue
		}
		if has != t.ID {
			b.warn(WarnTableID, t.Source(), "the live table was made anew: its id is %s, the point's is %s", has, t.ID)
		}
		b.warn(WarnNewer, t.Source(), "the table exists: what is newer in it, or on other replicas, wins over what is restored. "+
			"Unless it was truncated, which empties all replicas, TRUNCATE it first, or restore beside it (--as KS.T)")
		if b.describe(t.Source(), t.SchemaCQL).counter {
			b.warn(WarnCounter, t.Source(), "its counters are sums of what each replica counted: restore all replicas to the same moment, "+
				"or the sums are of several")
		}
		b.warnViews(t, live.Schema)
	}
}

// warnViews: an import into a table leaves its views alone, and those that are in the plan get their
// own SSTables.
func (b *builder) warnViews(t Table, live cassandra.Live) {
	for _, view := range live.Tables {
		name := Name{view.Keyspace, view.Name}
		if view.Keyspace != t.Keyspace || view.Base != t.Name ||
			slices.ContainsFunc(b.p.Tables, func(t Table) bool { return t.Source() == name }) {
			continue
		}
		b.warn(WarnView, t.Source(), "its view %s is not restored, and an import does not update it: drop it, and create it again afterwards", name)
	}
}
