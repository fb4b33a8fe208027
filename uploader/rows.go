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

// chunked tells where the chunks of an SSTable's Data.db are, as CompressionInfo.db has it; false when
// that is not of a form that is known.
func (s *source) chunked() (list chunkList, ok bool) {
	info, data := s.file(sstable.CompressionInfo), s.file(sstable.Data)
	const enough = 64 << 10
	head, err := io.ReadAll(io.NewSectionReader(info.fd, 0, enough))
	if err != nil {
		return chunkList{}, false
	}
	from, at, err := sstable.ParseCompressionHead(s.name, head)
	if err != nil {
		return chunkList{}, false
	}
	list = chunkList{fd: info.fd, at: at, count: from.Chunks, end: data.Size, rows: chunker.Rows{Length: int(from.ChunkLength)}}
	if from.Compressor == lz4Compressor && from.Options["lz4_compressor_type"] != "high" {
		list.lz4 = true
		list.rows.MaxStored = int(min(from.MaxCompressedLength, math.MaxInt32))
		list.rows.Adler32, list.rows.Schema = !s.columns(), s.schema()
	}
	return list, true
}

// unchecked counts the chunks of a piece that don't have their checksums.
func unchecked(name sstable.Name, raw []byte, ends []int) (n int) {
	at := 0
	for _, end := range ends {
		if !name.Checked(raw[at:end]) {
			n++
		}
		at = end
	}
	return n
}

// columns tells whether rows are of the grammar that came with 3.0.
func (s *source) columns() bool { return s.name.Version >= "ma" || s.name.Format != "big" }

// schema is what the grammar of the rows depends on, nil when it is not known.
func (s *source) schema() *columns.Schema {
	header, ok := sstable.SerializationHeader(s.name, s.statistics)
	if !ok {
		return nil
	}
	schema, err := columns.ParseSchema(s.name.Version, header)
	if err != nil {
		return nil
	}
	return schema
}

// chunkList walks the list of chunks in CompressionInfo.db, of which it holds no more than a piece: a
// large SSTable has millions.
type chunkList struct {
	lz4   bool         // the chunks can be undone
	rows  chunker.Rows // only their length, when they can't
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
	list := make([]byte, 8*(n+1)) // one more tells where this piece ends
	known := list
	if c.next+n == c.count {
		known = list[:8*n]
		binary.BigEndian.PutUint64(list[8*n:], uint64(c.end))
	}
	if _, err := c.fd.ReadAt(known, c.at+8*c.next); err != nil {
		return nil, fmt.Errorf("read %s: %v", sstable.CompressionInfo, err) // io.EOF means another thing here
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
