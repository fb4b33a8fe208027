package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
)

// identityFile remembers in the state directory who the node said it was, so that backups go on
// while the database is down. Like all local state it may vanish (I5).
const identityFile = "identity.json"

// Identify finds out which node this is: the configuration may say so, else the database does, else
// what it said last time.
func Identify(ctx context.Context, c config.Config) (history.Identity, error) {
	who := history.Identity{Cluster: c.Cluster, HostID: c.Cassandra.HostID}
	if c.Cassandra.CQL == "" {
		if who.Cluster == "" || who.HostID == "" {
			return who, fmt.Errorf("without cassandra.cql, the keys cluster and cassandra.host_id must say which node this is")
		}
		return who, nil
	}
	said, err := ask(ctx, c)
	remembered, known := recall(c.State)
	switch {
	case err != nil && !known && who.HostID == "":
		return who, fmt.Errorf("learn which node this is: %w", err)
	case err != nil && !known:
		said = who
	case err != nil:
		said = remembered
	}
	if who.HostID != "" && who.HostID != said.HostID {
		return who, fmt.Errorf("%s is host %s, not %s: %w", c.Cassandra.CQL, said.HostID, who.HostID, backup.ErrIdentity)
	}
	if who.Cluster != "" {
		said.Cluster = who.Cluster
	}
	if err == nil {
		remember(c.State, said)
	}
	return said, nil
}

func ask(ctx context.Context, c config.Config) (history.Identity, error) {
	conn, err := Dial(ctx, c)
	if err != nil {
		return history.Identity{}, err
	}
	defer conn.Close()
	id, err := conn.Identity(ctx)
	return history.Identity{Cluster: id.Cluster, HostID: id.HostID}, err
}

func recall(state string) (who history.Identity, known bool) {
	b, err := os.ReadFile(filepath.Join(state, identityFile))
	if err != nil || json.Unmarshal(b, &who) != nil {
		return who, false
	}
	return who, who.HostID != ""
}

// remember is best effort: without it, the next start needs the database. The file is replaced, not
// written into, so that one that another user left is no obstacle.
func remember(state string, who history.Identity) {
	if known, ok := recall(state); ok && known == who {
		return
	}
	b, err := json.Marshal(who)
	if err != nil || os.MkdirAll(state, 0o750) != nil {
		return
	}
	path := filepath.Join(state, identityFile)
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if os.WriteFile(temp, b, 0o640) != nil || os.Rename(temp, path) != nil {
		_ = os.Remove(temp)
	}
}
