package uploader

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sstash/sstash/internal/fixtures"
	"github.com/sstash/sstash/internal/sstable"
)

// fixture writes what a real Cassandra of 3.0 or later wrote for shop.<name> into backups/, under another
// name at each call.
func (n *node) fixture(variant, name string) sstable.SSTable {
	n.t.Helper()
	return n.write(table(name), fmt.Sprintf("%s-%d-big", variant[len(variant)-2:], len(n.content)), n.components(variant, name))
}

// components are the files of an SSTable of shop.<name>.
func (n *node) components(variant, name string) map[string][]byte {
	n.t.Helper()
	if n.tree == "" {
		n.tree = fixtures.Unpack(n.t, variant)
	}
	found, err := filepath.Glob(filepath.Join(n.tree, "data1", "shop", name+"-*", "*-big-"+sstable.Data))
	n.must(err)
	if len(found) == 0 {
		n.t.Fatalf("%s has no table %s", variant, name)
	}
	stem := strings.TrimSuffix(found[0], sstable.Data)
	files, err := filepath.Glob(stem + "*")
	n.must(err)
	content := map[string][]byte{}
	for _, path := range files {
		content[strings.TrimPrefix(path, stem)], err = os.ReadFile(path)
		n.must(err)
	}
	return content
}
