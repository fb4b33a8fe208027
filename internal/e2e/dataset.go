// Package e2e lives the life of a node with sstash beside it: a real Cassandra with tables of every
// shape, the real program as a process of its own. The demo and the end-to-end tests share it; the
// product never imports it.
package e2e

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"golang.org/x/sync/errgroup"

	"github.com/sstash/sstash/internal/cassandratest"
)

// Schema is what Load fills: secondary index, static columns, collections, a user type, counters,
// TTL, deletions, names that look like Cassandra's own directories, and names that need quoting.
var schema = []string{
	`CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
	`CREATE KEYSPACE "Shop" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
	`CREATE KEYSPACE backups WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
	`CREATE TYPE shop.address (street text, city text, zip int)`,
	`CREATE TABLE shop.users (id int PRIMARY KEY, name text, city text, home frozen<address>, tags set<text>, attributes map<text, text>)`,
	`CREATE INDEX users_city ON shop.users (city)`,
	`CREATE TABLE shop.orders (customer int, placed int, customer_name text static, items list<text>, total decimal, PRIMARY KEY (customer, placed)) WITH CLUSTERING ORDER BY (placed DESC)`,
	`CREATE TABLE shop.metrics (sensor int, at timestamp, value double, ok boolean, PRIMARY KEY (sensor, at))`,
	`CREATE TABLE shop.sessions (id int PRIMARY KEY, secret text, seen timestamp) WITH default_time_to_live = 864000`,
	`CREATE TABLE shop.hits (page int PRIMARY KEY, n counter)`,
	`CREATE TABLE shop.messages (room int, id int, body text, PRIMARY KEY (room, id))`,
	`CREATE TABLE shop.snapshots (id int PRIMARY KEY, note text) WITH compression = {'class': 'ZstdCompressor'}`,
	`CREATE TABLE shop.documents (id int PRIMARY KEY, body blob) WITH compression = {'enabled': 'false'}`,
	`CREATE TABLE "Shop"."Orders" ("Id" int PRIMARY KEY, "Select" text)`,
	`CREATE TABLE backups.kv (k int PRIMARY KEY, v text)`,
}

// Tables are the tables of the schema.
func Tables() []string {
	return []string{
		"shop.users", "shop.orders", "shop.metrics", "shop.sessions", "shop.hits", "shop.messages",
		"shop.snapshots", "shop.documents", `"Shop"."Orders"`, "backups.kv",
	}
}

// CreateSchema makes keyspaces, types, tables and the index.
func CreateSchema(s *cassandratest.Session) error {
	for _, cql := range schema {
		if err := s.Query(cql).Exec(); err != nil {
			return fmt.Errorf("%s: %w", cql, err)
		}
	}
	return nil
}

// Load writes round number round of rows: about rows of them, spread over all tables, with updates
// of and deletions from earlier rounds.
func Load(ctx context.Context, s *cassandratest.Session, round, rows int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	exec := func(cql string, args ...any) {
		g.Go(func() error {
			if err := s.Query(cql, args...).ExecContext(gctx); err != nil {
				return fmt.Errorf("%s: %w", cql, err)
			}
			return nil
		})
	}
	base := round * rows
	for i := range rows / 20 {
		id := base + i
		exec(`INSERT INTO shop.users (id, name, city, home, tags, attributes) VALUES (?, ?, ?, {street: 'Main', city: 'Ulm', zip: 89073}, ?, ?)`,
			id, fmt.Sprint("user ", id), fmt.Sprint("city ", id%7), []string{"a", fmt.Sprint("t", id%13)}, map[string]string{"k": fmt.Sprint(id)})
		exec(`INSERT INTO shop.orders (customer, placed, customer_name, items, total) VALUES (?, ?, ?, ?, 12.50)`,
			id%97, id, fmt.Sprint("customer ", id%97, " as of round ", round), []string{"x", fmt.Sprint(id)})
		exec(`INSERT INTO shop.sessions (id, secret, seen) VALUES (?, ?, ?)`, id, strings.Repeat(fmt.Sprint(id), 5), time.UnixMilli(int64(id)))
		exec(`UPDATE shop.hits SET n = n + ? WHERE page = ?`, int64(round+1), i%500)
		exec(`INSERT INTO shop.messages (room, id, body) VALUES (?, ?, ?)`, id%53, id, strings.Repeat("hello ", id%9))
		exec(`INSERT INTO shop.snapshots (id, note) VALUES (?, ?)`, id, fmt.Sprint("note ", id))
		exec(`INSERT INTO "Shop"."Orders" ("Id", "Select") VALUES (?, ?)`, id, fmt.Sprint("quoted ", id))
		exec(`INSERT INTO backups.kv (k, v) VALUES (?, ?)`, id, fmt.Sprint("v", id))
		if i%20 == 0 {
			exec(`INSERT INTO shop.documents (id, body) VALUES (?, ?)`, id, blob(id))
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := loadMetrics(ctx, s, base, rows-8*(rows/20)); err != nil {
		return err
	}
	return remove(s, round, base)
}

// loadMetrics writes rows in unlogged batches, one partition each.
func loadMetrics(ctx context.Context, s *cassandratest.Session, base, rows int) error {
	const perBatch = 100
	g := new(errgroup.Group)
	g.SetLimit(16)
	for first := 0; first < rows; first += perBatch {
		g.Go(func() error {
			b := s.Batch(gocql.UnloggedBatch)
			for i := first; i < min(first+perBatch, rows); i++ {
				b.Query(`INSERT INTO shop.metrics (sensor, at, value, ok) VALUES (?, ?, ?, ?)`,
					(base+first)/perBatch, time.UnixMilli(1_700_000_000_000+int64(base+i)*1000), float64(i)/8, i%3 == 0)
			}
			return b.ExecContext(context.Background())
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("load metrics: %w", err)
	}
	return ctx.Err()
}

// remove deletes a cell, rows, a range and a partition of what is there.
func remove(s *cassandratest.Session, round, base int) error {
	for _, cql := range []string{
		fmt.Sprintf(`DELETE home FROM shop.users WHERE id = %d`, base),
		fmt.Sprintf(`DELETE FROM shop.users WHERE id = %d`, base+1),
		fmt.Sprintf(`DELETE FROM shop.messages WHERE room = %d`, round%53),
		fmt.Sprintf(`DELETE FROM shop.messages WHERE room = 7 AND id > %d AND id < %d`, base, base+200),
		fmt.Sprintf(`UPDATE shop.users SET tags = tags - {'a'}, attributes = attributes + {'round': '%d'} WHERE id = %d`, round, base+2),
	} {
		if err := s.Query(cql).Exec(); err != nil {
			return fmt.Errorf("%s: %w", cql, err)
		}
	}
	return nil
}

func blob(seed int) []byte {
	b := make([]byte, 4096)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// Rows is every row of every table, as text, sorted.
type Rows map[string][]string

// Dump reads every row.
func Dump(ctx context.Context, s *cassandratest.Session, tables []string) (Rows, error) {
	rows := Rows{}
	for _, table := range tables {
		iter := s.Query(`SELECT * FROM ` + table).PageSize(2000).IterContext(ctx)
		for {
			row := map[string]any{}
			if !iter.MapScan(row) {
				break
			}
			rows[table] = append(rows[table], text(row))
		}
		if err := iter.Close(); err != nil {
			return nil, fmt.Errorf("read %s: %w", table, err)
		}
		slices.Sort(rows[table])
	}
	return rows, nil
}

func text(row map[string]any) string {
	names := make([]string, 0, len(row))
	for n := range row {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s=%v ", n, row[n])
	}
	return b.String()
}

// Count is how many rows there are in all.
func (r Rows) Count() (n int) {
	for _, rows := range r {
		n += len(rows)
	}
	return n
}

// Diff says how got differs from r, row by row; empty when every row is the same.
func (r Rows) Diff(got Rows) string {
	var b strings.Builder
	for table, want := range r {
		missing, extra := difference(want, got[table]), difference(got[table], want)
		if len(missing)+len(extra) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s: %d rows, want %d: %d missing, %d extra\n", table, len(got[table]), len(want), len(missing), len(extra))
		for _, m := range missing[:min(3, len(missing))] {
			fmt.Fprintf(&b, "  missing %.200s\n", m)
		}
		for _, e := range extra[:min(3, len(extra))] {
			fmt.Fprintf(&b, "  extra   %.200s\n", e)
		}
	}
	return b.String()
}

// difference is what of the sorted list a is not in the sorted list b.
func difference(a, b []string) (only []string) {
	for len(a) > 0 {
		switch {
		case len(b) == 0 || a[0] < b[0]:
			only = append(only, a[0])
			a = a[1:]
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
		default:
			b = b[1:]
		}
	}
	return only
}
