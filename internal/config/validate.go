package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrCannotEncrypt is the refusal of encrypt.recipients: writing plaintext for
// somebody who asked for encryption would be the worst of defaults.
var ErrCannotEncrypt = errors.New("this build cannot encrypt; refusing to write plaintext")

// faults collects what is wrong, by key.
type faults []error

func (f *faults) require(ok bool, key, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	}
}

// Validate reports every value that no verb can work with. What only a node's
// own verbs need is CheckNode's.
func (c Config) Validate() error {
	var f faults
	err := checkBucket(c.Bucket)
	f.require(err == nil, "bucket", "%w", err)
	f.require(len(c.Encrypt.Recipients) == 0, "encrypt.recipients", "%w", ErrCannotEncrypt)
	f.word("collect", c.Collect, CollectNode, CollectOff)
	f.word("links", c.Links, LinksPrune, LinksOff)
	f.word("compression", c.Compression, CompressionFast, CompressionBalanced, CompressionDense)
	f.tables(c.Tables)
	f.times(c)
	f.require(c.Limits.Upload >= 0, "limits.upload", "must not be negative")
	f.require(c.Limits.CPU > 0 && c.Limits.CPU <= 1024, "limits.cpu", "must be a number of cores above 0")
	f.require(c.Limits.Memory >= 64<<20, "limits.memory", "must be at least 64MiB")
	f.require(c.Limits.Nice >= 0 && c.Limits.Nice <= 19, "limits.nice", "must be 0 to 19")
	f.absolute("state", c.State)
	if c.Listen != "" {
		_, _, err := net.SplitHostPort(c.Listen)
		f.require(err == nil, "listen", "%q is not host:port", c.Listen)
	}
	f.cassandra(c.Cassandra)
	return errors.Join(f...)
}

func (f *faults) times(c Config) {
	least := func(key string, d, least time.Duration) {
		f.require(d >= least, key, "must be at least %s", least)
	}
	least("full.every", c.Full.Every, time.Minute)
	f.require(c.Full.Spread < c.Full.Every, "full.spread", "must be shorter than full.every")
	least("commit_every", c.CommitEvery, time.Second)
	if c.CommitLog.Every != 0 {
		least("commit_log.every", c.CommitLog.Every, time.Second)
	}
	if c.Drill.Every != 0 {
		least("drill.every", c.Drill.Every, time.Minute)
	}
	if c.Rebase.Every != 0 {
		least("rebase.every", c.Rebase.Every, time.Second)
	}
	f.require(c.Rebase.Floor >= 0, "rebase.floor", "must not be negative")
	f.require(c.Drill.UpTo >= 0, "drill.up_to", "must not be negative")
	f.absolute("commit_log.directory", c.CommitLog.Directory)
	f.absolute("commit_log.spool", c.CommitLog.Spool)
	f.require(c.CommitLog.Spool == "" || c.CommitLog.Every > 0, "commit_log.spool",
		"needs commit_log.every: archived segments alone don't say until when they hold everything")
	f.require(c.CommitLog.Spool == "" || c.CommitLog.Spool != c.CommitLog.Directory, "commit_log.spool",
		"must not be the commit log's own directory")
	least("keep.points", c.Keep.Points, day)
	least("watch.settle", c.Watch.Settle, 100*time.Millisecond)
	f.require(c.Watch.Patience >= c.Watch.Settle, "watch.patience", "must not be shorter than watch.settle")
	least("watch.rescan", c.Watch.Rescan, time.Second)
}

func (f *faults) cassandra(c Cassandra) {
	f.absolute("cassandra.yaml", c.YAML)
	f.absolute("cassandra.password_file", c.PasswordFile)
	for _, dir := range c.DataDirectories {
		f.absolute("cassandra.data_directories", dir)
	}
	f.absolute("cassandra.tls.ca", c.TLS.CA)
	f.absolute("cassandra.tls.cert", c.TLS.Cert)
	f.absolute("cassandra.tls.key", c.TLS.Key)
	f.require((c.TLS.Cert == "") == (c.TLS.Key == ""), "cassandra.tls", "cert and key go together")
	f.require((c.Username == "") == (c.PasswordFile == ""), "cassandra", "username and password_file go together")
	if c.CQL != "" {
		_, _, err := net.SplitHostPort(c.CQL)
		f.require(err == nil, "cassandra.cql", "%q is not host:port", c.CQL)
	}
	if c.HostID != "" {
		f.require(len(c.HostID) == 36 && uuid.Validate(c.HostID) == nil, "cassandra.host_id", "%q is not a UUID", c.HostID)
	}
}

func (f *faults) word(key, value string, known ...string) {
	f.require(slices.Contains(known, value), key, "%q is none of %s", value, strings.Join(known, ", "))
}

// absolute accepts an empty path: whether one is needed is not its question.
func (f *faults) absolute(key, path string) {
	f.require(path == "" || filepath.IsAbs(path), key, "%q is not an absolute path", path)
}

// CheckNode reports what is missing for the verbs that read a node: its data
// directories (from cassandra.yaml or named) and its host id (by CQL or named).
func (c Config) CheckNode() error {
	var f faults
	f.require(c.Cassandra.YAML != "" || len(c.Cassandra.DataDirectories) > 0,
		"cassandra", "give yaml, or data_directories for a node that is not running")
	f.require(c.Cassandra.CQL != "" || c.Cassandra.HostID != "",
		"cassandra", "give cql, or host_id for a node that is not running")
	f.require(c.State != "", "state", "give a directory")
	return errors.Join(f...)
}

func checkBucket(raw string) error {
	if raw == "" {
		return errors.New("give a bucket URL such as gs://bucket/prefix")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL such as gs://bucket/prefix") // err would repeat a secret in it
	}
	switch {
	case u.User != nil:
		return errors.New("credentials don't belong in the URL: use the environment of the cloud's own tools")
	case u.Fragment != "" || u.Opaque != "":
		return fmt.Errorf("%q is not a URL such as gs://bucket/prefix", raw)
	case u.Scheme == "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return fmt.Errorf("%q is not file:///absolute/directory", raw)
		}
		return nil
	case !slices.Contains([]string{"gs", "s3", "azblob"}, u.Scheme):
		return fmt.Errorf("scheme %q is none of gs, s3, azblob, file", u.Scheme)
	case u.Host == "":
		return fmt.Errorf("%q names no bucket", raw)
	}
	return nil
}

// ReadPassword returns the content of a password file without its line end. A
// file that every user of the machine can read or write is refused.
func ReadPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("password file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o006 != 0 {
		return "", fmt.Errorf("password file %s is open to every user (mode %#o): chmod 600 %s: %w", path, perm, path, fs.ErrPermission)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", fmt.Errorf("password file %s is empty", path)
	}
	return password, nil
}
