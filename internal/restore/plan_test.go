package restore

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/chunker"
	"github.com/sstash/sstash/internal/pack"
)

// good is a plan that can be carried out.
func good() *Plan {
	return &Plan{
		Format: 1, Prefix: prefix, To: "/to", Bytes: 10, Sets: []Set{{pack.SetID{1}, 1}},
		Tables: []Table{{Keyspace: "shop", Name: "orders", ID: orders.ID, SSTables: []SSTable{{
			Index: ".idx", Stem: "nb-1-big", Files: []File{{Name: "Data.db", Size: 10, Hash: chunker.Hash{1}, List: pack.ListRef{Len: 60}}},
		}}}},
	}
}

func TestDecodeRefusesHostilePlans(t *testing.T) {
	f := func(what string, change func(p *Plan, s *SSTable, c *File)) {
		t.Helper()
		p := good()
		change(p, &p.Tables[0].SSTables[0], &p.Tables[0].SSTables[0].Files[0])
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(encoded); !errors.Is(err, ErrBadPlan) {
			t.Errorf("%s: %v, want %v", what, err, ErrBadPlan)
		}
	}
	for _, name := range []string{"..", ".", "", "/etc", "../x", "a/b", "a\x00b", ".x", "a\\b", "-x", strings.Repeat("a", 300)} {
		f("keyspace "+name, func(p *Plan, _ *SSTable, _ *File) { p.Tables[0].Keyspace = name })
		f("table "+name, func(p *Plan, _ *SSTable, _ *File) { p.Tables[0].Name = name })
		f("component "+name, func(_ *Plan, _ *SSTable, c *File) { c.Name = name })
		f("stem "+name, func(_ *Plan, s *SSTable, _ *File) { s.Stem = name })
		if name != "" {
			f("id "+name, func(p *Plan, _ *SSTable, _ *File) { p.Tables[0].ID = name })
		}
		if name != "" && name != ".x" {
			f("index "+name, func(_ *Plan, s *SSTable, _ *File) { s.Index = name })
		}
	}
	f("long name", func(_ *Plan, s *SSTable, c *File) {
		s.Stem, c.Name = strings.Repeat("a", 200), strings.Repeat("b", 200)
	})
	f("newer", func(p *Plan, _ *SSTable, _ *File) { p.Format = 2 })
	f("no format", func(p *Plan, _ *SSTable, _ *File) { p.Format = 0 })
	f("prefix", func(p *Plan, _ *SSTable, _ *File) { p.Prefix = "../other/" })
	f("prefix", func(p *Plan, _ *SSTable, _ *File) { p.Prefix = "a//" })
	f("relative", func(p *Plan, _ *SSTable, _ *File) { p.To = "to" })
	f("not clean", func(p *Plan, _ *SSTable, _ *File) { p.To = "/to/../etc" })
	f("negative", func(p *Plan, _ *SSTable, c *File) { c.Size, p.Bytes = -1, -1 })
	f("other sum", func(p *Plan, _ *SSTable, _ *File) { p.Bytes = 11 })
	f("overflow", func(p *Plan, s *SSTable, c *File) {
		c.Size = math.MaxInt64
		more := *c
		more.Name = "Index.db"
		s.Files = append(s.Files, more)
		p.Bytes = -2
	})
	f("set", func(_ *Plan, _ *SSTable, c *File) { c.Set = 1 })
	f("set", func(_ *Plan, _ *SSTable, c *File) { c.Set = -1 })
	f("no list", func(_ *Plan, _ *SSTable, c *File) { c.List.Len = 0 })
	f("long list", func(_ *Plan, _ *SSTable, c *File) { c.List.Len = math.MaxUint32 })
	f("file twice", func(p *Plan, s *SSTable, c *File) { s.Files, p.Bytes = append(s.Files, *c), 20 })
	f("sstable twice", func(p *Plan, s *SSTable, _ *File) {
		p.Tables[0].SSTables, p.Bytes = append(p.Tables[0].SSTables, *s), 20
	})
	f("table twice", func(p *Plan, _ *SSTable, _ *File) { p.Tables, p.Bytes = append(p.Tables, p.Tables[0]), 20 })
	f("name twice when loading", func(p *Plan, s *SSTable, _ *File) {
		p.To, s.Index = "", ""
		p.Tables = append(p.Tables, Table{Keyspace: "shop", Name: "orders", ID: users.ID})
	})
	f("index when loading", func(p *Plan, _ *SSTable, _ *File) { p.To = "" })
	f("as and to", func(p *Plan, _ *SSTable, _ *File) { p.Tables[0].As = &Name{"a", "b"} })
	replay := func(what string, change func(*Replay)) {
		f(what, func(p *Plan, _ *SSTable, _ *File) {
			p.Replay = &Replay{From: at(1), Until: at(2), To: at(3), Tables: []Name{p.Tables[0].Source()}}
			change(p.Replay)
		})
	}
	replay("log backwards", func(r *Replay) { r.To = at(0) })
	replay("log not to the moment", func(r *Replay) { r.Until = at(4) })
	replay("log from nowhere", func(r *Replay) { r.From = time.Time{} })
	replay("log of another table", func(r *Replay) { r.Tables = append(r.Tables, Name{"shop", "users"}) })
	f("as", func(p *Plan, s *SSTable, _ *File) { p.To, s.Index, p.Tables[0].As = "", "", &Name{"a", "../b"} })

	if _, err := Decode([]byte("{")); !errors.Is(err, ErrBadPlan) {
		t.Errorf("cut short: %v", err)
	}
}

// Whatever is decoded stays below the directory, and comes back as it was.
func FuzzDecode(f *testing.F) {
	encoded, err := good().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add(bytes.ReplaceAll(encoded, []byte("nb-1-big"), []byte("../../x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrBadPlan) {
				t.Errorf("%v is no %v", err, ErrBadPlan)
			}
			return
		}
		for i, table := range p.Tables {
			for _, g := range p.targets(i, table.Dir(), table.every()) {
				if !filepath.IsLocal(g.path) || filepath.Clean(g.path) != g.path || strings.HasPrefix(filepath.Base(g.path), ".") {
					t.Errorf("path %q", g.path)
				}
			}
		}
		if _, err := p.Encode(); err != nil {
			t.Errorf("encode what was decoded: %v", err)
		}
	})
}
