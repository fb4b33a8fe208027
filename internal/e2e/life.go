package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/sstash/sstash/internal/cassandratest"
	"github.com/sstash/sstash/internal/status"
)

// Life is the life of one node: rows, flushes, a full, a kill -9 of sstash, the loss of the node, and
// a restore into a fresh one in which every row is compared.
type Life struct {
	Dir    string // everything is in it
	Binary string
	Bucket string
	Env    []string  // for sstash
	Rows   int       // at least so many, in four rounds
	Out    io.Writer // gets a line for each thing that happens
	Log    io.Writer // gets what the service prints
}

// patience is how long a life may take before it counts as stuck. It takes about a minute.
const patience = 10 * time.Minute

// Run lives it. An error says what did not come back.
func (l *Life) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l.say("starting Cassandra 5.0.8 in %s", l.Dir)
	began := time.Now()
	node, err := cassandratest.Start(ctx, cassandratest.Options{Dir: filepath.Join(l.Dir, "node1")})
	if err != nil {
		return err
	}
	defer node.Kill()
	l.say("it answers CQL after %s", since(began))

	svc, err := Configure(l.Binary, node, Setup{Dir: filepath.Join(l.Dir, "sstash1"), Bucket: l.Bucket})
	if err != nil {
		return err
	}
	svc.Env, svc.Log = l.Env, l.Log
	want, last, err := l.backedUp(ctx, node, svc)
	if err != nil {
		return err
	}
	node.Kill()
	for _, d := range node.DataDirs {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	l.say("the node is gone: killed, its data directories removed")
	return l.restored(ctx, last, want)
}

// backedUp fills the node while the service runs, kills that in between, and returns every row and
// the last status.
func (l *Life) backedUp(ctx context.Context, node *cassandratest.Node, svc *Sstash) (Rows, status.Status, error) {
	session, err := node.Session()
	if err != nil {
		return nil, status.Status{}, err
	}
	defer session.Close()
	if err := CreateSchema(session); err != nil {
		return nil, status.Status{}, err
	}
	p := &past{Life: l, node: node, svc: svc, session: session}
	for _, stage := range []func(context.Context) error{p.full, p.flushed, p.killed, p.pruned} {
		if err := stage(ctx); err != nil {
			if svc.cmd != nil {
				svc.Kill()
			}
			return nil, p.last, err
		}
	}
	want, err := Dump(ctx, session, Tables())
	if err != nil {
		return nil, p.last, err
	}
	l.say("%d rows read from the node, to be compared", want.Count())
	began := time.Now()
	if err := svc.Stop(ctx); err != nil {
		return nil, p.last, fmt.Errorf("stop the service: %w", err)
	}
	l.say("SIGTERM: ended after %s", since(began))
	return want, p.last, l.sizes(node)
}

// past is what a node goes through before it is lost.
type past struct {
	*Life
	node    *cassandratest.Node
	svc     *Sstash
	session *cassandratest.Session
	round   int
	last    status.Status
}

func (p *past) load(ctx context.Context) error {
	defer func() { p.round++ }()
	return Load(ctx, p.session, p.round, p.Rows/4)
}

func (p *past) loadAndFlush(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	_, err := p.node.RunNodetool(ctx, "flush")
	return err
}

func (p *past) until(ctx context.Context, want func(status.Status) bool) (err error) {
	p.last, err = p.svc.Until(ctx, want)
	return err
}

func (p *past) full(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	p.say("%d rows in %d tables; starting sstash run: its first full snapshot is due at once", p.Rows/4, len(Tables()))
	began := time.Now()
	if err := p.svc.Start(); err != nil {
		return err
	}
	if err := p.until(ctx, func(s status.Status) bool { return !s.LastFull.IsZero() }); err != nil {
		return err
	}
	p.say("full snapshot durable after %s; %s stored", since(began), size(p.last.BucketBytes))
	return nil
}

func (p *past) flushed(ctx context.Context) error {
	if err := p.loadAndFlush(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := p.until(ctx, func(s status.Status) bool { return s.CoveredUntil.After(began) && s.QueueFiles == 0 }); err != nil {
		return err
	}
	p.say("more rows, a flush: durable %s after the flush ended", since(began))
	return nil
}

func (p *past) killed(ctx context.Context) error {
	if err := p.loadAndFlush(ctx); err != nil {
		return err
	}
	p.svc.Kill()
	p.say("kill -9 of sstash right after another flush")
	if err := p.loadAndFlush(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := p.svc.Start(); err != nil {
		return err
	}
	err := p.until(ctx, func(s status.Status) bool { return s.CoveredUntil.After(began) && s.LinksPrunableBytes == 0 })
	if err != nil {
		return err
	}
	p.say("restarted: caught up after %s; %s stored, every durable link is freed", since(began), size(p.last.BucketBytes))
	return nil
}

func (p *past) pruned(ctx context.Context) error {
	if _, err := p.svc.Command(ctx, "links", "prune", "--superseded", "--yes"); err != nil {
		return err
	}
	if err := p.until(ctx, func(s status.Status) bool { return s.LinksBytes == 0 }); err != nil {
		return err
	}
	p.say("links prune --superseded: backups/ is empty, the links older than the first full are gone too")
	return nil
}

// sizes says what the directories of the bucket and of the node hold.
func (l *Life) sizes(node *cassandratest.Node) error {
	var live int64
	for _, d := range node.DataDirs {
		err := filepath.WalkDir(d, func(_ string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				live += info.Size()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	l.say("the node's files, live and links: %s", size(live))
	return nil
}

// restored brings everything back into a fresh node and compares.
func (l *Life) restored(ctx context.Context, last status.Status, want Rows) error {
	node, err := cassandratest.Start(ctx, cassandratest.Options{Dir: filepath.Join(l.Dir, "node2")})
	if err != nil {
		return err
	}
	defer node.Kill()
	tool, err := Configure(l.Binary, node, Setup{Dir: filepath.Join(l.Dir, "sstash2"), Bucket: l.Bucket})
	if err != nil {
		return err
	}
	tool.Env = l.Env
	began := time.Now()
	var report struct {
		Tables []struct {
			SSTables int
			Bytes    int64
		}
		BytesFetched int64 `json:"bytes_fetched"`
	}
	err = tool.JSON(ctx, &report, "restore", "--at", "latest", "--node", last.HostID, "--stage", filepath.Join(l.Dir, "stage"))
	if err != nil {
		return err
	}
	var bytes int64
	for _, t := range report.Tables {
		bytes += t.Bytes
	}
	l.say("fresh node: %d tables restored in %s; %s fetched, %s placed, every frame verified",
		len(report.Tables), since(began), size(report.BytesFetched), size(bytes))

	session, err := node.Session()
	if err != nil {
		return err
	}
	defer session.Close()
	got, err := Dump(ctx, session, Tables())
	if err != nil {
		return err
	}
	if diff := want.Diff(got); diff != "" {
		return fmt.Errorf("the restored rows differ:\n%s", diff)
	}
	if len(want) != len(Tables()) || want.Count() < l.Rows/2 {
		return fmt.Errorf("only %d rows in %d tables were compared", want.Count(), len(want))
	}
	l.say("every one of %d rows in %d tables is back, equal", got.Count(), len(got))
	return nil
}

func (l *Life) say(format string, args ...any) {
	fmt.Fprintf(l.Out, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func since(t time.Time) string { return time.Since(t).Round(10 * time.Millisecond).String() }

func size(n int64) string { return humanize.IBytes(uint64(n)) }
