package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// A table of the data set and what goes into it.
type table struct {
	name    string
	columns string // and options, as CREATE TABLE has them
	insert  string // columns, in the order of a row
	share   float64
	// rows returns what makes the next row. It is for one goroutine.
	rows func(*rand.Rand, *prose) func() []any
}

// tables are the mix: numbers, short records, text, large values. All have Cassandra 5's default, LZ4
// in chunks of 16 KiB, but for events, which has the 64 KiB that were the default before 4.0.
func tables() []table {
	return []table{
		{"metrics", "(sensor int, day int, at timestamp, value double, status int, PRIMARY KEY ((sensor, day), at))",
			"sensor, day, at, value, status", .12, metrics},
		{"orders", "(customer uuid, placed timestamp, id uuid, status text, cents bigint, items map<text, int>, address text, PRIMARY KEY (customer, placed, id))",
			"customer, placed, id, status, cents, items, address", .20, orders},
		{"users", "(id uuid PRIMARY KEY, name text, email text, country text, created timestamp, about text, settings map<text, text>)",
			"id, name, email, country, created, about, settings", .15, users},
		{"messages", "(room int, id timeuuid, author uuid, body text, PRIMARY KEY (room, id))",
			"room, id, author, body", .15, messages},
		{"events", "(service text, hour int, id timeuuid, payload text, PRIMARY KEY ((service, hour), id)) WITH compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 64}",
			"service, hour, id, payload", .15, events},
		{"documents", "(id uuid PRIMARY KEY, title text, body text)", "id, title, body", .12, documents},
		{"blobs", "(id uuid PRIMARY KEY, name text, body blob)", "id, name, body", .11, blobs},
	}
}

// metrics: values that wander, every ten seconds or so, a day of a sensor after the other.
func metrics(r *rand.Rand, _ *prose) func() []any {
	const perDay = 8640
	n, value := 0, 20.0
	return func() []any {
		series, i := n/perDay, n%perDay
		n++
		value += r.NormFloat64() / 20
		at := start().AddDate(0, 0, series/500).Add(time.Duration(i)*10*time.Second + time.Duration(r.IntN(40))*time.Millisecond)
		status := 0
		if r.IntN(200) == 0 {
			status = r.IntN(16)
		}
		return []any{series % 500, 20_000 + series/500, at, math.Round(100*(value+5*math.Sin(float64(i)/1400))) / 100, status}
	}
}

// orders: one in ten changes the status of an earlier one.
func orders(r *rand.Rand, p *prose) func() []any {
	customers := ids(r, 5000)
	at := start()
	past := make([][]any, 0, 5000)
	return func() []any {
		if len(past) == cap(past) && r.IntN(10) == 0 {
			old := slices.Clone(past[r.IntN(len(past))])
			old[3] = pick(r, "paid", "shipped", "returned")
			return old
		}
		at = at.Add(time.Duration(r.IntN(900)) * time.Millisecond)
		items := map[string]int{}
		for range 1 + r.IntN(4) {
			items[fmt.Sprintf("SKU-%05d", r.IntN(20_000))] = 1 + r.IntN(3)
		}
		w := p.words(r, 2)
		address := fmt.Sprintf("%s St %d, %05d %s", w[0], 1+r.IntN(120), r.IntN(99_999), w[len(w)-1])
		row := []any{customers[r.IntN(len(customers))], at, id(r), "placed", 100 + r.Int64N(40_000), items, address}
		if len(past) < cap(past) {
			past = append(past, row)
		} else {
			past[r.IntN(len(past))] = row
		}
		return row
	}
}

func users(r *rand.Rand, p *prose) func() []any {
	return func() []any {
		w := p.words(r, 2)
		name := strings.Join(w, " ")
		email := fmt.Sprintf("%s.%d@example.org", strings.ToLower(w[0]), r.IntN(10_000))
		settings := map[string]string{
			"theme": pick(r, "light", "dark"), "language": pick(r, "en", "de", "fr", "ja"), "seen": fmt.Sprint(r.IntN(1e6)),
		}
		return []any{id(r), name, email, pick(r, "DE", "US", "JP", "FR", "BR"), start().Add(-time.Duration(r.Int64N(1e17))),
			p.excerpt(r, 100+r.IntN(600)), settings}
	}
}

func messages(r *rand.Rand, p *prose) func() []any {
	authors := ids(r, 2000)
	at := start()
	return func() []any {
		at = at.Add(time.Duration(r.IntN(2000)) * time.Millisecond)
		return []any{r.IntN(3000), gocql.UUIDFromTime(at), authors[r.IntN(len(authors))], p.excerpt(r, 20+r.IntN(400))}
	}
}

// events: what services log, as JSON.
func events(r *rand.Rand, p *prose) func() []any {
	hosts := make([]string, 40)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("10.%d.%d.%d", r.IntN(4), r.IntN(256), r.IntN(256))
	}
	at := start()
	return func() []any {
		at = at.Add(time.Duration(r.IntN(60)) * time.Millisecond)
		payload := fmt.Sprintf(`{"time":%q,"level":%q,"host":%q,"method":%q,"path":"/v1/%s/%d","status":%d,"bytes":%d,"ms":%.3f,"trace":"%016x","message":%q}`,
			at.Format(time.RFC3339Nano), pick(r, "info", "info", "info", "warn", "error"), hosts[r.IntN(len(hosts))],
			pick(r, "GET", "GET", "POST", "PUT"), pick(r, "orders", "users", "rooms", "documents"), r.IntN(1e6),
			[]int{200, 200, 200, 201, 304, 404, 500}[r.IntN(7)], r.IntN(1<<16), r.ExpFloat64()*12, r.Uint64(), strings.Join(p.words(r, 3+r.IntN(12)), " "))
		return []any{pick(r, "shop", "auth", "search", "mail"), int(at.Unix() / 3600), gocql.UUIDFromTime(at), payload}
	}
}

func documents(r *rand.Rand, p *prose) func() []any {
	return func() []any {
		return []any{id(r), strings.Join(p.words(r, 6), " "), p.excerpt(r, length(r))}
	}
}

// blobs are compressed already, as most are: excerpts in gzip.
func blobs(r *rand.Rand, p *prose) func() []any {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	return func() []any {
		b.Reset()
		z.Reset(&b)
		_, _ = z.Write([]byte(p.excerpt(r, 3*length(r)))) // a Buffer takes everything
		_ = z.Close()
		return []any{id(r), fmt.Sprintf("%s-%d.gz", strings.ToLower(p.words(r, 1)[0]), r.IntN(1000)), bytes.Clone(b.Bytes())}
	}
}

// length is 1 to 64 KiB, as often below 8 as above.
func length(r *rand.Rand) int { return int(1024 * math.Exp2(6*r.Float64())) }

func start() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// id is a random UUID, version 4.
func id(r *rand.Rand) gocql.UUID {
	var u gocql.UUID
	binary.LittleEndian.PutUint64(u[:8], r.Uint64())
	binary.LittleEndian.PutUint64(u[8:], r.Uint64())
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

func ids(r *rand.Rand, n int) []gocql.UUID {
	all := make([]gocql.UUID, n)
	for i := range all {
		all[i] = id(r)
	}
	return all
}

// weigh is about how many bytes a row has before Cassandra compresses it.
func weigh(row []any) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		case gocql.UUID:
			n += len(v)
		case map[string]int:
			n += 24 * len(v)
		case map[string]string:
			n += 24 * len(v)
		default:
			n += 8
		}
	}
	return n
}
