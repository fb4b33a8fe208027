package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket/bucketurl"
	"github.com/sstash/sstash/internal/commitlog"
	"github.com/sstash/sstash/internal/config"
	"github.com/sstash/sstash/internal/history"
	"github.com/sstash/sstash/internal/status"
)

// segment is one as Cassandra 3.11 makes them, which always go through memory: with one record.
func segment(id uint64, record string) []byte {
	sum := func(values ...uint32) uint32 {
		var b []byte
		for _, v := range values {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		return crc32.ChecksumIEEE(b)
	}
	b := binary.BigEndian.AppendUint32(nil, 6)
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, sum(6, uint32(id), uint32(id>>32), 0))
	marker := uint32(len(b))
	b = binary.BigEndian.AppendUint32(b, marker+8+uint32(len(record)))
	b = binary.BigEndian.AppendUint32(b, sum(uint32(id), uint32(id>>32), marker))
	return append(append(b, record...), make([]byte, 1<<10)...)
}

// logged is a node with a commit log, and not much of a database.
func logged(t *testing.T) config.Config {
	t.Helper()
	c := copied(t)
	c.CommitLog = config.CommitLog{Every: 50 * time.Millisecond, Directory: t.TempDir()}
	writeSegment(t, c, 1000)
	return c
}

func writeSegment(t *testing.T, c config.Config, id uint64) {
	t.Helper()
	path := filepath.Join(c.CommitLog.Directory, fmt.Sprintf("CommitLog-6-%d.log", id))
	if err := os.WriteFile(path, segment(id, "record"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func storedLog(t *testing.T, c config.Config) *commitlog.Log {
	t.Helper()
	b, err := bucketurl.Open(t.Context(), c.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	l, err := commitlog.Read(t.Context(), b, c.Cluster+"/"+c.Cassandra.HostID+"/")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestServiceStoresTheCommitLog(t *testing.T) {
	c := logged(t)
	ctx, stop := context.WithCancel(context.Background())
	done := run(ctx, t, c, io.Discard)
	now := time.Now()
	until(t, c, func(s status.Status) bool { return s.OK && s.LogUntil.After(now) })
	_, metrics := get(t, c, "/metrics")
	for _, name := range []string{"sstash_log_pieces_total 1", "sstash_log_gaps_total 1", "sstash_log_until_seconds 1.", "sstash_log_bytes_total 3"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("metrics lack %s", name)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l := storedLog(t, c)
	if err := l.Covers(l.Stretches[0].Since, now); err != nil {
		t.Errorf("what was said is not in the bucket: %v", err)
	}

	// The next service goes on where this one ended.
	ctx, stop = context.WithCancel(context.Background())
	done = run(ctx, t, c, io.Discard)
	writeSegment(t, c, 1001)
	now = time.Now()
	until(t, c, func(s status.Status) bool { return s.LogUntil.After(now) })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l := storedLog(t, c); len(l.Stretches) != 1 {
		t.Errorf("%d stretches", len(l.Stretches))
	}
}

func TestServiceSaysThatTheCommitLogIsMissing(t *testing.T) {
	c := logged(t)
	c.CommitLog.Directory = filepath.Join(t.TempDir(), "absent")
	var log bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	done := run(ctx, t, c, &log)
	st := until(t, c, func(s status.Status) bool { return len(s.Warnings) > 0 && !s.CoveredUntil.IsZero() })
	if st.OK || !strings.Contains(st.Warnings[0], "absent") {
		t.Errorf("%+v", st)
	}
	if code, body := get(t, c, "/healthz"); code != 200 {
		t.Errorf("backups go on, and yet healthz says %d %s", code, body)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "absent"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

func TestI4_ServiceStopsWhenAnotherStoresTheLog(t *testing.T) {
	c := logged(t)
	c.Links = config.LinksOff
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := run(ctx, t, c, io.Discard)
	until(t, c, func(s status.Status) bool { return s.OK && !s.LogUntil.IsZero() })
	other := c
	other.State, other.Listen = filepath.Join(t.TempDir(), "clone"), ""
	second := run(ctx, t, other, io.Discard)
	// The first has nothing to commit, and finds out when it has a piece to put.
	var err error
	for id := uint64(1001); err == nil && id < 1200; id++ {
		writeSegment(t, c, id)
		select {
		case err = <-done:
		case <-time.After(500 * time.Millisecond):
		}
	}
	if !errors.Is(err, history.ErrFenced) {
		t.Fatalf("the first service: %v, want ErrFenced", err)
	}
	stop()
	if err := <-second; err != nil {
		t.Error(err)
	}
}
