package daemon

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sstash/sstash/internal/backup"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/status"
)

// metrics are what Prometheus reads. Gauges come from the same status that is served.
type metrics struct {
	registry *prometheus.Registry
	hints    prometheus.Counter
	passes   *prometheus.CounterVec
	commits  *prometheus.CounterVec
	puts     prometheus.Counter
	read     prometheus.Counter
	stored   prometheus.Counter
	failed   prometheus.Counter
	unlinked prometheus.Counter

	logPieces prometheus.Counter
	logRaw    prometheus.Counter
	logStored prometheus.Counter
	logGaps   prometheus.Counter
	unsplit   *prometheus.CounterVec
	damaged   prometheus.Counter
}

func newMetrics(b *board) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sstash", Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sstash", Name: name, Help: help}, []string{label})
		m.registry.MustRegister(c)
		return c
	}
	m.hints = counter("file_events_total", "Batches of file events that made a scan come sooner.")
	m.passes = vector("passes_total", "Passes by result: ok, incomplete or error.", "result")
	m.commits = vector("commits_total", "Manifests committed, by kind.", "kind")
	m.puts = counter("puts_total", "Objects put: the operations that a bucket charges for.")
	m.read = counter("read_bytes_total", "Bytes of SSTables read and stored.")
	m.stored = counter("stored_bytes_total", "Bytes of packs put.")
	m.failed = counter("failed_sstables_total", "SSTables that could not be stored, counted at each try.")
	m.unlinked = counter("unlinked_files_total", "Hard links unlinked after they were durable.")
	m.unsplit = vector("unsplit_sstables_total", "SSTables of 3.0 or later with LZ4 that were stored with rows that are not in columns, by reason: class, chunk, schema or grammar.", "reason")
	m.damaged = counter("damaged_sstables_total", "SSTables that were stored although they are damaged on this node.")
	m.logPieces = counter("log_pieces_total", "Pieces of the commit log put: operations that a bucket charges for.")
	m.logRaw = counter("log_bytes_total", "Bytes of the commit log stored.")
	m.logStored = counter("log_stored_bytes_total", "Bytes of the pieces that hold them.")
	m.logGaps = counter("log_gaps_total", "Times that the stored commit log began anew, also with the first.")
	m.gauges(b)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) gauges(b *board) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "sstash", Name: name, Help: help}, value))
	}
	gauge("ok", "1 when nothing needs a person.", func() float64 {
		if b.Status().OK {
			return 1
		}
		return 0
	})
	gauge("covered_until_seconds", "Every SSTable linked before this moment is durable.", func() float64 {
		t := b.Status().CoveredUntil
		if t.IsZero() {
			return 0
		}
		return float64(t.UnixMicro()) / 1e6
	})
	gauge("last_full_seconds", "When the newest whole full began.", func() float64 {
		t := b.Status().LastFull
		if t.IsZero() {
			return 0
		}
		return float64(t.UnixMicro()) / 1e6
	})
	drilled := func(name, help string, value func(*status.Drill) float64) {
		gauge(name, help, func() float64 {
			if d := b.Status().LastDrill; d != nil {
				return value(d)
			}
			return 0
		})
	}
	drilled("last_drill_seconds", "When the last restore drill on this machine began.", func(d *status.Drill) float64 {
		return float64(d.Time.UnixMicro()) / 1e6
	})
	drilled("last_drill_ok", "1 when it succeeded.", func(d *status.Drill) float64 {
		if d.OK {
			return 1
		}
		return 0
	})
	drilled("last_drill_rows", "Rows that it read.", func(d *status.Drill) (rows float64) {
		for _, t := range d.Tables {
			rows += float64(t.Rows)
		}
		return rows
	})
	gauge("log_until_seconds", "Every write acknowledged before this moment is in the stored commit log.", func() float64 {
		t := b.Log().Until
		if t.IsZero() {
			return 0
		}
		return float64(t.UnixMicro()) / 1e6
	})
	gauge("log_waiting_bytes", "Durable bytes of the commit log that are not stored.", func() float64 { return float64(b.Log().Waiting) })
	gauge("log_pinned_bytes", "Bytes of commit log segments that the database has deleted and we hold.", func() float64 { return float64(b.Log().Pinned) })
	gauge("queue_files", "Files found and not durable.", func() float64 { return float64(b.Status().QueueFiles) })
	gauge("queue_bytes", "Their bytes.", func() float64 { return float64(b.Status().QueueBytes) })
	gauge("links_bytes", "Bytes that links in backups/ hold.", func() float64 { return float64(b.Status().LinksBytes) })
	gauge("bucket_bytes", "Stored bytes that the newest chains need.", func() float64 { return float64(b.Status().BucketBytes) })
	gauge("warnings", "Things that need a person.", func() float64 { return float64(len(b.Status().Warnings)) })
}

// tail counts what a look at the commit log did.
func (m *metrics) tail(r commitlog.Report) {
	m.logPieces.Add(float64(r.Pieces))
	m.logRaw.Add(float64(r.Raw))
	m.logStored.Add(float64(r.Stored))
	if r.Gap != "" {
		m.logGaps.Inc()
	}
}

func (m *metrics) pass(r backup.Report, err error) {
	switch {
	case err != nil:
		m.passes.WithLabelValues("error").Inc()
	case !r.Complete():
		m.passes.WithLabelValues("incomplete").Inc()
	default:
		m.passes.WithLabelValues("ok").Inc()
	}
	for _, c := range r.Manifests {
		m.commits.WithLabelValues(string(c.Kind)).Inc()
	}
	m.puts.Add(float64(r.Puts))
	m.read.Add(float64(r.NewBytes))
	m.stored.Add(float64(r.Stored))
	m.failed.Add(float64(len(r.Failed)))
	m.unlinked.Add(float64(r.Pruned.Files))
	m.damaged.Add(float64(len(r.Damaged)))
	for _, f := range r.Findings {
		if f.Damage != "" {
			m.damaged.Inc()
		}
		if f.Plain != "" {
			m.unsplit.WithLabelValues(string(f.Plain)).Inc()
		}
	}
}
