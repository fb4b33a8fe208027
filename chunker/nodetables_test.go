package chunker_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// A nodeTable is a table that a real node writes.
type nodeTable struct {
	name   string
	create string // what stands after its name
	rows   int    // statements between two flushes
	write  func(r *rand.Rand, table string, i int) string
	alter  string // after the first flush
	counts bool   // it has counters
}

func insert(table, columns, values string, a ...any) string {
	return fmt.Sprintf("INSERT INTO "+table+" ("+columns+") VALUES ("+values+")", a...)
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

func words(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(pick(r, "red ", "green ", "blue ", "lorem ", "ipsum ", "dolor "))
	}
	return b.String()
}

// nodeTables are tables in which everything is that the grammar of rows knows.
func nodeTables() []nodeTable {
	list := []nodeTable{statics, deletions, widePartition, hugePartition, empties, collections, counters, vectors, dropped, times, ttls, userTypes, scalars, orders, keys}
	for _, n := range []int{1, 62, 63, 64, 65, 200} {
		list = append(list, columnsTable(n))
	}
	for name, options := range map[string]string{
		"lz4_4k": "'class': 'LZ4Compressor', 'chunk_length_in_kb': 4", "lz4_16k": "'class': 'LZ4Compressor', 'chunk_length_in_kb': 16",
		"lz4_64k": "'class': 'LZ4Compressor', 'chunk_length_in_kb': 64", "lz4_256k": "'class': 'LZ4Compressor', 'chunk_length_in_kb': 256",
		"lz4_ratio": "'class': 'LZ4Compressor', 'min_compress_ratio': 2.2", "lz4_high": "'class': 'LZ4Compressor', 'lz4_compressor_type': 'high'",
		"snappy": "'class': 'SnappyCompressor'", "deflate": "'class': 'DeflateCompressor'", "zstd": "'class': 'ZstdCompressor'",
		"noop": "'class': 'NoopCompressor'", "none": "'enabled': false",
	} {
		list = append(list, compressed(name, options))
	}
	return list
}

func compressed(name, options string) nodeTable {
	return nodeTable{name: "c_" + name, create: "(p int, c bigint, v text, d double, PRIMARY KEY (p, c)) WITH compression = {" + options + "}", rows: 600,
		write: func(r *rand.Rand, table string, i int) string {
			return insert(table, "p, c, v, d", "%d, %d, '%s', %g", i%20, r.Int64(), words(r, 30), float64(r.IntN(1000))/10)
		}}
}

// columnsTable has n regular columns. From 64 on a row lists those it has or has not.
func columnsTable(n int) nodeTable {
	create := "(p int PRIMARY KEY"
	for i := range n {
		create += fmt.Sprintf(", v%d %s", i, []string{"int", "text", "bigint"}[i%3])
	}
	return nodeTable{name: fmt.Sprintf("n%d", n), create: create + ")", rows: 10 + 2000/n,
		write: func(r *rand.Rand, table string, _ int) string {
			names, values := "p", fmt.Sprint(r.IntN(5000))
			odds := r.IntN(5) // of 4, that a column is there
			for i := range n {
				if r.IntN(4) < odds {
					names += fmt.Sprint(", v", i)
					values += []string{", 7", ", 'x'", ", -1"}[i%3]
				}
			}
			return insert(table, names, "%s", values)
		}}
}

var statics = nodeTable{name: "statics", create: "(p int, c int, s text static, t set<int> static, v int, PRIMARY KEY (p, c))", rows: 600,
	write: func(r *rand.Rand, table string, i int) string {
		switch r.IntN(3) {
		case 0:
			return insert(table, "p, s", "%d, '%s'", i, words(r, 3)) // no row
		case 1:
			return insert(table, "p, s, t", "%d, null, {1, %d}", r.IntN(200), i)
		}
		return insert(table, "p, c, v", "%d, %d, %d", r.IntN(200), i, r.IntN(9))
	}}

