package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// report is everything that was measured.
type report struct {
	command   string
	host      []string
	loads     [2]string // before and after
	tables    []held
	data      volume
	storers   []string // tools that stored each table alone
	trials    []trial
	reference string // the tool that ratios are of
	scan      scanned
	flushes   []time.Duration // in order
}

// held is what a table of the data set has.
type held struct {
	table string
	volume
	engine engine
	stored []int64 // by each of the storers
}

// grid is a heading and a table of cells, the first row being their names.
type grid struct {
	title string
	rows  [][]string
}

func (r report) grids() []grid {
	if len(r.trials) == 0 {
		return []grid{r.flushGrid()}
	}
	gs := []grid{r.dataGrid()}
	for _, g := range []struct {
		title string
		of    func(trial) pass
	}{
		{"First pass", func(t trial) pass { return t.first }},
		{"Second pass: another snapshot of the same files", func(t trial) pass { return t.second }},
	} {
		rows := [][]string{append(costNames(r.reference), "stored", "of the data", "Data.db read")}
		for _, t := range r.trials {
			p := g.of(t)
			rows = append(rows, append(r.cells(t.tool, p.cost, func(t trial) cost { return g.of(t).cost }),
				size(p.added), share(p.added, r.data.bytes), fmt.Sprint(p.data)))
		}
		gs = append(gs, grid{g.title, rows})
	}
	rows := [][]string{costNames(r.reference)}
	for _, t := range r.trials {
		rows = append(rows, r.cells(t.tool, t.restore, func(t trial) cost { return t.restore }))
	}
	return append(gs, grid{"Restore to a directory", rows}, r.storedGrid(), r.engineGrid(), r.scanGrid(), r.flushGrid())
}

func (r report) dataGrid() grid {
	rows := [][]string{{"table", "SSTables", "files", "bytes"}}
	for _, h := range append(slices.Clip(r.tables), held{table: "all", volume: r.data}) {
		rows = append(rows, []string{h.table, fmt.Sprint(h.sstables), fmt.Sprint(h.files), size(h.bytes)})
	}
	return grid{"The data", rows}
}

// storedGrid compares tools with the last one.
func (r report) storedGrid() grid {
	rows := [][]string{{"table"}}
	for i, name := range r.storers {
		rows[0] = append(rows[0], name, "of the data")
		if i < len(r.storers)-1 {
			rows[0] = append(rows[0], "÷ "+r.storers[len(r.storers)-1])
		}
	}
	for _, t := range r.tables {
		row := []string{t.table}
		for i, bytes := range t.stored {
			row = append(row, size(bytes), share(bytes, t.bytes))
			if i < len(t.stored)-1 {
				row = append(row, share(bytes, t.stored[len(t.stored)-1]))
			}
		}
		rows = append(rows, row)
	}
	return grid{"Stored, each table alone", rows}
}

func (r report) engineGrid() grid {
	rows := [][]string{{"table", "chunks", "come back from their rows", "frames", "in columns"}}
	for _, t := range r.tables {
		if e := t.engine; e.frames > 0 {
			rows = append(rows, []string{t.table, humanize.Comma(int64(e.chunks)), percent(e.reproduced()), fmt.Sprint(e.frames), percent(e.columns())})
		}
	}
	return grid{"LZ4 made again, and columns", rows}
}

func (r report) scanGrid() grid {
	s := r.scan
	return grid{"Scan of a node full of links", [][]string{
		{"files", "directories", "first, s", "again, s", "files read", "listing in memory"},
		{humanize.Comma(int64(s.files)), fmt.Sprint(s.places), seconds(s.first), seconds(s.warm), fmt.Sprint(s.read), size(s.memory)},
	}}
}

func (r report) flushGrid() grid {
	rows := [][]string{{"flushes", "least, s", "median, s", "p99, s", "most, s"}}
	if n := len(r.flushes); n > 0 {
		at := func(share float64) string { return seconds(r.flushes[int(math.Ceil(share*float64(n)))-1]) }
		rows = append(rows, []string{fmt.Sprint(n), seconds(r.flushes[0]), at(0.5), at(0.99), seconds(r.flushes[n-1])})
	}
	return grid{"From the last link of a flush after quiet until it is durable", rows}
}

func costNames(reference string) []string {
	return []string{"", "wall, s", "CPU, s", "wall ÷ " + reference, "CPU ÷ " + reference, "peak memory", "bytes read"}
}

// cells are a tool's name and what a part of the trial cost it, beside what it cost the reference.
func (r report) cells(tool string, c cost, of func(trial) cost) []string {
	var ref cost
	for _, t := range r.trials {
		if t.tool == r.reference {
			ref = of(t)
		}
	}
	memory := "–"
	if c.rss > 0 {
		memory = size(c.rss)
	}
	return []string{tool, seconds(c.wall), seconds(c.cpu), ratio(c.wall, ref.wall), ratio(c.cpu, ref.cpu), memory, size(c.read)}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds()) }

func share(a, b int64) string { return fmt.Sprintf("%.3f", float64(a)/float64(b)) }

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// text prints for a terminal.
func (r report) text(out io.Writer) error {
	fmt.Fprintf(out, "%s\n%s\nload before %s, after %s\n", r.command, strings.Join(r.host, "\n"), r.loads[0], r.loads[1])
	for _, g := range r.grids() {
		if err := g.text(out); err != nil {
			return err
		}
	}
	return nil
}

func (g grid) text(out io.Writer) error {
	fmt.Fprintf(out, "\n%s\n", g.title)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, row := range g.rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// markdown prints for docs/performance.md.
func (r report) markdown(out io.Writer) error {
	fmt.Fprintf(out, "`%s`\n\n", r.command)
	for _, fact := range r.host {
		fmt.Fprintf(out, "- %s\n", fact)
	}
	fmt.Fprintf(out, "- load average before %s, after %s\n", r.loads[0], r.loads[1])
	for _, g := range r.grids() {
		fmt.Fprintf(out, "\n### %s\n\n", g.title)
		for i, row := range g.rows {
			fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(out, "|---%s|\n", strings.Repeat("|--:", len(row)-1))
			}
		}
	}
	_, err := fmt.Fprintln(out)
	return err
}
