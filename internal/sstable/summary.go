package sstable

// ParseSummaryKeys gives the first and the last partition key of an SSTable in
// the big format, from the end of its Summary.db; false if it can't be read. Since
// oa and da, Statistics.db has them too. (Cassandra IndexSummary.serialize and
// SSTableReader.saveSummary, 2.1+.) The keys share memory with b.
//
//	i32 min index interval | i32 n | i64 size of entries and their offsets
//	i32 sampling level | i32 n at full sampling | entries | u32 length, key | u32 length, key
//	2.1 and 2.2: bounds of file segments
func ParseSummaryKeys(b []byte) (first, last []byte, ok bool) {
	d := decoder{b: b}
	d.i32()
	d.i32()
	size := d.i64()
	d.i32()
	d.i32()
	if size < 0 {
		return nil, nil, false
	}
	d.take(uint64(size))
	first = d.take(uint64(d.u32()))
	last = d.take(uint64(d.u32()))
	if d.bad {
		return nil, nil, false
	}
	return first, last, true
}