var deletions = nodeTable{name: "deletions", create: "(p int, c int, d text, v text, l list<int>, PRIMARY KEY (p, c, d))", rows: 1200,
	write: func(r *rand.Rand, table string, i int) string {
		p, c, d := r.IntN(40), r.IntN(200), pick(r, "", "a", "bb", "c c")
		from := fmt.Sprintf(" FROM %s WHERE p = %d", table, p)
		switch r.IntN(14) {
		case 0:
			return fmt.Sprintf("DELETE%s AND c > %d AND c < %d", from, c, c+r.IntN(30))
		case 1:
			return fmt.Sprintf("DELETE%s AND c >= %d", from, c+150)
		case 2:
			return fmt.Sprintf("DELETE%s AND c <= %d", from, c-180)
		case 3:
			return fmt.Sprintf("DELETE%s AND c = %d AND d > '%s'", from, c, d)
		case 4:
			return fmt.Sprintf("DELETE%s AND c = %d AND d = '%s'", from, c, d)
		case 5:
			return fmt.Sprintf("DELETE v, l%s AND c = %d AND d = '%s'", from, c, d)
		case 6:
			return fmt.Sprintf("DELETE FROM %s USING TIMESTAMP %d WHERE p = %d", table, 1500000000000000+i, p+35)
		case 7:
			return fmt.Sprintf("DELETE%s AND (c, d) > (%d, '%s') AND (c, d) <= (%d, 'x')", from, c, d, c+5)
		}
		return insert(table, "p, c, d, v, l", "%d, %d, '%s', '%s', [1, %d]", p, c, d, words(r, 5), i)
	}}

// widePartition is one partition of some MB, and some beside it.
var widePartition = nodeTable{name: "wide", create: "(p text, c timeuuid, v text, n double, PRIMARY KEY (p, c)) WITH CLUSTERING ORDER BY (c DESC)", rows: 2000,
	write: func(r *rand.Rand, table string, _ int) string {
		return insert(table, "p, c, v, n", "'%s', now(), '%s', %g", pick(r, "one", "one", "one", "other "+words(r, 40)), words(r, 200), r.NormFloat64())
	}}

// hugePartition is one partition, of more than 100 MB once it is compacted.
var hugePartition = nodeTable{name: "huge", create: "(p int, c int, v text, PRIMARY KEY (p, c))", rows: 1800,
	write: func(r *rand.Rand, table string, i int) string {
		return insert(table, "p, c, v", "1, %d, '%s'", i, strings.Repeat(words(r, 1000)+" ", 8))
	}}

var empties = nodeTable{name: "empties", create: "(p text, c text, t text, b blob, i int, l bigint, d double, u uuid, ts timestamp, bo boolean, PRIMARY KEY (p, c))", rows: 500,
	write: func(r *rand.Rand, table string, i int) string {
		return insert(table, "p, c, t, b, i, l, d, u, ts, bo",
			"'%d', '%s', %s, %s, blob_as_int(%s), blob_as_bigint(%s), blob_as_double(%s), blob_as_uuid(%s), blob_as_timestamp(%s), blob_as_boolean(%s)",
			i%50, pick(r, "", "a", "b"), pick(r, "''", "'x'"), pick(r, "0x", "0x00"), pick(r, "0x", "0x00000001"), pick(r, "0x", "0x8000000000000000"),
			pick(r, "0x", "0x7ff8000000000001"), pick(r, "0x", "0x00112233445566778899aabbccddeeff"), pick(r, "0x", "0xffffffffffffffff"), pick(r, "0x", "0x00", "0x01"))
	}}

