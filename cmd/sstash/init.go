package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/cassandra"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/doctor"

	"golang.org/x/sys/unix"
)

type initVerb struct {
	*app
	facts config.Facts
	node  node // as far as it is known
	force bool
	notes []string // what could not be found out
	// owner is whose the data are, as whom the service runs; nil when that is us, or can't be told.
	owner *unix.Stat_t
}

// initDoc is what `init --json` prints.
type initDoc struct {
	Config          string          `json:"config"`
	Cluster         string          `json:"cluster"`
	HostID          string          `json:"host_id"`
	YAML            string          `json:"yaml"`
	Nodetool        []string        `json:"nodetool"`
	CQL             string          `json:"cql"`
	DataDirectories []string        `json:"data_directories"`
	Bucket          string          `json:"bucket"`
	Checks          doctor.Findings `json:"checks"` // of the bucket
	Notes           []string        `json:"notes"`
}

func newInit(a *app) *cobra.Command {
	v := &initVerb{app: a}
	cmd := &cobra.Command{
		Use:   "init --bucket URL",
		Short: "Look at this node, write a configuration, try the bucket",
		Long: `Finds cassandra.yaml, nodetool and the CQL port, writes a commented configuration, and tries the bucket.
What it can't find stays a comment to fill in. An existing configuration is kept.`,
		Example: `  sudo sstash init --bucket gs://acme-backup/sstash
  sstash init --bucket file:///mnt/backup --config ./sstash.yaml --yaml /opt/cassandra/conf/cassandra.yaml
  sstash init --bucket file:///mnt/backup --data-directory /copy/data --host-id 1c380315-… --cluster prod`,
		Args: cobra.NoArgs,
		RunE: a.verb(v.run),
	}
	f := cmd.Flags()
	f.StringVar(&v.facts.YAML, "yaml", "", "the node's cassandra.yaml (default: looked for)")
	f.StringSliceVar(&v.facts.Nodetool, "nodetool", nil, "the nodetool command (default: looked for)")
	f.StringVar(&v.facts.CQL, "cql", "", "host:port of this node (default: by cassandra.yaml)")
	f.StringVar(&v.facts.Cluster, "cluster", "", "its name in the bucket (default: what the node says)")
	f.StringSliceVar(&v.facts.DataDirectories, "data-directory", nil, "of a node that is not running, or a copied tree")
	f.StringVar(&v.facts.HostID, "host-id", "", "of a node that is not running, or a copied tree")
	f.BoolVar(&v.force, "force", false, "replace an existing configuration")
	return cmd
}

func (v *initVerb) run(ctx context.Context, _ []string) error {
	path, err := filepath.Abs(config.Path(v.configFile, v.environ))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !v.force {
		return fmt.Errorf("%s exists, and is kept: %w; --force replaces it", path, errRefused)
	}
	v.facts.Bucket = v.bucketURL
	if v.facts.Bucket == "" {
		v.facts.Bucket = getenv(v.environ, config.EnvName("bucket"))
	}
	if v.facts.Bucket == "" {
		return usagef("name the bucket: --bucket gs://bucket/prefix or file:///directory")
	}
	check := config.Default()
	check.Bucket = v.facts.Bucket
	if err := check.Validate(); err != nil {
		return usage(err)
	}
	v.findOwner(v.look(ctx))
	if err := v.write(path); err != nil {
		return err
	}
	v.configFile = path
	cfg, err := v.config()
	if err != nil {
		return err
	}
	return v.try(ctx, cfg, path)
}

