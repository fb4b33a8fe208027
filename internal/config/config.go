// Package config reads sstash's configuration: a YAML file, overridden key by
// key from the environment.
//
// Every key of the file has one name in the environment: its path in upper
// case, joined by underscores, behind SSTASH_ (cassandra.tls.ca is
// SSTASH_CASSANDRA_TLS_CA). A key or an SSTASH_ variable that is not known is
// an error: a typo must not silently leave a backup with its defaults.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// DefaultPath is read when neither --config nor SSTASH_CONFIG names a file.
const DefaultPath = "/etc/sstash/sstash.yaml"

// Config is the whole configuration. Durations are exact; where the file
// counts in months or years (keep), a month has 31 days and a year 366, so
// that rounding never keeps less than was asked for.
type Config struct {
	Cluster     string        `yaml:"cluster"` // empty: what the node says
	Bucket      string        `yaml:"bucket"`  // URL; gs, s3, azblob or file
	Cassandra   Cassandra     `yaml:"cassandra"`
	Full        Full          `yaml:"full"`
	Rebase      Rebase        `yaml:"rebase"`
	FlushEvery  time.Duration `yaml:"flush_every"`  // 0: never flush on our own
	CommitEvery time.Duration `yaml:"commit_every"` // at sustained load, at most one commit per this
	CommitLog   CommitLog     `yaml:"commit_log"`
	Keep        Keep          `yaml:"keep"`
	Drill       Drill         `yaml:"drill"`
	Collect     string        `yaml:"collect"`     // CollectNode or CollectOff
	Links       string        `yaml:"links"`       // LinksPrune or LinksOff
	Compression string        `yaml:"compression"` // CompressionFast, …Balanced or …Dense
	Tables      Tables        `yaml:"tables"`      // what is otherwise for some
	Limits      Limits        `yaml:"limits"`
	Watch       Watch         `yaml:"watch"`
	State       string        `yaml:"state"`  // directory of the local cache
	Listen      string        `yaml:"listen"` // host:port of status and metrics; empty: none
	Encrypt     Encrypt       `yaml:"encrypt"`
}

// The values of the keys that choose between words.
const (
	CollectNode = "node" // this node expires and deletes what it no longer keeps
	CollectOff  = "off"  // append-only: somebody else collects

	LinksPrune = "prune" // unlink what is durable
	LinksOff   = "off"   // only look

	CompressionFast     = "fast"
	CompressionBalanced = "balanced"
	CompressionDense    = "dense"
)

// Tables are settings by table ("keyspace.table") or by keyspace. A table's own go
// before its keyspace's.
type Tables map[string]Table

// Table is what is otherwise for a table or a keyspace.
type Table struct {
	Compression string `yaml:"compression"` // as Config.Compression; empty: not otherwise
}

// Cassandra says how to reach the node. A node that is not running, or a
// copied tree, is given by DataDirectories and HostID alone.
type Cassandra struct {
	YAML            string   `yaml:"yaml"`                  // the node's cassandra.yaml
	Nodetool        []string `yaml:"nodetool" kind:"words"` // argv; the verb is appended
	CQL             string   `yaml:"cql"`                   // host:port of this node
	Username        string   `yaml:"username"`              //
	PasswordFile    string   `yaml:"password_file"`         // read with ReadPassword
	TLS             TLS      `yaml:"tls"`                   //
	DataDirectories []string `yaml:"data_directories"`      // instead of what the yaml names
	HostID          string   `yaml:"host_id"`               // UUID
	Scratch         []string `yaml:"scratch" kind:"words"`  // argv that starts a scratch node in the foreground
}

// TLS names PEM files. Any of them turns TLS on; Cert and Key go together.
type TLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Full schedules full backups: every Every, counted so that one falls At,
// nodes staggered over Spread.
type Full struct {
	Every  time.Duration `yaml:"every"`
	At     TimeOfDay     `yaml:"at"`
	Spread time.Duration `yaml:"spread"`
	Early  time.Duration `yaml:"early"` // what a gap makes early begins no sooner after the last one
}

// CommitLog says how often the tail of the live commit log is stored; 0 turns
// it off.
type CommitLog struct {
	Every     time.Duration `yaml:"every"`
	Directory string        `yaml:"directory"` // instead of what cassandra.yaml names
	Spool     string        `yaml:"spool"`     // where an archive_command puts segments; ours to empty
}

