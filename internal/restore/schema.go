package restore

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sstash/sstash/internal/cassandra"
)

// tableFacts is what a plan wants to know from a table's CQL.
type tableFacts struct {
	known   bool
	id      string // as in sstable.Table; "" where the CQL doesn't say
	view    bool
	counter bool // has a counter column, as far as that can be seen
	base    Name // of a view
	gcGrace time.Duration
	gcKnown bool
}

var counterPattern = regexp.MustCompile(`(?i)[\w"]\s+counter\s*[,)\n]`)

var gcGracePattern = regexp.MustCompile(`(?i)\bgc_grace_seconds\s*=\s*(\d{1,9})\b`)

// factsOf finds tables and views in CQL. CQL that can't be read tells nothing.
func factsOf(cql string) map[Name]tableFacts {
	found := map[Name]tableFacts{}
	objects, err := cassandra.ParseSchema(cql)
	if err != nil {
		return found
	}
	for _, o := range objects {
		if !isTableObject(o) {
			continue
		}
		f := tableFacts{known: true, id: o.ID, view: o.Kind == cassandra.KindView, counter: counterPattern.MatchString(o.Statements[0])}
		if f.view {
			f.base = Name{o.Keyspace, o.Table}
		}
		if s := gcGracePattern.FindStringSubmatch(o.Statements[0]); s != nil {
			seconds, _ := strconv.Atoi(s[1]) // at most nine digits
			f.gcGrace, f.gcKnown = time.Duration(seconds)*time.Second, true
		}
		found[Name{o.Keyspace, o.Name}] = f
	}
	return found
}

func script(statements []string) string { return strings.Join(statements, ";\n") }

// objects is the schema of the plan: as recorded for the node, and for tables that are not in there,
// what their snapshots have beside them. Those lack the keyspace.
func (p *Plan) objects() ([]cassandra.Object, error) {
	all, err := cassandra.ParseSchema(script(p.Schema))
	if err != nil {
		return nil, err
	}
	has := func(o cassandra.Object) bool {
		return slices.ContainsFunc(all, func(a cassandra.Object) bool {
			return a.Kind == o.Kind && a.Keyspace == o.Keyspace && a.Name == o.Name
		})
	}
	for _, t := range p.Tables {
		more, err := cassandra.ParseSchema(t.SchemaCQL)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(more, func(o cassandra.Object) bool { return isTableObject(o) && has(o) }) {
			continue
		}
		for _, o := range more {
			if !has(o) {
				all = append(all, o)
			}
		}
	}
	return all, nil
}

func isTableObject(o cassandra.Object) bool {
	return o.Kind == cassandra.KindTable || o.Kind == cassandra.KindView
}

// replay plans what of the schema must be made in a node that has live. Tables that no schema
// describes, such as those of system keyspaces, must be there already.
func (p *Plan) replay(live cassandra.Live, replication map[string]cassandra.Replication) (cassandra.ReplayPlan, error) {
	objects, err := p.objects()
	if err != nil {
		return cassandra.ReplayPlan{}, err
	}
	o := cassandra.ReplayOptions{Replication: replication}
	for _, t := range p.Tables {
		if slices.ContainsFunc(objects, func(o cassandra.Object) bool {
			return isTableObject(o) && o.Keyspace == t.Keyspace && o.Name == t.Name
		}) {
			o.Tables = append(o.Tables, cassandra.TableName{Keyspace: t.Keyspace, Name: t.Name})
		}
		if t.As != nil {
			o.As = cassandra.TableName{Keyspace: t.As.Keyspace, Name: t.As.Table}
		}
	}
	if p.Whole && len(p.Schema) > 0 {
		o.Tables = nil // functions, and tables that nothing is stored of, too
	} else if len(o.Tables) == 0 {
		return cassandra.ReplayPlan{}, nil
	}
	return cassandra.PlanReplay(objects, live, o)
}

// liveID finds a table of the node.
func liveID(live cassandra.Live, n Name) (string, bool) {
	for _, t := range live.Tables {
		if t.Keyspace == n.Keyspace && t.Name == n.Table {
			return t.ID, true
		}
	}
	return "", false
}
