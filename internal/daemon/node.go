package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/sstable"
	"github.com/sstash/sstash/manifest"
	"github.com/sstash/sstash/uploader"
	"github.com/sstash/sstash/watcher"
)

// Node is one database node with its bucket, open for writing its history.
type Node struct {
	*backup.Node
	Config  config.Config
	Cluster string
	HostID  string
	Bucket  bucket.Bucket

	cache *history.Cache
	claim *claim
	// listener is where the service answers; nil where there is none.
	listener net.Listener
}

// How often the database is asked what it did: by CQL, and by nodetool, which is three JVMs.
const (
	observeEvery           = time.Minute
	observeByNodetoolEvery = 10 * time.Minute
)

// nodetoolTimeout is how long a snapshot may take: passes wait for it.
const nodetoolTimeout = 30 * time.Minute

// Options are what opening a node needs besides its configuration.
type Options struct {
	Config  config.Config
	Version string // of sstash, for the history
	// Listen binds the configured address, for a service.
	Listen bool
	// StartOver leaves a damaged history behind: ours begins after its last entry, and refers to
	// nothing before.
	StartOver bool
	Progress  func(uploader.Progress) // may be nil
}

// Open learns who the node is, locks the state directory, claims the data directories and opens the
// history: from here on, no other sstash commits for this node. The caller closes the node.
func Open(ctx context.Context, o Options) (*Node, error) {
	c := o.Config
	who, err := Identify(ctx, c)
	if err != nil {
		return nil, err
	}
	dirs, err := DataDirs(c)
	if err != nil {
		return nil, err
	}
	prefix, err := config.Prefix(who.Cluster, who.HostID)
	if err != nil {
		return nil, err
	}
	level, tables, err := levels(c)
	if err != nil {
		return nil, err
	}
	b, err := bucketurl.Create(ctx, c.Bucket, limiter(c.Limits.Upload))
	if err != nil {
		return nil, err
	}
	n := &Node{Config: c, Cluster: who.Cluster, HostID: who.HostID, Bucket: b}
	if n.claim, err = claimDirs(dirs, c.Links == config.LinksPrune); err != nil {
		return nil, err
	}
	if n.cache, err = history.OpenCache(c.State, c.Bucket); err != nil {
		n.claim.release()
		return nil, err
	}
	// Whatever can fail comes before the history: opening it ends another writer.
	if o.Listen && c.Listen != "" {
		if n.listener, err = net.Listen("tcp", c.Listen); err != nil {
			n.Close()
			return nil, fmt.Errorf("listen (key listen): %w", err)
		}
	}
	host, _ := os.Hostname() // only said to people
	open := manifest.Body{Writer: &manifest.Writer{Host: host, PID: os.Getpid(), Version: o.Version}}
	w, err := history.OpenWriter(ctx, history.Reader{Bucket: b, Prefix: prefix, Cache: n.cache},
		history.Identity{Cluster: who.Cluster, HostID: who.HostID}, open,
		history.WriterOptions{Now: time.Now, StartOver: o.StartOver})
	if err != nil {
		n.Close()
		return nil, err
	}
	n.Node = &backup.Node{
		DataDirs: dirs,
		Judge:    &watcher.Judge{Settle: c.Watch.Settle, Patience: c.Watch.Patience},
		Uploader: &uploader.Uploader{
			Bucket: b, Prefix: prefix, History: w, Level: level, Tables: tables, PartEvery: c.CommitEvery,
			CPU: c.Limits.CPU, Encoders: encoders(c.Limits), Progress: o.Progress, Now: time.Now,
		},
		Snapshots: Snapshots(c),
		Prune:     c.Links == config.LinksPrune,
		Now:       time.Now,
	}
	if c.Cassandra.CQL != "" {
		n.Describe, n.Tables = n.describe, n.tables
	}
	if c.Cassandra.CQL != "" && n.Snapshots != nil { // without nodetool there is nothing to prove
		n.Observer = &backup.Observer{Ask: n.observe, Every: observeEvery, Now: time.Now}
	}
	return n, nil
}

// Close unlocks the state directory and lets the data directories go.
func (n *Node) Close() error {
	if n.listener != nil {
		n.listener.Close()
	}
	n.claim.release()
	return n.cache.Close()
}

// DataDirs are the directories that hold the node's tables.
func DataDirs(c config.Config) ([]string, error) {
	if len(c.Cassandra.DataDirectories) > 0 {
		return c.Cassandra.DataDirectories, nil
	}
	s, err := cassandra.ReadYAML(c.Cassandra.YAML)
	if err != nil {
		return nil, err
	}
	dirs := s.DataDirectories
	if s.LocalSystemData != "" {
		dirs = append(dirs, s.LocalSystemData)
	}
	return dirs, nil
}

// Snapshots is how to take snapshots of the node; nil where there is no nodetool.
func Snapshots(c config.Config) *backup.Snapshots {
	if len(c.Cassandra.Nodetool) == 0 {
		return nil
	}
	return &backup.Snapshots{
		Nodetool: cassandra.Nodetool{Argv: c.Cassandra.Nodetool, Timeout: nodetoolTimeout},
		Dir:      filepath.Join(c.State, "snapshots"),
		Now:      time.Now,
	}
}

