package uploader

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/chunker/columns"
	"github.com/sstash/sstash/internal/sstable"
)

// lz4Compressor is the only one whose output can be made again.
const lz4Compressor = "LZ4Compressor"

// chunked tells how the chunks of an SSTable's Data.db can be undone; false when they can't: then it is
// stored like any other file.
func (s *source) chunked(name sstable.Name) (chunkList, bool) {
	info, data := s.file(sstable.CompressionInfo), s.file(sstable.Data)
	if info == nil || data == nil {
		return chunkList{}, false
	}
	const enough = 64 << 10
	head, err := io.ReadAll(io.NewSectionReader(info.fd, 0, enough))
	if err != nil {
		return chunkList{}, false
	}
	from, at, err := sstable.ParseCompressionHead(name, head)
	if err != nil || from.Compressor != lz4Compressor || from.Options["lz4_compressor_type"] == "high" ||
		from.ChunkLength > chunker.RowsSize || from.Chunks <= 0 {
		return chunkList{}, false
	}
	return chunkList{fd: info.fd, at: at, count: from.Chunks, end: data.Size, rows: chunker.Rows{
		Length: int(from.ChunkLength), MaxStored: int(min(from.MaxCompressedLength, math.MaxInt32)),
		Adler32: name.Version < "ma" && name.Format == "big", Schema: s.schema(name),
	}}, true
}

// schema is what the grammar of the rows depends on, nil when it is not known.
func (s *source) schema(name sstable.Name) *columns.Schema {
	header, ok := sstable.SerializationHeader(name, s.content(sstable.Statistics))
	if !ok {
		return nil
	}
	schema, err := columns.ParseSchema(name.Version, header)
	if err != nil {
		return nil
	}
	return schema
}

// chunkList walks the list of chunks in CompressionInfo.db, of which it holds no more than a piece: a
// large SSTable has millions.
type chunkList struct {
	rows  chunker.Rows
	fd    *os.File
	at    int64 // of the first offset
	next  int64 // chunk
	count int64
	end   int64 // of Data.db
}

// piece tells where in the next run of whole chunks that make a frame each of them ends. It answers
// io.EOF after the last one, and other errors when the list can't be right.
func (c *chunkList) piece() ([]int, error) {
	n := min(int64(chunker.RowsSize/c.rows.Length), c.count-c.next)
	if n <= 0 {
		return nil, io.EOF
	}
	list := make([]byte, 8*(n+1))
	got, err := c.fd.ReadAt(list, c.at+8*c.next)
	if err != nil && (err != io.EOF || int64(got) < 8*n) {
		return nil, fmt.Errorf("read %s: %w", sstable.CompressionInfo, err)
	}
	if c.next+n == c.count {
		binary.BigEndian.PutUint64(list[8*n:], uint64(c.end))
	}
	begin := int64(binary.BigEndian.Uint64(list))
	ends := make([]int, n)
	last := int64(0)
	for i := range n {
		end := int64(binary.BigEndian.Uint64(list[8*(i+1):])) - begin
		if end <= last || end > chunker.MaxRaw {
			return nil, fmt.Errorf("%s: chunk %d of %d bytes", sstable.CompressionInfo, c.next+i, end-last)
		}
		ends[i], last = int(end), end
	}
	c.next += n
	return ends, nil
}
