package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A table writes a Data.db as Cassandra would, from Cassandra's description of the
// format and without any code of this package.
type table struct {
	*rand.Rand
	version         string
	clustering      []cqlType
	static, regular []cqlColumn
	minTimestamp    uint64 // as in the header: after 2015-09-22
	minDeletion     uint64
	minTTL          uint64
	noPrevious      bool // as 6.0-alpha2's compaction
	longest         int  // of variable values, about
	steady          bool // nothing but inserts of whole rows, one after the other
	clock           uint64
	out             []byte
	starts          []int // of partitions
}

func be(n int, v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v)[8-n:] }

func vint(v uint64) []byte {
	for more := 0; more < 8; more++ {
		if v < 1<<(7*(more+1)) {
			b := be(more+1, v)
			b[0] |= ^byte(0xff >> more)
			return b
		}
	}
	return append([]byte{0xff}, be(8, v)...)
}

func lengthAnd(b []byte) []byte { return append(vint(uint64(len(b))), b...) }

func (t *table) chance(percent int) bool {
	if t.steady {
		return percent >= 50
	}
	return t.IntN(100) < percent
}

func (t *table) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(t.Uint32())
	}
	return b
}

// randomTable has so many regular columns and some of all else.
func randomTable(r *rand.Rand, regular int) *table {
	t := &table{
		Rand: r, version: []string{"ma", "mc", "me", "na", "nb", "oa", "da", "pa", "ea"}[r.IntN(9)],
		minTimestamp: r.Uint64N(1e15), minDeletion: r.Uint64N(1e9), minTTL: r.Uint64N(1000),
		noPrevious: r.IntN(4) == 0, longest: []int{10, 60, 2000}[r.IntN(3)],
	}
	simple, complex := simpleTypes(), complexTypes()
	clusterings := []int{0, 1, 2, 3, 35}[r.IntN(5)]
	for range clusterings {
		c := simple[r.IntN(len(simple))]
		if r.IntN(3) == 0 {
			c.marshal = "ReversedType(" + string(qualified(c.marshal)) + ")"
		}
		t.clustering = append(t.clustering, c)
	}
	columns := func(prefix string, n int) []cqlColumn {
		var list []cqlColumn
		for i := range n {
			c := cqlColumn{fmt.Sprintf("%s%03d", prefix, i), simple[r.IntN(len(simple))]}
			if r.IntN(5) == 0 {
				c.cqlType = complex[r.IntN(len(complex))]
			}
			list = append(list, c)
		}
		slices.SortStableFunc(list, func(a, b cqlColumn) int {
			switch {
			case a.complex == b.complex:
				return 0
			case a.complex:
				return 1
			}
			return -1
		})
		return list
	}
	t.regular = columns("c", regular)
	if clusterings > 0 && r.IntN(2) == 0 {
		t.static = columns("s", 1+r.IntN(3))
	}
	return t
}

// steadyTable has a row for every 10 s or so and, but for these columns, nothing odd.
func steadyTable(r *rand.Rand, columns ...cqlType) *table {
	t := &table{Rand: r, version: "nb", minTimestamp: 3e14, minDeletion: 3e8, longest: 10, steady: true}
	t.clustering = []cqlType{numeric("ReversedType(org.apache.cassandra.db.marshal.TimestampType)", 8, false, func(t *table) uint64 {
		return 1742880000000 + t.clock/1000 + t.Uint64N(50)
	})}
	for i, c := range columns {
		t.regular = append(t.regular, cqlColumn{fmt.Sprint("c", i), c})
	}
	return t
}

// metricsTable is what sensors measure: a time series per partition.
func metricsTable(r *rand.Rand) *table {
	value := 20.0
	return steadyTable(r,
		variableType("UTF8Type"),
		numeric("Int32Type", 4, false, func(t *table) uint64 { return uint64(t.IntN(100) / 98) }),
		numeric("DoubleType", 8, false, func(t *table) uint64 {
			value += float64(t.IntN(21)-10) / 10
			return math.Float64bits(math.Round(value*10) / 10)
		}))
}

// header is the serialization header.
func (t *table) header() []byte {
	h := slices.Concat(vint(t.minTimestamp), vint(t.minDeletion), vint(t.minTTL), lengthAnd(qualified("BytesType")))
	h = append(h, vint(uint64(len(t.clustering)))...)
	for _, c := range t.clustering {
		h = append(h, lengthAnd(qualified(c.marshal))...)
	}
	for _, list := range [][]cqlColumn{t.static, t.regular} {
		h = append(h, vint(uint64(len(list)))...)
		for _, c := range list {
			h = append(append(h, lengthAnd([]byte(c.name))...), lengthAnd(qualified(c.marshal))...)
		}
	}
	return h
}

// data writes partitions until there are so many bytes.
func (t *table) data(size int) []byte {
	for len(t.out) < size {
		t.partition()
	}
	return t.out
}

func (t *table) partition() {
	start := len(t.out)
	t.starts = append(t.starts, start)
	key := t.noise([]int{4, 16, 1 + t.IntN(40), 3000}[t.IntN(4)])
	if t.steady {
		key = t.noise(16)
	}
	t.out = append(append(t.out, be(2, uint64(len(key)))...), key...)
	modern := t.version[0] != 'm' && t.version[0] != 'n'
	seconds, micros := be(4, t.Uint64N(math.MaxInt32)), be(8, t.now())
	switch live := t.chance(80); {
	case live && modern:
		t.out = append(t.out, 0x80)
	case live:
		t.out = append(t.out, 0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0)
	case modern:
		t.out = append(append(t.out, micros...), seconds...)
	default:
		t.out = append(append(t.out, seconds...), micros...)
	}
	if len(t.static) > 0 {
		t.row(true, 0)
	}
	rows := t.IntN(30)
	if t.steady {
		rows = 500
	}
	if len(t.clustering) == 0 {
		rows = t.IntN(2)
	}
	for range rows {
		previous := len(t.out) - start
		start = len(t.out)
		if len(t.clustering) > 0 && t.chance(10) {
			t.marker(previous)
		} else {
			t.row(false, previous)
		}
	}
	t.out = append(t.out, 1)
}

