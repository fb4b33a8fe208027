package columns

import (
	"encoding/binary"
	"math"
)

// The items of a Data.db since 3.0: partitions, one after the other (Cassandra
// SortedTablePartitionWriter, UnfilteredSerializer). A cut between two items is a
// boundary.
//
//	partition  key | deletion | static row, if the schema has static columns |
//	           rows and markers | end
//	key        u16 length | bytes
//	deletion   i32 local time | i64 timestamp           before 5.0
//	           0x80, or i64 timestamp | u32 local time  oa, da, pa, ea
//	static row u8 flags | u8 more flags | size | previous size | body
//	row        u8 flags | u8 more flags, if flags say so | clustering |
//	           size | previous size | body
//	marker     u8 2 | u8 kind | u16 n | clustering of n values |
//	           size | previous size | deletion | deletion, if it is a boundary
//	end        u8 1
//
// Sizes are vints, and count what follows them: size begins with previous size.

// A place says which item comes next. The values are part of the format.
type place uint8

const (
	atPartition place = iota // key and deletion
	atStatic                 // static row
	atRow                    // row, marker or end
	places                   // how many there are
)

// Flags of rows and markers (Cassandra UnfilteredSerializer).
const (
	endOfPartition     = 0x01
	isMarker           = 0x02
	hasTimestamp       = 0x04
	hasTTL             = 0x08
	hasDeletion        = 0x10
	hasAllColumns      = 0x20
	hasComplexDeletion = 0x40
	hasMoreFlags       = 0x80

	isStatic = 0x01 // of the second byte
)

// Kinds of markers that end one range and begin the next (Cassandra
// ClusteringPrefix.Kind).
const (
	boundaryInclusiveStart = 2
	boundaryInclusiveEnd   = 5
)

// maxItem is the largest size that a row may say it has.
const maxItem = 1 << 40

// item walks over the next item. When it fails by errShort and knows where the item
// ends, the walk is already behind it.
func (w *walker) item() {
	start := w.offset()
	w.end, w.beyond = 0, errShort
	from := w.place
	switch from {
	case atPartition:
		if w.partition(); w.err == nil {
			w.starts = append(w.starts, start)
		}
	case atStatic:
		w.staticRow()
	case atRow:
		w.unfiltered()
	}
	length := int64(w.offset() - start)
	if w.end > 0 {
		length = w.end - int64(start)
	}
	if from == atStatic {
		w.previous += uint64(length) // the first row's counts from the key on
	} else {
		w.previous = uint64(length)
	}
}

func (w *walker) partition() {
	w.key(w.keys)
	w.deletion()
	w.place = atRow
	if len(w.static) > 0 {
		w.place = atStatic
	}
}

// deletion walks over the deletion of a partition.
func (w *walker) deletion() {
	var live byte
	var timestamp, seconds uint64
	if !w.decoding {
		live, timestamp, seconds = w.readDeletion()
	}
	if live = w.mark(w.live, live); live == 0 {
		timestamp, seconds = w.deletionTime(timestamp, seconds)
	}
	if w.decoding {
		w.writeDeletion(live, timestamp, seconds)
	}
}

// What is written for a partition that is not deleted (Cassandra DeletionTime):
// since 5.0 one byte, before that the greatest time and the least timestamp.
const (
	liveByte      = 0x80
	liveSeconds   = math.MaxInt32
	liveTimestamp = 1 << 63
)

func (w *walker) readDeletion() (live byte, timestamp, seconds uint64) {
	if w.schema.modern && w.pos < len(w.in) && w.in[w.pos]&liveByte != 0 {
		if w.read(1)[0] != liveByte {
			w.fail(ErrGrammar)
		}
		return 1, 0, 0
	}
	b := w.read(12)
	switch {
	case b == nil:
		return 1, 0, 0
	case w.schema.modern:
		return 0, binary.BigEndian.Uint64(b), uint64(binary.BigEndian.Uint32(b[8:]))
	}
	seconds, timestamp = uint64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:])
	if seconds == liveSeconds && timestamp == liveTimestamp {
		return 1, 0, 0
	}
	return 0, timestamp, seconds
}

func (w *walker) writeDeletion(live byte, timestamp, seconds uint64) {
	b := make([]byte, 0, 12)
	if w.schema.modern {
		if live != 0 {
			w.write(append(b, liveByte))
			return
		}
		b = binary.BigEndian.AppendUint64(b, timestamp)
		w.write(binary.BigEndian.AppendUint32(b, uint32(seconds)))
		return
	}
	if live != 0 {
		timestamp, seconds = liveTimestamp, liveSeconds
	}
	b = binary.BigEndian.AppendUint32(b, uint32(seconds))
	w.write(binary.BigEndian.AppendUint64(b, timestamp))
}

// deletionTime keeps both parts of a deletion, or gives back those that were kept.
func (w *walker) deletionTime(timestamp, seconds uint64) (uint64, uint64) {
	if !w.decoding {
		w.deletedAt.push(timestamp, 0)
		w.deletedSeconds.push(seconds, inSeconds(timestamp))
		return timestamp, seconds
	}
	timestamp = w.pop(w.deletedAt, 0)
	return timestamp, w.pop(w.deletedSeconds, inSeconds(timestamp))
}

func (w *walker) staticRow() {
	flags := w.octet(w.flags)
	if flags&hasMoreFlags == 0 || w.octet(w.moreFlags)&isStatic == 0 {
		w.broken()
		return
	}
	w.clusteringTime = w.schema.minTimestamp
	b := w.open(0)
	w.rowBody(flags, w.static)
	w.close(b)
	w.place = atRow
}

// unfiltered walks over a row, a marker or the end of the partition.
func (w *walker) unfiltered() {
	previous := w.previous
	flags := w.octet(w.flags)
	switch {
	case flags == endOfPartition:
		w.place = atPartition
	case flags == isMarker:
		w.marker(previous)
	case flags&(endOfPartition|isMarker) != 0:
		w.broken()
	default:
		if flags&hasMoreFlags != 0 {
			w.octet(w.moreFlags)
		}
		w.clusteringValues(len(w.clustering))
		b := w.open(previous)
		w.rowBody(flags, w.regular)
		w.close(b)
	}
}

func (w *walker) marker(previous uint64) {
	kind := w.octet(w.markerHeads)
	n := int(w.octet(w.markerHeads))<<8 | int(w.octet(w.markerHeads))
	if n > len(w.clustering) {
		w.broken()
		return
	}
	w.clusteringValues(n)
	b := w.open(previous)
	w.deletionVints(w.markers)
	if kind == boundaryInclusiveStart || kind == boundaryInclusiveEnd {
		w.deletionVints(w.markers)
	}
	w.close(b)
}

// clusteringValues walks over the first n values of a clustering. Before each 32 of
// them is a vint with two bits for each, one of them set if the value is null or
// empty and so isn't there (Cassandra ClusteringPrefix.Serializer).
func (w *walker) clusteringValues(n int) {
	w.clusteringTime = w.schema.minTimestamp
	var missing uint64
	for i := range n {
		if i%32 == 0 {
			missing = w.vint(w.nulls, 0)
		}
		if missing>>(i%32*2)&3 == 0 {
			if t, ok := w.value(&w.clustering[i], 0); ok {
				w.clusteringTime = t
			}
		}
	}
}