var collections = nodeTable{name: "collections", create: "(p int PRIMARY KEY, l list<text>, s set<int>, m map<text, frozen<list<int>>>, f frozen<map<int, text>>)", rows: 900,
	write: func(r *rand.Rand, table string, i int) string {
		p := r.IntN(150)
		update := func(set string, a ...any) string {
			return fmt.Sprintf("UPDATE "+table+" SET "+set+" WHERE p = %d", append(a, p)...)
		}
		switch r.IntN(7) {
		case 0:
			return update("l = l + ['%s'], s = s + {%d}", words(r, 4), i)
		case 1:
			return update("l = ['%s'] + l", words(r, 4))
		case 2:
			return update("s = s - {%d}, m['%s'] = [%d]", r.IntN(i+1), words(r, 1), i)
		case 3:
			return fmt.Sprintf("DELETE m['red '], s FROM %s WHERE p = %d", table, p)
		case 4:
			return update("m = m + {'': [], '%s': [1, 2]}", words(r, 3))
		case 5:
			return update("l = null, f = null")
		}
		return insert(table, "p, l, s, m, f", "%d, ['', 'a'], {%d, 5}, {'k': [%d]}, {%d: '%s'}", p, i, i, i, words(r, 3))
	}}

var counters = nodeTable{name: "counters", create: "(p int, c text, n counter, m counter, PRIMARY KEY (p, c))", rows: 300, counts: true,
	write: func(r *rand.Rand, table string, _ int) string {
		if r.IntN(20) == 0 {
			return fmt.Sprintf("DELETE FROM %s WHERE p = %d", table, r.IntN(30))
		}
		return fmt.Sprintf("UPDATE %s SET %s = %[2]s + %d WHERE p = %d AND c = '%s'", table, pick(r, "n", "m"), r.IntN(1<<40)-1<<39, r.IntN(20), words(r, 1))
	}}

var vectors = nodeTable{name: "vectors", create: "(p int PRIMARY KEY, f vector<float, 8>, t vector<text, 2>, i vector<bigint, 3>, n vector<frozen<vector<int, 2>>, 2>)", rows: 400,
	write: func(r *rand.Rand, table string, i int) string {
		f := make([]string, 8)
		for i := range f {
			f[i] = fmt.Sprint(float32(r.NormFloat64()))
		}
		return insert(table, "p, f, t, i, n", "%d, [%s], ['%s', ''], [%d, 0, -1], [[1, 2], [%d, 4]]", r.IntN(900), strings.Join(f, ", "), words(r, 3), i, i)
	}}

var dropped = nodeTable{name: "dropped", create: "(p int PRIMARY KEY, a int, b text, c int, d map<int, int>)", rows: 300,
	alter: "ALTER TABLE k.dropped DROP b",
	write: func(r *rand.Rand, table string, i int) string {
		if i < 300 {
			return insert(table, "p, a, b, c, d", "%d, %d, '%s', 1, {%d: 1}", r.IntN(500), i, words(r, 5), i)
		}
		return insert(table, "p, a, c, d", "%d, %d, 1, {%d: 1}", r.IntN(500), i, i)
	}}

// times are beyond those of clocks: those of rows, of deletions and of cells.
var times = nodeTable{name: "times", create: "(p int, c int, v int, w int, PRIMARY KEY (p, c))", rows: 800,
	write: func(r *rand.Rand, table string, i int) string {
		at := []int64{math.MinInt64 + 1, math.MaxInt64, -1, 0, 1, r.Int64() - 1<<62, 1442880000000000, 1442880000000000 + int64(i)}[r.IntN(8)]
		p, c := r.IntN(100), r.IntN(20)
		switch r.IntN(6) {
		case 0:
			return fmt.Sprintf("DELETE FROM %s USING TIMESTAMP %d WHERE p = %d AND c > %d", table, at, p, c)
		case 1: // one before 1970 makes an oa that Cassandra itself calls corrupt
			return fmt.Sprintf("DELETE FROM %s USING TIMESTAMP %d WHERE p = %d", table, max(at, 0), p)
		case 2:
			return fmt.Sprintf("UPDATE %s USING TIMESTAMP %d SET w = %d WHERE p = %d AND c = %d", table, at, i, p, c)
		}
		return insert(table, "p, c, v", "%d, %d, %d", p, c, i) + fmt.Sprintf(" USING TIMESTAMP %d", at)
	}}

