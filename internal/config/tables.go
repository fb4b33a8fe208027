package config

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// parseTables reads what the environment gives for the key at path: the mapping that a file would have.
func parseTables(path, text string) (Tables, error) {
	d := decoder{file: path}
	var tables Tables
	d.document([]byte(text), func(body ast.Node) { tables = d.tables(path, body) })
	return tables, errors.Join(d.errs...)
}

// tables decodes {keyspace.table: {key: value}}.
func (d *decoder) tables(path string, node ast.Node) Tables {
	tables := Tables{}
	d.mapping(path, "tables and their keys, as in {shop.orders: {compression: dense}}", node, func(name *ast.StringNode, node ast.Node) {
		keyspace, table, dotted := strings.Cut(name.Value, ".")
		if !isWord(keyspace) || dotted && !isWord(table) {
			d.fail(name, "%s: %q is neither keyspace nor keyspace.table, as in the names of their directories", path, name.Value)
		}
		var t Table
		inner := decoder{file: d.file, keys: appendKeys(nil, path+"."+name.Value+".", reflect.ValueOf(&t).Elem())}
		inner.group(path+"."+name.Value+".", node)
		d.errs = append(d.errs, inner.errs...)
		tables[name.Value] = t
	})
	return tables
}

// isWord tells whether s can name a keyspace or a table: these are the names of directories, too, and
// never quoted.
func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func (f *faults) tables(t Tables) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if level := t[name].Compression; level != "" {
			f.word("tables."+name+".compression", level, CompressionFast, CompressionBalanced, CompressionDense)
		}
	}
}
