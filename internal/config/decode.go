package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// key is one leaf of the configuration.
type key struct {
	path string        // "cassandra.tls.ca"
	kind string        // the field's kind tag, refining its type
	dst  reflect.Value // where the value goes
}

// keys lists the leaves of c in the order of the fields.
func (c *Config) keys() []key { return appendKeys(nil, "", reflect.ValueOf(c).Elem()) }

func appendKeys(list []key, prefix string, group reflect.Value) []key {
	for i := range group.NumField() {
		field := group.Type().Field(i)
		path := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			list = appendKeys(list, path+".", group.Field(i))
			continue
		}
		list = append(list, key{path, field.Tag.Get("kind"), group.Field(i)})
	}
	return list
}

// set parses one scalar. For a list it is split: an argv at spaces, others at
// commas.
func (k key) set(text string) (err error) {
	switch dst := k.dst.Addr().Interface().(type) {
	case *string:
		*dst = text
	case *time.Duration:
		*dst, err = parseDuration(text, k.kind == "age")
	case *Bytes:
		*dst, err = parseBytes(text)
	case *TimeOfDay:
		*dst, err = parseTimeOfDay(text)
	case *float64:
		*dst, err = strconv.ParseFloat(text, 64)
		if err != nil {
			err = fmt.Errorf("%q is not a number", text)
		}
	case *int:
		*dst, err = strconv.Atoi(text)
		if err != nil {
			err = fmt.Errorf("%q is not a whole number", text)
		}
	case *Tables:
		*dst, err = parseTables(k.path, text)
	case *[]string:
		if k.kind == "words" {
			*dst, err = splitWords(text)
		} else {
			*dst = splitList(text)
		}
	default:
		panic("config: no way to set a " + k.dst.Type().String())
	}
	return err
}

// decoder walks one YAML file and collects what is wrong with it.
type decoder struct {
	file string
	keys []key
	errs []error
}

// decode sets the keys that data, the content of file, gives. A key without a
// value keeps its default. Unknown keys, keys given twice, and YAML beyond
// mappings, lists and scalars are errors with file and line.
func (c *Config) decode(file string, data []byte) error {
	d := decoder{file: file, keys: c.keys()}
	d.document(data, func(body ast.Node) { d.group("", body) })
	return errors.Join(d.errs...)
}

// document parses data and decodes the one document that it holds, if any.
func (d *decoder) document(data []byte, decode func(body ast.Node)) {
	tree, err := parser.ParseBytes(data, 0)
	var at yaml.Error
	switch {
	case errors.As(err, &at) && at.GetToken() != nil:
		d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, at.GetToken().Position.Line, at.GetMessage()))
		return
	case err != nil:
		d.errs = append(d.errs, fmt.Errorf("%s: %w", d.file, err))
		return
	}
	for i, doc := range tree.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			d.fail(doc.Body, "a second document")
		default:
			decode(doc.Body)
		}
	}
}

func (d *decoder) fail(at ast.Node, format string, args ...any) {
	line := 0
	if t := at.GetToken(); t != nil {
		line = t.Position.Line
	}
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, line, fmt.Sprintf(format, args...)))
}

// group decodes the mapping at prefix ("" or ending in a dot).
func (d *decoder) group(prefix string, node ast.Node) {
	name := strings.TrimSuffix(prefix, ".")
	if name == "" {
		name = "the configuration"
	}
	d.mapping(name, "keys: "+strings.Join(d.children(prefix), ", "), node, func(name *ast.StringNode, value ast.Node) {
		path := prefix + name.Value
		switch i := slices.IndexFunc(d.keys, func(k key) bool { return k.path == path }); {
		case i >= 0:
			d.leaf(d.keys[i], value)
		case len(d.children(path+".")) > 0:
			d.group(path+".", value)
		default:
			d.fail(name, "unknown key %q%s", path, d.suggest(prefix, name.Value))
		}
	})
}

// mapping calls decode with all that the mapping called name holds, which is nothing when all of it is
// commented out. Where there is none it says what name takes.
func (d *decoder) mapping(name, takes string, node ast.Node, decode func(key *ast.StringNode, value ast.Node)) {
	if _, ok := node.(*ast.NullNode); ok {
		return
	}
	mapping, ok := node.(ast.MapNode)
	if !ok {
		d.fail(node, "%s takes %s", name, takes)
		return
	}
	for pairs := mapping.MapRange(); pairs.Next(); {
		key, ok := pairs.Key().(*ast.StringNode)
		if !ok {
			d.fail(pairs.Key(), "%q can't be a key", pairs.Key().String())
			continue
		}
		decode(key, pairs.Value())
	}
}

func (d *decoder) leaf(k key, node ast.Node) {
	if _, ok := node.(*ast.NullNode); ok {
		return
	}
	if tables, ok := k.dst.Addr().Interface().(*Tables); ok {
		*tables = d.tables(k.path, node)
		return
	}
	if text, ok := scalar(node); ok {
		if err := k.set(text); err != nil {
			d.fail(node, "%s: %v", k.path, err)
		}
		return
	}
	list, isSequence := node.(*ast.SequenceNode)
	dst, isList := k.dst.Addr().Interface().(*[]string)
	switch {
	case !isList:
		d.fail(node, "%s takes one value", k.path)
		return
	case !isSequence:
		d.fail(node, "%s takes a list", k.path)
		return
	}
	*dst = nil
	for _, item := range list.Values {
		text, ok := scalar(item)
		if !ok {
			d.fail(item, "%s takes a list of plain values", k.path)
			return
		}
		*dst = append(*dst, text)
	}
}

// scalar returns the text of a scalar as it was written: 02:00, off and 0 are
// whatever the key makes of them, not what YAML does.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// children returns the names directly below prefix ("" or ending in a dot).
func (d *decoder) children(prefix string) []string {
	var names []string
	for _, k := range d.keys {
		if rest, ok := strings.CutPrefix(k.path, prefix); ok {
			name, _, _ := strings.Cut(rest, ".")
			names = append(names, name)
		}
	}
	return slices.Compact(names)
}

// suggest names the known key that name, found below prefix, may have meant:
// the nearest beside it, the same one in another group, or all there are.
func (d *decoder) suggest(prefix, name string) string {
	siblings := d.children(prefix)
	if near, ok := nearest(name, siblings); ok {
		return fmt.Sprintf("; did you mean %q?", prefix+near)
	}
	for _, k := range d.keys {
		if k.path == name || strings.HasSuffix(k.path, "."+name) {
			return fmt.Sprintf("; did you mean %q?", k.path)
		}
	}
	return "; known keys: " + strings.Join(siblings, ", ")
}

// nearest returns the candidate with the fewest edits to name, if that is at
// most a third of the name (and at least two).
func nearest(name string, candidates []string) (string, bool) {
	best, least := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := edits(strings.ToLower(name), c); d < least {
			best, least = c, d
		}
	}
	return best, best != ""
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
