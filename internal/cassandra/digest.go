package cassandra

import (
	"context"
	"encoding/binary"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/zeebo/blake3"
)

// Digest reads every row of a table, in the order of tokens, and returns how many there are and BLAKE3
// over their values as the node serialized them. Rows that have equal values have equal digests,
// whatever SSTables they come from.
func (c *Conn) Digest(ctx context.Context, keyspace, table string) (rows int64, digest [32]byte, err error) {
	name := TableName{keyspace, table}
	// Few rows a page: one may have megabytes.
	iter := c.session.Query("SELECT * FROM " + name.cql()).Consistency(gocql.One).PageSize(200).IterContext(ctx)
	h := blake3.New()
	values := make([]any, len(iter.Columns()))
	for i := range values {
		values[i] = &digested{hasher: h}
	}
	for iter.Scan(values...) {
		rows++
	}
	if err := iter.Close(); err != nil {
		return 0, digest, fmt.Errorf("read all rows of %s: %w", name, err)
	}
	h.Sum(digest[:0])
	return rows, digest, nil
}

// digested is where a value is scanned to: into a hash.
type digested struct{ hasher *blake3.Hasher }

// UnmarshalCQL implements gocql.Unmarshaler.
func (d *digested) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	length := int64(len(data))
	if data == nil {
		length = -1 // null, as in the protocol
	}
	var prefix [8]byte
	binary.BigEndian.PutUint64(prefix[:], uint64(length))
	_, _ = d.hasher.Write(prefix[:])
	_, _ = d.hasher.Write(data)
	return nil
}