// sized writes a body with its size and that of what is before it.
func (t *table) sized(previous int, body []byte) {
	if t.noPrevious {
		previous = 0
	}
	p := vint(uint64(previous))
	t.out = append(append(append(t.out, vint(uint64(len(p)+len(body)))...), p...), body...)
}

func (t *table) time() []byte {
	if t.steady {
		t.clock += 9990000 + t.Uint64N(20000)
		return vint(t.clock)
	}
	return vint(t.Uint64N(1e9))
}

func (t *table) seconds() []byte  { return vint(t.Uint64N(2000)) }
func (t *table) deletion() []byte { return append(t.time(), t.seconds()...) }

func (t *table) clusteringOf(n int) []byte {
	var b []byte
	for from := 0; from < n; from += 32 {
		var head uint64
		var values []byte
		for i := from; i < min(n, from+32); i++ {
			v := t.clustering[i].value(t)
			switch {
			case t.chance(3):
				head |= 2 << (2 * (i - from))
			case len(v) == 0 || t.chance(3):
				head |= 1 << (2 * (i - from))
			default:
				values = append(values, t.clustering[i].written(v)...)
			}
		}
		b = append(append(b, vint(head)...), values...)
	}
	return b
}

// written is the value as it lies in a row.
func (c cqlType) written(v []byte) []byte {
	if c.fixed >= 0 && !c.complex {
		return v
	}
	return lengthAnd(v)
}

func (t *table) marker(previous int) {
	kind := []byte{0, 1, 2, 5, 6, 7}[t.IntN(6)]
	n := t.IntN(len(t.clustering) + 1)
	t.out = append(t.out, 2, kind)
	t.out = append(append(t.out, be(2, uint64(n))...), t.clusteringOf(n)...)
	body := t.deletion()
	if kind == 2 || kind == 5 {
		body = append(body, t.deletion()...)
	}
	t.sized(previous, body)
}

func (t *table) row(static bool, previous int) {
	columns := t.regular
	var flags, more byte
	var body []byte
	if static {
		columns, more = t.static, 1
	} else {
		flags, more, body = t.liveness()
	}
	complexDeletion := t.chance(30)
	if complexDeletion {
		flags |= 64
	}
	has := make([]bool, len(columns))
	count, percent := 0, []int{100, 95, 50, 5, 0}[t.IntN(5)]
	if t.steady {
		percent = 100
	}
	for i := range has {
		if has[i] = t.chance(percent); has[i] {
			count++
		}
	}
	if count == len(columns) {
		flags |= 32
	} else {
		body = append(body, subsetOf(has, count)...)
	}
	for i, c := range columns {
		if has[i] {
			body = append(body, t.column(c.cqlType, flags, complexDeletion)...)
		}
	}
	if more != 0 {
		t.out = append(t.out, flags|128, more)
	} else {
		t.out = append(t.out, flags)
	}
	if !static {
		t.out = append(t.out, t.clusteringOf(len(t.clustering))...)
	}
	t.sized(previous, body)
}

// liveness is what a row says of itself.
func (t *table) liveness() (flags, more byte, body []byte) {
	if t.chance(80) {
		flags |= 4
		body = append(body, t.time()...)
		if t.chance(20) {
			flags |= 8
			body = append(append(body, t.seconds()...), t.seconds()...)
		}
	}
	if t.chance(10) {
		flags |= 16
		body = append(body, t.deletion()...)
		if t.chance(30) {
			more |= 2
		}
	}
	return flags, more, body
}

// subsetOf is a bitmap of what is missing, or lists for tables of 64 columns and more.
func subsetOf(has []bool, count int) []byte {
	if len(has) < 64 {
		var missing uint64
		for i, h := range has {
			if !h {
				missing |= 1 << i
			}
		}
		return vint(missing)
	}
	b := vint(uint64(len(has) - count))
	listPresent := count < len(has)/2
	for i, h := range has {
		if h == listPresent {
			b = append(b, vint(uint64(i))...)
		}
	}
	return b
}

func (t *table) column(c cqlType, row byte, complexDeletion bool) []byte {
	if !c.complex {
		return t.cell(c, row)
	}
	var b []byte
	if complexDeletion {
		b = t.deletion()
	}
	n := t.IntN(4)
	b = append(b, vint(uint64(n))...)
	for range n {
		b = append(b, t.cell(c, row)...)
	}
	return b
}

func (t *table) cell(c cqlType, row byte) []byte {
	var flags byte
	var b []byte
	if row&4 != 0 && t.chance(80) {
		flags |= 8
	} else {
		b = append(b, t.time()...)
	}
	deleted, expiring := t.chance(5), t.chance(10)
	v := c.value(t)
	if deleted {
		flags |= 1
		expiring = false
	}
	if deleted || len(v) == 0 {
		flags |= 4
	}
	if expiring {
		flags |= 2
	}
	if expiring && row&8 != 0 {
		flags |= 16
	} else if deleted || expiring {
		b = append(b, t.seconds()...)
		if expiring {
			b = append(b, t.seconds()...)
		}
	}
	if c.complex {
		b = append(b, lengthAnd(t.noise(t.IntN(17)))...)
	}
	if flags&4 == 0 {
		b = append(b, c.written(v)...)
	}
	return append([]byte{flags}, b...)
}