func getenv(environ []string, name string) string {
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// look finds out what the flags don't say. A copied tree has nothing to look at.
func (v *initVerb) look(ctx context.Context) cassandra.Settings {
	f := &v.facts
	if len(f.DataDirectories) > 0 {
		var err error
		if v.node, err = newNode(f.Cluster, f.HostID); err != nil {
			v.note("%v: give --cluster and --host-id", err)
		}
		return cassandra.Settings{DataDirectories: f.DataDirectories}
	}
	if f.YAML == "" {
		f.YAML = v.findYAML()
	}
	if f.YAML == "" {
		v.note("no cassandra.yaml found: fill in its path, key cassandra.yaml")
	}
	if len(f.Nodetool) == 0 {
		f.Nodetool = v.findNodetool()
	}
	if len(f.Nodetool) == 0 {
		v.note("no nodetool found: fill in key cassandra.nodetool")
	}
	if f.YAML == "" {
		return cassandra.Settings{}
	}
	s, err := cassandra.ReadYAML(f.YAML)
	if err != nil {
		v.note("%v", err)
		return s
	}
	if f.CQL == "" {
		if f.CQL, err = s.CQLAddress(); err != nil {
			v.note("%v: fill in key cassandra.cql", err)
		}
	}
	v.ask(ctx)
	return s
}

// ask learns the cluster's name from the node.
func (v *initVerb) ask(ctx context.Context) {
	cfg := config.Default()
	cfg.Cassandra.CQL = v.facts.CQL
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := daemon.Dial(ctx, cfg)
	if err != nil {
		v.note("%v: start the database, or fill in username, password_file and tls", err)
		return
	}
	defer conn.Close()
	id, err := conn.Identity(ctx)
	if err != nil {
		v.note("%v", err)
		return
	}
	if v.facts.Cluster == "" {
		v.facts.Cluster = id.Cluster
	}
	if v.node, err = newNode(v.facts.Cluster, id.HostID); err != nil {
		v.note("%v", err)
	}
}

func (v *initVerb) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// findYAML looks where packages and tarballs have it.
func (v *initVerb) findYAML() string {
	dirs := []string{getenv(v.environ, "CASSANDRA_CONF")}
	if home := getenv(v.environ, "CASSANDRA_HOME"); home != "" {
		dirs = append(dirs, filepath.Join(home, "conf"))
	}
	dirs = append(dirs, "/etc/cassandra", "/etc/cassandra/conf", "/etc/cassandra/default.conf", "/opt/cassandra/conf", "/usr/local/cassandra/conf")
	for _, dir := range dirs {
		path := filepath.Join(dir, "cassandra.yaml")
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

func (v *initVerb) findNodetool() []string {
	if path, err := exec.LookPath("nodetool"); err == nil {
		return []string{path}
	}
	bins := []string{"/opt/cassandra/bin", "/usr/local/cassandra/bin"}
	if home := getenv(v.environ, "CASSANDRA_HOME"); home != "" {
		bins = append([]string{filepath.Join(home, "bin")}, bins...)
	}
	for _, dir := range bins {
		if path, err := exec.LookPath(filepath.Join(dir, "nodetool")); err == nil {
			return []string{path}
		}
	}
	return nil
}

// findOwner learns as whom the service will run, where root makes what it needs.
func (v *initVerb) findOwner(s cassandra.Settings) {
	if os.Geteuid() != 0 || len(s.DataDirectories) == 0 {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(s.DataDirectories[0], &st); err != nil {
		v.note("who owns the data: %v", err)
		return
	}
	if st.Uid != 0 {
		v.owner = &st
	}
}

// write writes the configuration whole, for whoever owns the data to read.
func (v *initVerb) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := config.Create(temp, v.facts); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if v.owner == nil {
		return nil
	}
	if err := os.Chown(path, -1, int(v.owner.Gid)); err != nil {
		return fmt.Errorf("let the data's owner read the configuration: %w", err)
	}
	if path != config.DefaultPath {
		return nil
	}
	state := config.Default().State
	if err := errors.Join(os.MkdirAll(state, 0o750), os.Chown(state, int(v.owner.Uid), int(v.owner.Gid))); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return nil
}

// try tries the bucket that was configured. A directory is tried by `sstash doctor` alone when the
// service won't run as us: what root puts there, the service could not use.
func (v *initVerb) try(ctx context.Context, cfg config.Config, path string) error {
	doc := initDoc{
		Config: path, Cluster: v.facts.Cluster, HostID: v.node.HostID, YAML: v.facts.YAML, Nodetool: list(v.facts.Nodetool), CQL: v.facts.CQL,
		DataDirectories: list(v.facts.DataDirectories), Bucket: v.facts.Bucket, Checks: doctor.Findings{}, Notes: list(v.notes),
	}
	dir, local := strings.CutPrefix(cfg.Bucket, "file://")
	_, absent := os.Lstat(dir)
	b, err := bucketurl.Create(ctx, cfg.Bucket, nil)
	switch {
	case err != nil:
	case !local || v.owner == nil:
		doc.Checks = doctor.Bucket(ctx, b, v.node.Prefix, v.now)
	case absent != nil:
		err = os.Chown(dir, int(v.owner.Uid), int(v.owner.Gid))
	}
	if printed := v.print(doc, doc.write); err == nil {
		err = printed
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s is written, but its bucket can't be used: %w", path, err)
	case doc.Checks.Count(doctor.Fail) > 0:
		return fmt.Errorf("%s is written, but its bucket can't be used: mend that, and `sstash doctor` tries again", path)
	case len(doc.Notes) > 0:
		return fmt.Errorf("%s is written: %w: %s", path, errIncomplete, doc.Notes[0])
	}
	return nil
}

func (d initDoc) write(w io.Writer) {
	fmt.Fprintf(w, "wrote\t%s\n", d.Config)
	fmt.Fprintf(w, "cluster\t%s\n", d.Cluster)
	fmt.Fprintf(w, "host\t%s\n", d.HostID)
	fmt.Fprintf(w, "cassandra.yaml\t%s\n", d.YAML)
	fmt.Fprintf(w, "nodetool\t%s\n", strings.Join(d.Nodetool, " "))
	fmt.Fprintf(w, "cql\t%s\n", d.CQL)
	writeFindings(w, d.Checks)
	for _, n := range d.Notes {
		fmt.Fprintf(w, "note\t%s\n", n)
	}
	fmt.Fprintln(w, "next: `sstash doctor`, as the user that the service will run as")
}
