package sstable

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// A SnapshotManifest is the manifest.json that Cassandra writes into a snapshot of a
// table. It covers all data directories.
type SnapshotManifest struct {
	Files     []string  // Data.db files relative to the snapshot's directory: "nb-1-big-Data.db", ".idx/nb-1-big-Data.db"
	CreatedAt time.Time // 4.1+, zero before; the same for all tables of one command
	ExpiresAt time.Time // zero if it does not expire
	Ephemeral bool      // 5.0+: made by a repair; before, a file ephemeral.snapshot says so
}

// ParseSnapshotManifest parses a manifest.json. It is written in place, so a partial one
// is an error that may pass. Properties that are not known are ignored, and times
// that can't be read are left out; a list that names anything but Data.db files of
// the snapshot's directory and its index directories is an error.
func ParseSnapshotManifest(b []byte) (SnapshotManifest, error) {
	var raw struct {
		Files     *[]string `json:"files"`
		CreatedAt any       `json:"created_at"`
		ExpiresAt any       `json:"expires_at"`
		Ephemeral bool      `json:"ephemeral"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return SnapshotManifest{}, fmt.Errorf("parse manifest.json: %w", err)
	}
	if raw.Files == nil {
		return SnapshotManifest{}, errors.New("parse manifest.json: no list of files")
	}
	for _, f := range *raw.Files {
		dir, base := path.Split(f)
		index, slash := strings.CutSuffix(dir, "/")
		if n, ok := ParseName(base); !ok || n.Component != Data || slash && !IsIndexDir(index) {
			return SnapshotManifest{}, fmt.Errorf("parse manifest.json: %q is not a data file", f)
		}
	}
	return SnapshotManifest{
		Files:     *raw.Files,
		CreatedAt: instant(raw.CreatedAt),
		ExpiresAt: instant(raw.ExpiresAt),
		Ephemeral: raw.Ephemeral,
	}, nil
}

// IsIndexDir tells whether a directory inside a table's, a backups/ or a
// snapshot's may hold the SSTables of a table-backed secondary index (2.2+).
func IsIndexDir(dir string) bool {
	name, dotted := strings.CutPrefix(dir, ".")
	return dotted && isWord(name)
}

// instant reads ISO-8601 with a fraction, in UTC, as Jackson writes it.
func instant(v any) time.Time {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
