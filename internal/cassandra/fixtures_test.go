package cassandra

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sstash/sstash/internal/fixtures"
)

// Every schema.cql that real snapshots of 3.11 to 6.0 hold gives the table of
// the directory that it lies in, with its id.
func TestSchemaOfRealSnapshots(t *testing.T) {
	for _, variant := range fixtures.Variants() {
		node := fixtures.Unpack(t, variant)
		if _, err := ReadYAML(filepath.Join(node, "cassandra.yaml")); err != nil {
			t.Error(err)
		}
		files := 0
		err := filepath.WalkDir(node, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "schema.cql" || !strings.Contains(path, "/snapshots/") {
				return err
			}
			files++
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			objects, err := ParseSchema(string(text))
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if dir := filepath.Join(path, "../../.."); !creates(objects, filepath.Base(filepath.Dir(dir)), filepath.Base(dir)) {
				t.Errorf("%s doesn't create its table", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if files == 0 && variant != "2.1.22-ka" { // schema.cql came with 3.0.9
			t.Errorf("%s: no schema.cql", variant)
		}
	}
}

// creates says whether the objects include the table or view of a directory
// "<table>-<id>".
func creates(objects []Object, keyspace, dir string) bool {
	for _, o := range objects {
		if o.Keyspace == keyspace && o.Name+"-"+o.ID == dir {
			return true
		}
	}
	return false
}
