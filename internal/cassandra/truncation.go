package cassandra

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// Truncation is the newest TRUNCATE of a table, as the node remembers it: system.local.truncated_at,
// 2.0+ (Cassandra SystemKeyspace.truncationAsMapEntry). A dropped table's is forgotten.
type Truncation struct {
	At time.Time // by the node's clock, in milliseconds
	// Segment and Offset are where in the commit log the flush of the TRUNCATE ended.
	Segment int64
	Offset  int32
}

// Truncations are those of all tables, by id: 32 hex digits.
func (c *Conn) Truncations(ctx context.Context) (map[string]Truncation, error) {
	var records map[gocql.UUID][]byte
	err := c.session.Query(`SELECT truncated_at FROM system.local WHERE key = 'local'`).
		Consistency(gocql.One).ScanContext(ctx, &records)
	if err != nil {
		return nil, fmt.Errorf("read truncations of %s: %w", c.address, err)
	}
	found := map[string]Truncation{}
	for uuid, b := range records {
		id, ok := tableID(uuid.String())
		if !ok || len(b) < 20 {
			continue
		}
		found[id] = Truncation{
			Segment: int64(binary.BigEndian.Uint64(b)), Offset: int32(binary.BigEndian.Uint32(b[8:])),
			At: time.UnixMilli(int64(binary.BigEndian.Uint64(b[12:]))).UTC(),
		}
	}
	return found, nil
}