// Rebase gives a table a new base when what it has flushed since the last one outweighs what it holds.
type Rebase struct {
	Every time.Duration `yaml:"every"` // at most; 0: never
	Floor Bytes         `yaml:"floor"` // what it must have flushed
}

// Drill schedules restore drills of tables that are drawn by lot.
type Drill struct {
	Every time.Duration `yaml:"every"` // 0: none
	UpTo  Bytes         `yaml:"up_to"` // larger tables are not drawn; 0: all are
}

// Keep is retention, by age and never by count: all points for Points, the
// commit log for Log, one full a week for Weekly, one a month for Monthly.
// 0 turns Log, Weekly or Monthly off.
type Keep struct {
	Points  time.Duration `yaml:"points" kind:"age"`
	Log     time.Duration `yaml:"log" kind:"age"`
	Weekly  time.Duration `yaml:"weekly" kind:"age"`
	Monthly time.Duration `yaml:"monthly" kind:"age"`
}

// Limits bounds what sstash takes from the machine.
type Limits struct {
	Upload Bytes   `yaml:"upload"` // per second; 0: unlimited
	CPU    float64 `yaml:"cpu"`    // cores
	Memory Bytes   `yaml:"memory"`
	Nice   int     `yaml:"nice"` // at least so nice, and the disk when nobody else wants it; 0: as it was started
}

// Watch tunes how files are found. The defaults suit Cassandra's habits: the
// links of one SSTable appear within milliseconds, and some names in a TOC
// never appear at all.
type Watch struct {
	Settle   time.Duration `yaml:"settle"`   // a set of links is complete when nothing joined it for this long
	Patience time.Duration `yaml:"patience"` // how long to wait for files that a TOC names and that don't come
	Rescan   time.Duration `yaml:"rescan"`   // scan everything this often, whatever the events said
}

// Encrypt names who may read. This build can't encrypt: Validate refuses a
// recipient rather than write plaintext.
type Encrypt struct {
	Recipients []string `yaml:"recipients"`
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Cassandra:   Cassandra{Scratch: []string{"cassandra", "-f"}},
		Full:        Full{Every: 7 * day, At: 2 * 60, Spread: 30 * time.Minute, Early: time.Hour},
		Rebase:      Rebase{Every: time.Hour, Floor: 64 << 20},
		FlushEvery:  time.Hour,
		CommitEvery: time.Minute,
		CommitLog:   CommitLog{Every: 10 * time.Second},
		Drill:       Drill{UpTo: 1 << 30},
		Keep:        Keep{Points: 30 * day, Log: 7 * day, Weekly: 12 * 7 * day, Monthly: 12 * month},
		Collect:     CollectNode,
		Links:       LinksPrune,
		Compression: CompressionBalanced,
		Limits:      Limits{CPU: 1, Memory: 256 << 20, Nice: 10},
		Watch:       Watch{Settle: time.Second, Patience: 2 * time.Minute, Rescan: 5 * time.Minute},
		State:       "/var/lib/sstash",
		Listen:      "127.0.0.1:9188",
	}
}

// Load reads the file at path and then environ (as os.Environ gives it), and
// validates the result. The file may be absent if environ sets any key; else
// the error is an fs.ErrNotExist. An error lists everything that is wrong.
func Load(path string, environ []string) (Config, error) {
	vars, err := environment(environ)
	if err != nil {
		return Config{}, err
	}
	data, err := os.ReadFile(path)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && (!absent || len(vars) == 0) {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c := Default()
	if err := c.decode(path, data); err != nil {
		return Config{}, err
	}
	if err := c.override(vars); err != nil {
		return Config{}, err
	}
	if err := c.Validate(); err != nil {
		if absent {
			path += " (absent) and the environment"
		}
		return Config{}, fmt.Errorf("%s:\n%w", path, err)
	}
	return c, nil
}

// Path returns the file to load: the flag if given, else SSTASH_CONFIG, else
// DefaultPath.
func Path(flag string, environ []string) string {
	if flag != "" {
		return flag
	}
	for _, v := range environ {
		if p, ok := strings.CutPrefix(v, "SSTASH_CONFIG="); ok && p != "" {
			return p
		}
	}
	return DefaultPath
}
