package cassandra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Identity is who a node is: system.local, 2.1+.
type Identity struct {
	Cluster, HostID, DC, Rack string
	Release                   string   // 5.0.8
	Partitioner               string   // class with its package
	Tokens                    []string // sorted as text
	SchemaVersion             string   // UUID
	GossipGeneration          int      // grows with each start of the node
}

// Peer is another node of the ring, as this one knows it: system.peers.
type Peer struct {
	Address, HostID, DC, Rack string
	Release                   string
	Tokens                    []string // sorted as text
	SchemaVersion             string   // empty: not known
}

// Identity reads who the node is.
func (c *Conn) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	var host, schema gocql.UUID
	err := c.session.Query(`SELECT cluster_name, host_id, data_center, rack, release_version, partitioner, tokens,
		schema_version, gossip_generation FROM system.local WHERE key = 'local'`).
		Consistency(gocql.One).
		ScanContext(ctx, &id.Cluster, &host, &id.DC, &id.Rack, &id.Release, &id.Partitioner, &id.Tokens, &schema, &id.GossipGeneration)
	if err != nil {
		return Identity{}, fmt.Errorf("read identity of %s: %w", c.address, err)
	}
	id.HostID, id.SchemaVersion = host.String(), schema.String()
	slices.Sort(id.Tokens)
	return id, nil
}

// IncrementalBackups tells whether incremental backups are on just now: system_views.settings, 4.0+.
// Before 4.0, and for users who may not read it, there is only Nodetool.StatusBackup.
func (c *Conn) IncrementalBackups(ctx context.Context) (bool, error) {
	var value string
	err := c.session.Query(`SELECT value FROM system_views.settings WHERE name = 'incremental_backups'`).
		Consistency(gocql.One).ScanContext(ctx, &value)
	if err != nil {
		return false, fmt.Errorf("read settings of %s: %w", c.address, err)
	}
	return value == "true", nil
}

// UnlinkedTables are those, "keyspace.table" and sorted, that have their option incremental_backups off
// (5.0+). Before 5.0 there are none.
func (c *Conn) UnlinkedTables(ctx context.Context) ([]string, error) {
	rows := c.session.Query(`SELECT keyspace_name, table_name, incremental_backups FROM system_schema.tables`).
		Consistency(gocql.One).IterContext(ctx).Scanner()
	var unlinked []string
	for rows.Next() {
		var keyspace, table string
		var on *bool // null: as the node
		if err := rows.Scan(&keyspace, &table, &on); err != nil {
			return nil, fmt.Errorf("read options of tables on %s: %w", c.address, err)
		}
		if on != nil && !*on {
			unlinked = append(unlinked, keyspace+"."+table)
		}
	}
	if err := rows.Err(); err != nil && code(err) != gocql.ErrCodeInvalid {
		return nil, fmt.Errorf("read options of tables on %s: %w", c.address, err)
	}
	slices.Sort(unlinked)
	return unlinked, nil
}

// CommitLog is how the node writes its commit log, as it was configured when it started.
type CommitLog struct {
	Sync       string // periodic, batch or group
	DiskAccess string // 5.0+: legacy, mmap, standard, direct or auto; empty before
}

// CommitLog reads how the node writes its commit log: system_views.settings, 4.0+.
func (c *Conn) CommitLog(ctx context.Context) (CommitLog, error) {
	var l CommitLog
	fields := map[string]*string{"commitlog_sync": &l.Sync, "commitlog_disk_access_mode": &l.DiskAccess}
	for name, field := range fields {
		err := c.session.Query(`SELECT value FROM system_views.settings WHERE name = ?`, name).
			Consistency(gocql.One).ScanContext(ctx, field)
		if err != nil && (field == &l.Sync || !errors.Is(err, gocql.ErrNotFound)) {
			return CommitLog{}, fmt.Errorf("read settings of %s: %w", c.address, err)
		}
	}
	return l, nil
}

// Peers reads the other nodes of the ring, those that are down too.
func (c *Conn) Peers(ctx context.Context) ([]Peer, error) {
	rows := c.session.Query(`SELECT peer, host_id, data_center, rack, release_version, tokens, schema_version FROM system.peers`).
		Consistency(gocql.One).IterContext(ctx).Scanner()
	var peers []Peer
	for rows.Next() {
		var p Peer
		var address net.IP
		var host, schema *gocql.UUID // null while a node joins
		if err := rows.Scan(&address, &host, &p.DC, &p.Rack, &p.Release, &p.Tokens, &schema); err != nil {
			return nil, fmt.Errorf("read peers of %s: %w", c.address, err)
		}
		p.Address = address.String()
		if host != nil {
			p.HostID = host.String()
		}
		if schema != nil {
			p.SchemaVersion = schema.String()
		}
		slices.Sort(p.Tokens)
		peers = append(peers, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read peers of %s: %w", c.address, err)
	}
	return peers, nil
}
