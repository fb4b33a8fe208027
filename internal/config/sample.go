package config

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/template"
)

// Facts is what `sstash init` found out about the node. What is empty is
// written as a comment to fill in.
type Facts struct {
	Cluster  string // as the node says
	Bucket   string
	YAML     string   // path of cassandra.yaml
	Nodetool []string // argv
	CQL      string   // host:port

	// For a node that is not running.
	DataDirectories []string
	HostID          string
}

// Create writes Sample(f) to a new file of mode 0640. An existing file is kept:
// the error is an fs.ErrExist.
func Create(path string, f Facts) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("create configuration: %w", err)
	}
	if _, err := file.Write(Sample(f)); err != nil {
		file.Close()
		return fmt.Errorf("write configuration %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write configuration %s: %w", path, err)
	}
	return nil
}

// Sample returns a commented configuration. Prose starts with "# ", a key that
// is commented out with "#": without that sign it says the default, or an
// example where there is none.
func Sample(f Facts) []byte {
	var b bytes.Buffer
	if err := sample().Execute(&b, f); err != nil {
		panic(err) // the template and Facts are both above
	}
	return b.Bytes()
}

func sample() *template.Template {
	return template.Must(template.New("sample").Funcs(template.FuncMap{
		"key": func(name string, value any, example string) string {
			switch v := value.(type) {
			case string:
				if v != "" {
					return name + ": " + strconv.Quote(v)
				}
			case []string:
				if len(v) > 0 {
					return name + ": " + quoteList(v)
				}
			}
			return "#" + name + ": " + example
		},
	}).Parse(sampleText))
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

const sampleText = `# Configuration of sstash on this node.
# A key that is commented out shows its default, or an example if it has none.
# Every key can be given in the environment as well: full.every is SSTASH_FULL_EVERY.
# Durations: 90s, 30m, 1h30m, 7d, 12w. Sizes: 10MiB, 1GB, 0.

# The name that this cluster has in the bucket. Without it: what the node says.
{{key "cluster" .Cluster "prod"}}

# Where backups go: gs://bucket/prefix or file:///directory (s3 and azblob: not
# in this version). Credentials come from the environment or the machine's
# identity, never from here.
{{key "bucket" .Bucket "gs://bucket/prefix"}}

cassandra:
  # What the node reads itself: data directories, commit log, switches.
  {{key "yaml" .YAML "/etc/cassandra/cassandra.yaml"}}
  # The command that reaches this node's JMX; the verb is appended. For a
  # password use -pwf FILE: the arguments of a process are not secret.
  {{key "nodetool" .Nodetool "[nodetool]"}}
  # This node, no other, for its identity and schema.
  {{key "cql" .CQL "127.0.0.1:9042"}}
  #username: sstash
  # A file that others may read is refused: chmod 600, or 640 with a group of its own.
  #password_file: /etc/sstash/cassandra.password
  # ca alone checks the node; cert and key show who we are.
  #tls: {ca: /etc/sstash/ca.pem, cert: /etc/sstash/client.pem, key: /etc/sstash/client.key}
  # For a node that is not running, or a copied tree: instead of yaml, nodetool and cql.
  {{key "data_directories" .DataDirectories "[/var/lib/cassandra/data]"}}
  {{key "host_id" .HostID "00000000-0000-0000-0000-000000000000"}}
  # The command that starts a scratch node in the foreground, for restores to a
  # moment and for drills. As root: [cassandra, -f, -R].
  #scratch: [cassandra, -f]

# A full backup every week, begun at this time of day (UTC), the nodes spread
# over half an hour. Where something may be missing among the flushes (a restart
# of the database), one is taken early, but no sooner after the last than this.
#full: {every: 7d, at: "02:00", spread: 30m, early: 1h}

# Between fulls, a table that has flushed more than it holds, and no less than
# the floor, is snapshotted again, so that restoring it takes about twice its
# size at most; looked for this often. every 0: never.
#rebase: {every: 1h, floor: 64MiB}

# Flush tables that stay quiet, so that what they hold is in the bucket within
# this time. 0: never.
#flush_every: 1h

# The first flush after a quiet time is stored at once; under load, at most one
# commit per this. Each commit costs two PUT requests.
#commit_every: 60s

# Store what is new in the live commit log this often, for restores to the
# microsecond. 1s is possible, 0 is off. directory: where cassandra.yaml does not
# name it. spool: where the node's archive_command copies full segments to; they
# are removed from there once they are stored.
#commit_log: {every: 10s, directory: "", spool: ""}

# What to keep, by age: every point, the commit log, one full a week, one a
# month (here m is months). Not in this version: everything is kept.
#keep: {points: 30d, log: 7d, weekly: 12w, monthly: 12m}

# Restore a table, drawn by lot from those up to a size, into a scratch database
# this often, and read every row. every 0: never, but for sstash drill.
#drill: {every: 0, up_to: 1GiB}

# node: this node deletes what it no longer keeps. off: append-only. Not in
# this version: nothing in the bucket is ever deleted.
#collect: node

# prune: hard links in backups/ go once they are durable. off: only look.
#links: prune

# fast, balanced or dense. Small flushes are stored as with fast, whatever it says.
#compression: balanced

# What is otherwise for a keyspace, or for a table. Here, compression is for all files.
#tables: {shop: {compression: dense}, logs.events: {compression: fast}}

# upload is per second, 0 is unlimited; cpu is in cores. nice is how far the
# database goes first, on the disk as well; 0 is not at all.
#limits: {upload: 0, cpu: 1, memory: 256MiB, nice: 10}

# How files are found. settle: a set of links is complete when nothing joined it
# for this long; patience: how long to wait for files that never come; rescan:
# look at everything this often.
#watch: {settle: 1s, patience: 2m, rescan: 5m}

# A cache. It may be lost at any time.
#state: /var/lib/sstash

# Status and metrics over HTTP. "": off.
#listen: 127.0.0.1:9188

# Who may read the backups. This build can't encrypt and refuses a recipient.
#encrypt: {recipients: []}
`
