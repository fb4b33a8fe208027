package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/zeebo/blake3"
)

// ErrSchemaByCQL: the node is older than 4.0 and doesn't describe its schema.
// Its snapshots hold a schema.cql for each table from 3.0.9 on.
var ErrSchemaByCQL = errors.New("schema by CQL is not offered by this version of cassandra")

// Schema is the schema of a cluster without its system keyspaces, roles and
// permissions.
type Schema struct {
	Version string // system.local.schema_version, before and after it was read
	Objects []Object
	// Omitted are tables, as keyspace.name, that CQL can't create, such as
	// those with compact storage. DESCRIBE shows them in comments only.
	Omitted []string
}

// CQL returns the schema as a script, which ParseSchema turns into the same
// objects.
func (s Schema) CQL() string {
	var b strings.Builder
	for _, o := range s.Objects {
		for _, statement := range o.Statements {
			b.WriteString(statement)
			b.WriteString(";\n")
		}
	}
	return b.String()
}

// Hash is BLAKE3 over the objects' statements, in an order of its own: nodes
// that agree on the schema agree on it.
func (s Schema) Hash() [32]byte {
	var texts []string
	for _, o := range s.Objects {
		texts = append(texts, strings.Join(o.Statements, ";\n"))
	}
	slices.Sort(texts)
	h := blake3.New()
	for _, text := range texts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		h.Write(length[:])
		h.WriteString(text)
	}
	return [32]byte(h.Sum(nil))
}

// Schema reads the schema, ids and dropped columns included: DESCRIBE SCHEMA
// WITH INTERNALS, 4.0+. Older nodes give ErrSchemaByCQL.
func (c *Conn) Schema(ctx context.Context) (Schema, error) {
	for range 5 {
		before, err := c.Identity(ctx)
		if err != nil {
			return Schema{}, err
		}
		s, err := c.describe(ctx)
		if err != nil {
			return Schema{}, err
		}
		after, err := c.Identity(ctx)
		if err != nil {
			return Schema{}, err
		}
		if s.Version = before.SchemaVersion; before.SchemaVersion == after.SchemaVersion {
			return s, nil
		}
	}
	return Schema{}, fmt.Errorf("read schema of %s: it keeps changing", c.address)
}

func (c *Conn) describe(ctx context.Context) (Schema, error) {
	rows := c.session.Query("DESCRIBE SCHEMA WITH INTERNALS").IterContext(ctx)
	var s Schema
	var keyspace, kind, name, cql string
	for rows.Scan(&keyspace, &kind, &name, &cql) {
		objects, err := ParseSchema(cql)
		if err != nil {
			rows.Close()
			return Schema{}, fmt.Errorf("read schema of %s: %s %s.%s: %w", c.address, kind, keyspace, name, err)
		}
		if len(objects) == 0 {
			s.Omitted = append(s.Omitted, keyspace+"."+name)
		}
		s.Objects = append(s.Objects, objects...)
	}
	err := rows.Close()
	if code(err) == gocql.ErrCodeSyntax {
		return Schema{}, fmt.Errorf("%w: %w", ErrSchemaByCQL, err)
	}
	if err != nil {
		return Schema{}, fmt.Errorf("read schema of %s: %w", c.address, err)
	}
	return s, nil
}

// Table is a live table or view.
type Table struct {
	TableName
	ID      string   // 32 hex digits, as in its directory
	Base    string   // of a view: its table
	Dropped []string // columns that it once had
}

// Live reads what exists now, system keyspaces included: system_schema, 3.0+.
func (c *Conn) Live(ctx context.Context) (Live, error) {
	tables, err := c.Tables(ctx)
	if err != nil {
		return Live{}, err
	}
	rows := c.session.Query("SELECT keyspace_name FROM system_schema.keyspaces").Consistency(gocql.One).IterContext(ctx)
	live := Live{Tables: tables}
	var name string
	for rows.Scan(&name) {
		live.Keyspaces = append(live.Keyspaces, name)
	}
	if err := rows.Close(); err != nil {
		return Live{}, fmt.Errorf("read keyspaces of %s: %w", c.address, err)
	}
	return live, nil
}

// Tables reads all tables and views, those of system keyspaces included:
// system_schema, 3.0+.
func (c *Conn) Tables(ctx context.Context) ([]Table, error) {
	dropped, err := c.droppedColumns(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := c.tables(ctx, "SELECT keyspace_name, table_name, id FROM system_schema.tables", false)
	if err != nil {
		return nil, err
	}
	views, err := c.tables(ctx, "SELECT keyspace_name, view_name, id, base_table_name FROM system_schema.views", true)
	if err != nil {
		return nil, err
	}
	tables = append(tables, views...)
	for i := range tables {
		tables[i].Dropped = dropped[tables[i].TableName]
	}
	return tables, nil
}

func (c *Conn) tables(ctx context.Context, query string, views bool) ([]Table, error) {
	rows := c.session.Query(query).Consistency(gocql.One).IterContext(ctx)
	var tables []Table
	var t Table
	var id gocql.UUID
	dst := []any{&t.Keyspace, &t.Name, &id}
	if views {
		dst = append(dst, &t.Base)
	}
	for rows.Scan(dst...) {
		t.ID, _ = tableID(id.String())
		tables = append(tables, t)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("read tables of %s: %w", c.address, err)
	}
	return tables, nil
}

func (c *Conn) droppedColumns(ctx context.Context) (map[TableName][]string, error) {
	rows := c.session.Query("SELECT keyspace_name, table_name, column_name FROM system_schema.dropped_columns").
		Consistency(gocql.One).IterContext(ctx)
	dropped := map[TableName][]string{}
	var t TableName
	var column string
	for rows.Scan(&t.Keyspace, &t.Name, &column) {
		dropped[t] = append(dropped[t], column)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("read dropped columns of %s: %w", c.address, err)
	}
	return dropped, nil
}

// Replay executes a plan, waiting for schema agreement after each object, and
// reads back what is live then. A table that somebody else has created
// meanwhile is an error. If Replay breaks off, plan again and mind
// ReplayTable.LacksDropped.
func (c *Conn) Replay(ctx context.Context, plan ReplayPlan) ([]ReplayTable, error) {
	for _, step := range plan.Steps {
		for _, statement := range step.Statements {
			if err := c.Exec(ctx, statement); err != nil {
				return nil, fmt.Errorf("create %s: %w", step, err)
			}
		}
		if err := c.AwaitSchemaAgreement(ctx); err != nil {
			return nil, fmt.Errorf("create %s: %w", step, err)
		}
	}
	tables, err := c.Tables(ctx)
	if err != nil {
		return nil, err
	}
	return replayed(plan, Live{Tables: tables})
}

// replayed compares a plan with what is live after it.
func replayed(plan ReplayPlan, live Live) ([]ReplayTable, error) {
	result := slices.Clone(plan.Tables)
	for i := range result {
		t := &result[i]
		now := live.table(t.TableName)
		if now == nil {
			return nil, fmt.Errorf("create %s: it is not there afterwards", t.TableName)
		}
		t.Created = t.Created && (t.WantedID == "" || t.WantedID == now.ID)
		t.LiveID = now.ID
	}
	return result, nil
}
