// Package status says whether a node is safe: the one document that the service serves, that
// `sstash status` prints and that metrics are made from.
package status

import (
	"time"
)

// Status is the state of one node's backups. Its JSON keys are a contract (docs/cli.md).
type Status struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"` // the machine's name
	HostID  string `json:"host_id"`
	// OK: nothing below needs a person.
	OK bool `json:"ok"`
	// CoveredUntil: every SSTable that the database had linked by then is durable. Zero: nothing is.
	CoveredUntil time.Time `json:"covered_until,omitzero"`
	// LogUntil: every write that was acknowledged before it is in the stored commit log, back to where
	// that begins or has a hole. Zero: nothing is proven.
	LogUntil  time.Time `json:"log_until,omitzero"`
	LastFull  time.Time `json:"last_full,omitzero"` // when the newest whole full began
	LastError string    `json:"last_error"`
	Seq       uint64    `json:"seq"` // the newest manifest

	QueueFiles int   `json:"queue_files"` // found and not durable
	QueueBytes int64 `json:"queue_bytes"`
	// LinksBytes is what all links in backups/ hold, LinksPrunableBytes those of it that are durable.
	LinksBytes         int64 `json:"links_bytes"`
	LinksPrunableBytes int64 `json:"links_prunable_bytes"`
	BucketBytes        int64 `json:"bucket_bytes"` // that the newest chain keeps alive

	// LastDrill is the last restore drill on this machine; nil: none is remembered.
	LastDrill *Drill `json:"last_drill"`

	Warnings []string `json:"warnings"`
	// Notes need no one at once, since nothing is lost by them; those of this process.
	Notes []string `json:"notes"`
	// Service is whether the service itself answered; without it, the document was made from the
	// bucket alone.
	Service bool `json:"service"`
}

// Judge sets OK: covered no longer ago than limit, and nothing to warn of.
func (s *Status) Judge(now time.Time, limit time.Duration) {
	s.OK = s.LastError == "" && len(s.Warnings) == 0 && !s.TooOld(now, limit)
}

// TooOld tells whether what is covered ends longer ago than limit.
func (s *Status) TooOld(now time.Time, limit time.Duration) bool {
	return now.Sub(s.CoveredUntil) > limit
}

// Drill is the outcome of a restore drill.
type Drill struct {
	Time        time.Time      `json:"time"` // when it began
	OK          bool           `json:"ok"`
	Error       string         `json:"error"` // why not
	ProvenUntil time.Time      `json:"proven_until,omitzero"`
	Tables      []DrilledTable `json:"tables"`
	Seconds     float64        `json:"seconds"`
}

// DrilledTable is a table that was restored and read.
type DrilledTable struct {
	Keyspace string `json:"keyspace"`
	Table    string `json:"table"`
	Rows     int64  `json:"rows"`
	Digest   string `json:"digest"` // of all values
}

// Warning says that a drill failed; empty when it did not.
func (d *Drill) Warning() string {
	if d == nil || d.OK {
		return ""
	}
	return "the last restore drill failed (`sstash drill` tries again): " + d.Error
}