// Dial connects to the node's CQL port as the configuration says.
func Dial(ctx context.Context, c config.Config) (*cassandra.Conn, error) {
	o := cassandra.Options{Address: c.Cassandra.CQL, Username: c.Cassandra.Username, TLS: cassandra.TLS(c.Cassandra.TLS)}
	if c.Cassandra.PasswordFile != "" {
		password, err := config.ReadPassword(c.Cassandra.PasswordFile)
		if err != nil {
			return nil, err
		}
		o.Password = password
	}
	return cassandra.Dial(ctx, o)
}

// describe asks the database for what a manifest says of it.
func (n *Node) describe(ctx context.Context) (*manifest.Node, *manifest.Schema, error) {
	conn, err := Dial(ctx, n.Config)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	node, err := n.identify(ctx, conn)
	if err != nil {
		return nil, nil, err
	}
	node.Generation = 0 // only who looks for holes may say so
	s, err := conn.Schema(ctx)
	if errors.Is(err, cassandra.ErrSchemaByCQL) {
		return node, nil, nil // before 4.0: each snapshot has its schema.cql
	}
	if err != nil {
		return node, nil, err
	}
	hash := s.Hash()
	schema := &manifest.Schema{Hash: hex.EncodeToString(hash[:])}
	for _, o := range s.Objects {
		schema.Statements = append(schema.Statements, o.Statements...)
	}
	return node, schema, nil
}

// observe asks the database for what tells that flushes may not have been linked.
func (n *Node) observe(ctx context.Context) (*manifest.Node, error) {
	conn, err := Dial(ctx, n.Config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	node, err := n.identify(ctx, conn)
	if err != nil {
		return nil, err
	}
	on, err := conn.IncrementalBackups(ctx)
	if err != nil { // before 4.0
		on, err = n.Snapshots.Nodetool.StatusBackup(ctx)
	}
	if err != nil {
		return nil, err
	}
	node.Backups = backups(on)
	node.Unlinked, err = conn.UnlinkedTables(ctx)
	return node, err
}

// observeByNodetool is observe for a node without CQL.
func (n *Node) observeByNodetool(ctx context.Context) (*manifest.Node, error) {
	generation, err := n.Snapshots.Nodetool.Generation(ctx)
	if err != nil {
		return nil, err
	}
	release, err := n.Snapshots.Nodetool.Version(ctx)
	if err != nil {
		return nil, err
	}
	on, err := n.Snapshots.Nodetool.StatusBackup(ctx)
	if err != nil {
		return nil, err
	}
	return &manifest.Node{Generation: generation, Release: release, Backups: backups(on)}, nil
}

func backups(on bool) manifest.Backups {
	if on {
		return manifest.BackupsOn
	}
	return manifest.BackupsOff
}

// identify asks who answers. backup.ErrIdentity: another node.
func (n *Node) identify(ctx context.Context, conn *cassandra.Conn) (*manifest.Node, error) {
	id, err := conn.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if id.HostID != n.HostID {
		return nil, fmt.Errorf("%s is host %s, not %s: %w", n.Config.Cassandra.CQL, id.HostID, n.HostID, backup.ErrIdentity)
	}
	return &manifest.Node{
		Release: id.Release, Datacenter: id.DC, Rack: id.Rack, Tokens: id.Tokens,
		Partitioner: id.Partitioner[strings.LastIndexByte(id.Partitioner, '.')+1:], Generation: int64(id.GossipGeneration),
	}, nil
}

// levels is how hard c says that files are compressed, and those of some tables.
func levels(c config.Config) (level chunker.Level, tables map[string]chunker.Level, err error) {
	tables = map[string]chunker.Level{}
	for name, t := range c.Tables {
		if t.Compression == "" {
			continue
		}
		var l chunker.Level
		if err := l.UnmarshalText([]byte(t.Compression)); err != nil {
			return 0, nil, fmt.Errorf("tables.%s: %w", name, err)
		}
		tables[name] = l
	}
	err = level.UnmarshalText([]byte(c.Compression))
	return level, tables, err
}

// tables asks the database which tables there are, and which were truncated.
func (n *Node) tables(ctx context.Context) (backup.Existing, error) {
	conn, err := Dial(ctx, n.Config)
	if err != nil {
		return backup.Existing{}, err
	}
	defer conn.Close()
	node, err := n.identify(ctx, conn)
	if err != nil {
		return backup.Existing{}, err
	}
	e := backup.Existing{HostID: strings.ReplaceAll(n.HostID, "-", "")}
	if e.Truncated, err = conn.Truncations(ctx); err != nil || strings.HasPrefix(node.Release, "2.") { // no system_schema
		return e, err
	}
	tables, err := conn.Tables(ctx)
	if err != nil {
		return e, err
	}
	e.Tables = map[string]sstable.Table{}
	for _, t := range tables {
		e.Tables[t.ID] = sstable.Table{Keyspace: t.Keyspace, Name: t.Name, ID: t.ID}
	}
	return e, nil
}

// encoders is how many frames are encoded at a time: on as many cores as l admits, as long as there is
// memory for them beside that for packs.
func encoders(l config.Limits) int {
	const each, others = 48 << 20, 112 << 20
	cores := min(int(math.Ceil(l.CPU)), runtime.NumCPU())
	return max(1, min(cores, int((l.Memory-others)/each)))
}

// limiter admits a quarter of a second at once.
func limiter(perSecond config.Bytes) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond/4, 1)))
}
