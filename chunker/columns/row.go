package columns

import "encoding/binary"

// The body of a row and what it consists of (Cassandra UnfilteredSerializer,
// Cell.Serializer).
//
//	body     timestamp | ttl, local time | timestamp, local time of the deletion |
//	         which columns are absent | columns            each if the row's flags say so
//	column   cell                                          simple
//	         deletion, if flags say so | vint n | n cells  complex
//	cell     u8 flags | timestamp | local time | ttl | path | value
//	value    bytes, after their length if the type doesn't tell it
//
// Times are vints: what they are beyond the minima in the schema.

// Flags of cells (Cassandra Cell.Serializer).
const (
	cellDeleted      = 0x01
	cellExpiring     = 0x02
	cellEmpty        = 0x04
	cellRowTimestamp = 0x08
	cellRowTTL       = 0x10
	cellFlags        = 0x1f
)

// largeSubset is how many columns a table has at least when rows list their columns
// instead of having a bit for each (Cassandra Columns.Serializer).
const largeSubset = 64

// inSeconds is a timestamp in seconds since 1970.
func inSeconds(timestamp uint64) uint64 { return uint64(int64(timestamp) / 1000000) }

// timestamp walks over a timestamp that is expected near to the absolute one ref,
// and gives the absolute one.
func (w *walker) timestamp(s *numbers, ref uint64) uint64 {
	least := w.schema.minTimestamp
	return w.vint(s, ref-least) + least
}

// localTime walks over a local deletion time, expected near to ref, in seconds since 1970.
func (w *walker) localTime(s *numbers, ref uint64) {
	w.vint(s, ref-w.schema.minDeletion)
}

// deletionVints walks over a deletion inside of a partition.
func (w *walker) deletionVints(d deletions) {
	t := w.timestamp(d.timestamps, w.clusteringTime)
	w.localTime(d.seconds, inSeconds(t))
}

func (w *walker) rowBody(flags byte, columns []columnStreams) {
	w.rowTime = w.clusteringTime
	if flags&hasTimestamp != 0 {
		w.rowTime = w.timestamp(w.timestamps, w.clusteringTime)
	}
	if flags&hasTTL != 0 {
		ttl := w.vint(w.ttls, 0) + w.schema.minTTL
		w.localTime(w.expirations, inSeconds(w.rowTime)+ttl)
	}
	if flags&hasDeletion != 0 {
		w.deletionVints(w.rows)
	}
	clear(w.absent)
	if flags&hasAllColumns == 0 {
		w.subset(uint64(len(columns)))
	}
	for i := range columns {
		if w.absent[i/64]>>(i%64)&1 != 0 {
			continue
		}
		if w.err != nil {
			return
		}
		if c := &columns[i]; c.complex {
			w.complexColumn(c, flags&hasComplexDeletion != 0)
		} else {
			w.cell(c)
		}
	}
}

// subset walks over what says which of n columns the row doesn't have: a bit for
// each, or if they are many, how many there are not and the indexes either of those
// that are there, if they are less than half, or of those that are not.
func (w *walker) subset(n uint64) {
	missing := w.vint(w.subsets, 0)
	if n < largeSubset {
		if missing>>n != 0 {
			w.broken()
			return
		}
		w.absent[0] = missing
		return
	}
	if missing == 0 {
		return
	}
	if missing > n {
		w.broken()
		return
	}
	listed := missing
	present := n-missing < n/2
	if present {
		listed = n - missing
		for i := range w.absent {
			w.absent[i] = ^uint64(0)
		}
	}
	next := uint64(0)
	for range listed {
		i := w.vint(w.subsetIndexes, next)
		if i < next || i >= n {
			w.broken()
			return
		}
		w.absent[i/64] ^= 1 << (i % 64)
		next = i + 1
	}
}

func (w *walker) complexColumn(c *columnStreams, deletion bool) {
	if deletion {
		t := w.timestamp(c.deletions.timestamps, w.rowTime)
		w.localTime(c.deletions.seconds, inSeconds(t))
	}
	for n := w.vint(c.counts, 0); n > 0 && w.err == nil; n-- {
		w.cell(c)
	}
}

func (w *walker) cell(c *columnStreams) {
	flags := w.octet(c.flags)
	if flags&^cellFlags != 0 {
		w.broken()
		return
	}
	t := w.rowTime
	if flags&cellRowTimestamp == 0 {
		t = w.timestamp(c.timestamps, w.rowTime)
	}
	if flags&cellRowTTL == 0 {
		if flags&(cellDeleted|cellExpiring) != 0 {
			w.localTime(c.seconds, inSeconds(t))
		}
		if flags&cellExpiring != 0 {
			w.vint(c.ttls, 0)
		}
	}
	if c.complex {
		w.text(c.paths)
	}
	if flags&cellEmpty == 0 {
		w.value(c, t)
	}
}

// value walks over a value of a cell written at a time, in microseconds since 1970.
// If the value itself is a time, it is given likewise.
func (w *walker) value(c *columnStreams, written uint64) (t uint64, ok bool) {
	switch c.kind {
	case variable:
		w.text(c.texts)
	case opaque:
		if c.count > 0 {
			w.bytes(c.texts)
		}
	case millis:
		return w.fixed(c.numbers, uint64(int64(written)/1000)) * 1000, true
	case timeuuid:
		return w.timeUUID(c, written)
	default:
		for i := c.count; i > 0 && w.err == nil; i-- {
			w.fixed(c.numbers, 0)
		}
	}
	return 0, false
}

// uuidEpoch is when the time of a UUID begins, 1582-10-15, in microseconds before 1970.
const uuidEpoch = 12219292800 * 1000000

// timeUUID walks over a UUID: its time in units of 100 ns and, apart from that, the
// 8 bytes of sequence and node. One that is not of version 1 is kept as it is.
func (w *walker) timeUUID(c *columnStreams, written uint64) (t uint64, ok bool) {
	const version, version1 = 0xf000, 0x1000
	var high uint64
	odd := byte(0)
	if !w.decoding {
		if len(w.in)-w.pos < 16 {
			w.fail(w.beyond)
			return 0, false
		}
		if high = binary.BigEndian.Uint64(w.in[w.pos:]); high&version != version1 {
			odd = 1
		}
	}
	if w.mark(c.marks, odd) != 0 {
		w.bytes(c.odd)
		return 0, false
	}
	ref := (written + uuidEpoch) * 10
	if w.decoding {
		t = w.pop(c.numbers, ref)
		high = t<<32 | t>>16&0xffff0000 | t>>48&0x0fff | version1
		w.write(binary.BigEndian.AppendUint64(make([]byte, 0, 8), high))
	} else {
		t = high>>32 | high&0xffff0000<<16 | high&0x0fff<<48
		w.pos += 8
		c.numbers.push(t, ref)
	}
	w.bytes(c.texts)
	return t/10 - uuidEpoch, true
}
