package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/manifest"
)

// config reads the configuration; --bucket goes over all of it, and is enough to read backups.
func (a *app) config() (config.Config, error) {
	environ := a.environ
	if a.bucketURL != "" {
		environ = append(slices.Clip(environ), config.EnvName("bucket")+"="+a.bucketURL)
	}
	if a.configFile != "" { // one that is named must be there
		if _, err := os.Stat(a.configFile); err != nil {
			return config.Config{}, usage(marked{fmt.Errorf("read configuration: %w", err), errNoConfig})
		}
	}
	c, err := config.Load(config.Path(a.configFile, environ), environ)
	if errors.Is(err, fs.ErrNotExist) {
		err = marked{err, errNoConfig}
	}
	return c, usage(err)
}

// nodeConfig is config for verbs that need the node's directories.
func (a *app) nodeConfig() (config.Config, error) {
	c, err := a.config()
	if err == nil {
		err = usage(c.CheckNode())
	}
	return c, err
}

// node is one node that has backups.
type node struct {
	Cluster string
	HostID  string
	Prefix  string
}

func (n node) String() string { return n.Cluster + "/" + n.HostID }

func newNode(cluster, hostID string) (node, error) {
	prefix, err := config.Prefix(cluster, hostID)
	return node{cluster, strings.ToLower(hostID), prefix}, err
}

// chooser are the flags that choose a node in the bucket.
type chooser struct{ cluster, host string }

func (c *chooser) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.cluster, "cluster", "", "name of the cluster in the bucket")
	cmd.Flags().StringVar(&c.host, "node", "", "host id of the node, or the beginning of it")
}

// source is one node's history, open for reading.
type source struct {
	node
	*history.Reader
}

// open opens the bucket and finds the node: the one that the flags choose; else the one that this
// machine is configured for; else the only one there is.
func (a *app) open(ctx context.Context, c chooser) (source, error) {
	cfg, b, err := a.openBucket(ctx)
	if err != nil {
		return source{}, err
	}
	n, err := c.choose(ctx, cfg, b)
	return source{n, &history.Reader{Bucket: b, Prefix: n.Prefix}}, err
}

// here opens the history of the very node that this machine is configured for, and its directories.
func here(ctx context.Context, cfg config.Config) (source, []string, error) {
	n, err := identify(ctx, cfg)
	if err != nil {
		return source{}, nil, err
	}
	b, err := bucketurl.Open(ctx, cfg.Bucket)
	if err != nil {
		return source{}, nil, err
	}
	dirs, err := daemon.DataDirs(cfg)
	return source{n, &history.Reader{Bucket: b, Prefix: n.Prefix}}, dirs, err
}

func identify(ctx context.Context, cfg config.Config) (node, error) {
	who, err := daemon.Identify(ctx, cfg)
	if err != nil {
		return node{}, err
	}
	return newNode(who.Cluster, who.HostID)
}

// state reads the newest state, the empty one where there is no history.
func (s source) state(ctx context.Context) (*manifest.State, error) {
	seq, err := s.Newest(ctx, 0)
	if err != nil || seq == 0 {
		return manifest.NewState(), err
	}
	return s.State(ctx, seq)
}

func (a *app) openBucket(ctx context.Context) (config.Config, bucket.Bucket, error) {
	cfg, err := a.config()
	if err != nil {
		return cfg, nil, err
	}
	b, err := bucketurl.Open(ctx, cfg.Bucket)
	return cfg, b, err
}

func (c chooser) choose(ctx context.Context, cfg config.Config, b bucket.Bucket) (node, error) {
	if c == (chooser{}) {
		// A machine that takes the place of a lost node may not know yet who it is.
		if cfg.CheckNode() == nil {
			if n, err := identify(ctx, cfg); err == nil {
				return n, nil
			}
		}
		c.cluster = cfg.Cluster
	}
	all, err := nodes(ctx, b)
	if err != nil {
		return node{}, err
	}
	found := slices.DeleteFunc(slices.Clone(all), func(n node) bool { return !c.wants(n) })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return node{}, usagef("%d nodes have backups here: choose one with --node: %s", len(found), join(found))
	case len(all) > 0:
		return node{}, usagef("no backups of cluster %q, node %q here; there are: %s", c.cluster, c.host, join(all))
	}
	return node{}, fmt.Errorf("%s: %w", cfg.Bucket, history.ErrEmpty)
}

func (c chooser) wants(n node) bool {
	return (c.cluster == "" || c.cluster == n.Cluster) && strings.HasPrefix(n.HostID, strings.ToLower(c.host))
}

// join names the first few.
func join(ns []node) string {
	const few = 5
	var names []string
	for _, n := range ns[:min(len(ns), few)] {
		names = append(names, n.String())
	}
	if len(ns) > few {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// nodes lists all nodes that have backups in b, with one listing for each: a bucket has no
// directories, so what follows a node's objects is asked for.
func nodes(ctx context.Context, b bucket.Bucket) ([]node, error) {
	var all []node
	after := ""
	for {
		name, err := first(ctx, b, after)
		if err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		if name == "" {
			return all, nil
		}
		parts := strings.SplitN(name, "/", 3)
		dir := strings.Join(parts[:len(parts)-1], "/")
		if after = name; dir != "" {
			after = dir + "0" // which follows dir + "/"
		}
		if len(parts) < 3 {
			continue
		}
		cluster, _ := url.PathUnescape(parts[0]) // what is wrong is not found again
		if n, err := newNode(cluster, parts[1]); err == nil && n.Prefix == dir+"/" {
			all = append(all, n)
		}
	}
}

// first is the name of the first object behind after, "" when there is none.
func first(ctx context.Context, b bucket.Bucket, after string) (string, error) {
	for o, err := range b.List(ctx, "", after) {
		return o.Name, err
	}
	return "", nil
}