var ttls = nodeTable{name: "ttls", create: "(p int, c int, v text, w text, PRIMARY KEY (p, c)) WITH default_time_to_live = 864000", rows: 700,
	write: func(r *rand.Rand, table string, i int) string {
		ttl := []int{0, 1, 60, 86400, 30000000, r.IntN(1e6)}[r.IntN(6)]
		if r.IntN(3) == 0 {
			return fmt.Sprintf("UPDATE %s USING TTL %d SET w = '%s' WHERE p = %d AND c = %d", table, ttl, words(r, 3), r.IntN(60), r.IntN(9))
		}
		s := insert(table, "p, c, v", "%d, %d, '%s'", r.IntN(60), r.IntN(9), words(r, 3))
		if r.IntN(3) == 0 {
			return s // the default
		}
		return s + fmt.Sprintf(" USING TTL %d", ttl)
	}}

var userTypes = nodeTable{name: "usertypes", create: "(p int PRIMARY KEY, a place, f frozen<place>, l list<frozen<place>>, t tuple<int, text>)", rows: 500,
	write: func(r *rand.Rand, table string, i int) string {
		place := fmt.Sprintf("{x: %d, name: '%s', tags: {'a', '%s'}}", i, words(r, 2), words(r, 1))
		switch p := r.IntN(300); r.IntN(3) {
		case 0:
			return fmt.Sprintf("UPDATE %s SET a.x = %d WHERE p = %d", table, i, p)
		case 1:
			return insert(table, "p, f, t", "%d, {x: null, name: ''}, (null, 'z')", p)
		default:
			return insert(table, "p, a, f, l, t", "%d, %s, %[2]s, [%[2]s], (%d, '')", p, place, i)
		}
	}}

var scalars = nodeTable{name: "scalars",
	create: "(p uuid PRIMARY KEY, a ascii, b bigint, c blob, d boolean, e date, f decimal, g double, h duration, i float, j inet, k int, l smallint, m text, n time, o timestamp, q timeuuid, r tinyint, s varint)",
	rows:   500,
	write: func(r *rand.Rand, table string, i int) string {
		return insert(table, "p, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q, r, s",
			"uuid(), 'a%d', %d, 0x%x, %t, '20%02d-01-02', %d.%d, %g, 1mo%dd3h, %g, '%s', %d, %d, 'é%s', '01:02:03.%d', %d, now(), %d, %d",
			i, r.Int64(), r.Uint32()|1<<31, i%2 == 0, i%99, i, r.IntN(100), r.NormFloat64(), i, float32(i)/3, pick(r, "127.0.0.1", "::1", "10.1.2.3"),
			int32(r.Uint32()), int16(r.Uint32()), words(r, 4), i, 1700000000000+int64(i)*60000, int8(i), r.Int64())
	}}

// orders has a key and clusterings of several columns, in both orders.
var orders = nodeTable{name: "orders",
	create: "(a int, b text, c text, d int, e timestamp, v int, PRIMARY KEY ((a, b), c, d, e)) WITH CLUSTERING ORDER BY (c DESC, d ASC, e DESC)",
	rows:   600,
	write: func(r *rand.Rand, table string, i int) string {
		return insert(table, "a, b, c, d, e, v", "%d, '%s', '%s', %d, %d, %d", r.IntN(5), words(r, 1), words(r, 2), r.IntN(1000)-500, int64(i)*1000, i)
	}}

// keys are of two columns, any number, and any length up to almost the longest that there can be.
var keys = nodeTable{name: "keys", create: "(a int, b blob, v text, PRIMARY KEY ((a, b)))", rows: 100,
	write: func(r *rand.Rand, table string, i int) string {
		b := make([]byte, []int{0, 1, 16, 300, 60_000}[r.IntN(5)*min(i%10, 1)])
		for k := range b {
			b[k] = byte(r.Uint32() & 3)
		}
		return insert(table, "a, b, v", "%d, 0x%x, '%s'", int32(r.Uint32()), b, words(r, 5))
	}}
