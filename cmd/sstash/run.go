package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/sstash/sstash/internal/bucket"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/daemon"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/uploader"
)

const (
	// stopTimeout is how long the service may take to come to a safe point. Beyond, it ends where it
	// is, which is as safe: the next start goes on.
	stopTimeout = 5 * time.Second
	// busyRetry is how soon to look again whether another sstash has left the state directory.
	busyRetry = time.Second
	// quietLimit is how long nothing may succeed before the watchdog is let bite, at least: a snapshot
	// of a large node takes its time.
	quietLimit = 30 * time.Minute
)

type runVerb struct {
	*app
	startOver bool

	log   *slog.Logger
	alive atomic.Int64 // when something last succeeded, in nanoseconds since 1970
}

func newRun(a *app) *cobra.Command {
	v := &runVerb{app: a}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Back this node up continuously",
		Long: `Runs in the foreground until SIGTERM, and tells systemd (Type=notify or notify-reload) how it is. SIGHUP
reads the configuration anew; one that is wrong is reported, and the old one stays. Status and metrics
are served at the configured address: /status, /metrics, /healthz.

--start-over begins a new history behind one that is damaged: nothing that is stored is lost, but
everything is stored again.`,
		Example: "  sstash run\n  systemctl reload sstash\n  sstash run --log-format json",
		Args:    cobra.NoArgs,
		RunE:    a.verb(v.run),
	}
	cmd.Flags().BoolVar(&v.startOver, "start-over", false, "begin a new history behind a damaged one")
	return cmd
}

func (v *runVerb) run(ctx context.Context, _ []string) error {
	cfg, err := v.nodeConfig()
	if err != nil {
		return err
	}
	v.log = v.logger()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	v.beat()
	go v.watchdog(ctx, max(quietLimit, daemon.MaxAge(cfg)))

	var before *config.Config // the one that worked, after a reload
	for {
		node, err := v.openNode(ctx, cfg)
		if err != nil && ctx.Err() != nil {
			return nil // stopped before it began
		}
		if err != nil && before != nil {
			v.log.Error("the new configuration does not work, back to the old one", "error", err, "hint", hint(err))
			cfg, before = *before, nil
			continue
		}
		if err != nil {
			return err
		}
		next, err := v.live(ctx, node, hangups)
		if err != nil || next == nil {
			return err
		}
		worked := cfg
		cfg, before = *next, &worked
	}
}

// openNode waits for another sstash on this machine to end.
func (v *runVerb) openNode(ctx context.Context, cfg config.Config) (*daemon.Node, error) {
	if err := v.yield(cfg.Limits); err != nil {
		v.log.Warn("can't make room for the database", "error", err)
	}
	options := daemon.Options{
		Config: cfg, Version: facts().Version, StartOver: v.startOver,
		Progress: func(uploader.Progress) { v.beat() },
	}
	for waiting := false; ; waiting = true {
		node, err := daemon.Open(ctx, options)
		if err == nil {
			v.startOver = false
			node.Uploader.Bucket = beating{node.Uploader.Bucket, v.beat}
			v.log.Info("sstash", "version", options.Version, "node", node.String(), "bucket", cfg.Bucket)
			sayAhead(v.log, node)
			return node, nil
		}
		if !errors.Is(err, history.ErrInUse) {
			return nil, err
		}
		if !waiting {
			v.log.Warn("another sstash works on this machine; waiting for it", "error", err)
		}
		v.notify(fmt.Sprintf("STATUS=waiting for another sstash\nEXTEND_TIMEOUT_USEC=%d", (3 * busyRetry).Microseconds()))
		v.beat()
		if err := pause(ctx, busyRetry); err != nil {
			return nil, err
		}
	}
}

// live runs the service on node until ctx ends, or until a reload brings another configuration.
func (v *runVerb) live(ctx context.Context, node *daemon.Node, hangups <-chan os.Signal) (*config.Config, error) {
	defer func() { _ = node.Close() }() // a cache
	life, end := context.WithCancel(ctx)
	defer end()
	s := &daemon.Service{Node: node, Log: v.log, Beat: v.beat, Notify: func(state string) {
		if state != systemd.SdNotifyStopping || ctx.Err() != nil { // a reload is no stop
			v.notify(state)
		}
	}}
	done := make(chan error, 1)
	go func() { done <- s.Run(life) }()
	for {
		select {
		case err := <-done:
			return nil, err
		case <-ctx.Done():
			return nil, ended(done)
		case <-hangups:
			v.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
			next, err := v.nodeConfig()
			if err != nil {
				v.log.Error("the configuration is wrong, the old one stays", "error", err)
				v.notify(systemd.SdNotifyReady)
				continue
			}
			v.log.Info("configuration read anew")
			end()
			return &next, ended(done)
		}
	}
}

func ended(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-time.After(stopTimeout):
		return fmt.Errorf("the service did not stop within %s; the next start goes on where it was", stopTimeout)
	}
}

func (v *runVerb) beat() { v.alive.Store(v.now().UnixNano()) }

// watchdog tells systemd, twice as often as it asks for, that we are alive, as long as something has
// succeeded not longer ago than limit.
func (v *runVerb) watchdog(ctx context.Context, limit time.Duration) {
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	for pause(ctx, every/2) == nil {
		if v.now().Sub(time.Unix(0, v.alive.Load())) < limit {
			v.notify(systemd.SdNotifyWatchdog)
		}
	}
}

// notify tells systemd, where there is one that wants to know.
func (v *runVerb) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		v.log.Debug("systemd was not told", "state", state, "error", err)
	}
}

// beating is a bucket that shows that packs are moving: one large SSTable may take hours.
type beating struct {
	bucket.Bucket
	beat func()
}

// Put implements bucket.Bucket.
func (b beating) Put(ctx context.Context, name string, data []byte) error {
	err := b.Bucket.Put(ctx, name, data)
	if err == nil {
		b.beat()
	}
	return err
}
