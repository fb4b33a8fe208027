package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/fixtures"
)

// What nodes of older releases left, a snapshot and what was flushed after it, is restored into one of
// today, and every row is what the old node read last. For what this node does not import, that is 2.1
// (ka), 6.0 (pa), and the format that 5.0 has by choice (da), TestFixturesComeBack of internal/restore
// shows that every file comes back as it was.
//
// Some cells live for three years: until November 2029.
func TestRowsOfOldLayouts(t *testing.T) {
	t.Parallel()
	node := cassandratest.New(t, cassandratest.Options{HeapMB: 512})
	session := connect(t, node)
	for _, variant := range []string{"3.11.19-me", "4.1.10-nb", "5.0.8-nb"} {
		t.Run(variant, func(t *testing.T) {
			old := fixtures.Unpack(t, variant)
			forgetEnd(t, fixtures.DataDirs(old))
			c := (&copied{Sstash: &Sstash{Binary: program(t)}, root: filepath.Dir(old), dir: old}).clone(t, "copy")
			if err := errors.Join(c.backup(t.Context()), c.check(t.Context(), true)); err != nil {
				t.Fatal(err)
			}
			defer func() { // for the next one
				for _, keyspace := range []string{"shop", `"Shop"`, "backups"} {
					execute(t, session, "DROP KEYSPACE IF EXISTS "+keyspace)
				}
			}()
			byHand(t, session, old)
			svc := configure(t, node, Setup{Bucket: c.bucket})
			_, err := svc.Command(t.Context(), "restore", "--at", "latest", "--cluster", "copied",
				"--node", archived(t, c.bucket).hostID(), "--stage", filepath.Join(c.dir, "stage"))
			if err != nil {
				t.Fatal(err)
			}
			want := endRows(t, old)
			got := Rows{}
			for table := range want {
				got[table] = plainRows(t, session, table)
			}
			if diff := want.Diff(got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// forgetEnd removes the last snapshot, so that what came after the first is in backups/ alone.
func forgetEnd(t *testing.T, dataDirs []string) {
	t.Helper()
	removed := 0
	for _, dir := range dataDirs {
		found, err := filepath.Glob(filepath.Join(dir, "*", "*", "snapshots", "end.1 of day"))
		if err != nil {
			t.Fatal(err)
		}
		for _, snapshot := range found {
			removed++
			if err := os.RemoveAll(snapshot); err != nil {
				t.Fatal(err)
			}
		}
	}
	if removed == 0 {
		t.Fatal("there is no last snapshot")
	}
}

// madeByHand are the statements of which a snapshot says nothing: keyspaces, what became of one table
// after it, and a table that was made after it.
var madeByHand = regexp.MustCompile(`(?m)^(CREATE KEYSPACE|(CREATE|ALTER|DROP) TABLE shop\.(evolve|doomed_drop))\b.*;$`)

// byHand makes what the operator is told to, out of the statements that the old node was given.
func byHand(t *testing.T, session *cassandratest.Session, old string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(old, "schema.cql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range madeByHand.FindAllString(string(script), -1) {
		execute(t, session, statement)
	}
}

// endRows are the rows that the old node read last, each as JSON, by table.
func endRows(t *testing.T, old string) Rows {
	t.Helper()
	all := Rows{}
	paths, err := fs.Glob(os.DirFS(old), "rows/*.json")
	if err != nil || len(paths) < 28 {
		t.Fatalf("rows of %d tables, %v", len(paths), err)
	}
	for _, path := range paths {
		var read struct{ End []json.RawMessage }
		text, err := os.ReadFile(filepath.Join(old, path))
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil || len(read.End) == 0 {
			t.Fatalf("%s: %d rows, %v", path, len(read.End), err)
		}
		keyspace, table, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json"), ".")
		name := fmt.Sprintf("%q.%q", keyspace, table)
		for _, row := range read.End {
			all[name] = append(all[name], canonical(t, row))
		}
		slices.Sort(all[name])
	}
	return all
}

// canonical is a row with its columns in order.
func canonical(t *testing.T, row json.RawMessage) string {
	t.Helper()
	var columns map[string]any
	d := json.NewDecoder(strings.NewReader(string(row)))
	d.UseNumber() // of 64 bits and more
	if err := d.Decode(&columns); err != nil {
		t.Fatal(err)
	}
	return encoded(t, columns)
}

func encoded(t *testing.T, columns map[string]any) string {
	t.Helper()
	text, err := json.Marshal(columns)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plainRows reads a table into what endRows has.
func plainRows(t *testing.T, session *cassandratest.Session, table string) (rows []string) {
	t.Helper()
	iter := session.Query("SELECT * FROM " + table).IterContext(t.Context())
	for {
		row := map[string]any{}
		var into []any
		for _, column := range iter.Columns() {
			cells := make([]plain, width(column))
			for i := range cells {
				into = append(into, &cells[i])
			}
			if row[column.Name] = cells; len(cells) == 1 {
				row[column.Name] = &cells[0]
			}
		}
		if !iter.Scan(into...) {
			break
		}
		rows = append(rows, encoded(t, row))
	}
	if err := iter.Close(); err != nil {
		t.Fatalf("read %s: %v", table, err)
	}
	slices.Sort(rows)
	return rows
}

// width is how many variables the driver wants for a column: one for each field of a tuple.
func width(column gocql.ColumnInfo) int {
	if tuple, ok := column.TypeInfo.(gocql.TupleTypeInfo); ok {
		return len(tuple.Elems)
	}
	return 1
}

// plain is a value the way that rows/*.json write it.
type plain struct{ value any }

// MarshalJSON implements json.Marshaler.
func (p plain) MarshalJSON() ([]byte, error) { return json.Marshal(p.value) }

// UnmarshalCQL implements gocql.Unmarshaler.
func (p *plain) UnmarshalCQL(info gocql.TypeInfo, data []byte) error {
	if data == nil {
		return nil
	}
	switch typed := info.(type) {
	case gocql.UDTTypeInfo:
		return p.fields(typed, data)
	case gocql.VectorType:
		return p.list(info, data)
	}
	switch info.Type() {
	case gocql.TypeList:
		return p.list(info, data)
	case gocql.TypeSet:
		return p.set(info, data)
	case gocql.TypeMap:
		return p.pairs(info, data)
	}
	return p.scalar(info, data)
}

func (p *plain) list(info gocql.TypeInfo, data []byte) error {
	var list []plain
	err := gocql.Unmarshal(info, data, &list)
	p.value = list
	return err
}

// set is sorted, which one in a frozen value need not be.
func (p *plain) set(info gocql.TypeInfo, data []byte) error {
	var set []plain
	err := gocql.Unmarshal(info, data, &set)
	slices.SortFunc(set, plain.compare)
	p.value = set
	return err
}

// compare orders integers, and texts.
func (p plain) compare(q plain) int {
	if n, ok := p.value.(int); ok {
		return cmp.Compare(n, q.value.(int))
	}
	return cmp.Compare(p.value.(string), q.value.(string))
}

// pairs are a map in the order of its keys.
func (p *plain) pairs(info gocql.TypeInfo, data []byte) error {
	var entries map[plain]plain
	err := gocql.Unmarshal(info, data, &entries)
	var pairs [][2]plain
	for k, v := range entries {
		pairs = append(pairs, [2]plain{k, v})
	}
	slices.SortFunc(pairs, func(a, b [2]plain) int { return a[0].compare(b[0]) })
	p.value = pairs
	return err
}

func (p *plain) fields(info gocql.UDTTypeInfo, data []byte) error {
	all := fields{}
	for _, field := range info.Elements { // the last ones may not be in data
		all[field.Name] = plain{}
	}
	p.value = all
	return gocql.Unmarshal(info, data, all)
}

// fields are those of a user-defined type.
type fields map[string]plain

// UnmarshalUDT implements gocql.UDTUnmarshaler.
func (f fields) UnmarshalUDT(name string, info gocql.TypeInfo, data []byte) error {
	var p plain
	err := p.UnmarshalCQL(info, data)
	f[name] = p
	return err
}

func (p *plain) scalar(info gocql.TypeInfo, data []byte) error {
	var value any
	err := gocql.Unmarshal(info, data, &value)
	switch v := value.(type) {
	case []byte:
		value = "0x" + hex.EncodeToString(v)
		if sum := sha256.Sum256(v); len(v) > 64 {
			value = map[string]any{"len": len(v), "sha256": hex.EncodeToString(sum[:])}
		}
	case float32:
		value = decimals(float64(v))
	case float64:
		value = decimals(v)
	case time.Time:
		if value = v.UTC().Format("2006-01-02T15:04:05.000Z"); info.Type() == gocql.TypeDate {
			value = v.Unix() / int64(24*time.Hour/time.Second)
		}
	case time.Duration:
		value = v.Nanoseconds()
	case gocql.Duration:
		value = map[string]any{"months": v.Months, "days": v.Days, "ns": v.Nanoseconds}
	case *big.Int: // as it is
	case fmt.Stringer: // UUIDs, addresses, decimals
		value = v.String()
	}
	p.value = value
	return err
}

// decimals writes a float the way that Python does.
func decimals(f float64) string {
	s := strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+"))
	if !strings.ContainsAny(s, ".n") { // inf and nan have an n
		s += ".0"
	}
	return s
}
