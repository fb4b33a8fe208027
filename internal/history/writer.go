package history

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sstash/sstash/manifest"
)

// Writer is the one that may commit to a node's history, for as long as nobody else opens it. Not
// safe for concurrent use.
type Writer struct {
	reader Reader
	id     Identity
	now    func() time.Time
	nonce  string // of our open
	opened uint64 // its number
	state  *manifest.State
	// doubt is a commit whose outcome is unknown: the store may hold it. Nothing else can be
	// committed before it is settled.
	doubt    *attempt
	ahead    time.Duration
	unrolled error
}

// Identity is what every entry says of its node.
type Identity struct{ Cluster, HostID string }

type attempt struct {
	m      *manifest.Manifest
	object []byte
}

// WriterOptions are what else a writer needs.
type WriterOptions struct {
	Now func() time.Time
	// StartOver: when the history is damaged, begin a new one behind its last entry. It refers to
	// nothing before, so everything is stored again, beginning with a full.
	StartOver bool
}

// OpenWriter reads the node's history and writes an open entry at its end. From then on, a writer
// that opened earlier finds its next number taken. open is what the entry says. Where another one
// commits while we read, we read what it wrote and try again: who opens last goes on.
func OpenWriter(ctx context.Context, r Reader, id Identity, open manifest.Body, o WriterOptions) (*Writer, error) {
	w, err := read(ctx, r, id, o)
	if err != nil {
		return nil, err
	}
	const tries = 100
	for n := 1; ; n++ {
		err := w.open(ctx, open)
		if err == nil {
			return w, nil
		}
		if n < tries && errors.Is(err, ErrFenced) {
			err = w.catchUp(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("open the history: %w", err)
		}
	}
}

// open writes the entry that makes w the writer.
func (w *Writer) open(ctx context.Context, open manifest.Body) error {
	open.AsOf = w.now().UTC()
	w.ahead = 0
	if prev := w.state.Newest(); prev != nil {
		w.ahead = max(0, prev.Time.Sub(open.AsOf))
	}
	m, err := w.commit(ctx, &manifest.Manifest{Header: manifest.Header{Kind: manifest.Open, Nonce: w.nonce}, Body: open})
	if err == nil {
		w.opened = m.Seq
	}
	return err
}

// Opened is the entry with which the writer opened the history: its number and nonce tell whose an
// object is, and which of two writers opened later.
func (w *Writer) Opened() (seq uint64, nonce string) { return w.opened, w.nonce }

// catchUp reads what another writer has committed since.
func (w *Writer) catchUp(ctx context.Context) error {
	w.doubt = nil // it took place nowhere: another entry has its number
	next := w.state.Seq() + 1
	if w.state.Newest() == nil && next > 1 { // we start over behind whatever there is
		w.state = manifest.NewStateAfter(next)
		return nil
	}
	m, err := w.reader.Manifest(ctx, next)
	if err != nil {
		return err
	}
	if err := w.state.Apply(m); err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	return nil
}

// read makes a writer that knows the history, and is not in it yet.
func read(ctx context.Context, r Reader, id Identity, o WriterOptions) (*Writer, error) {
	w := &Writer{reader: r, id: id, now: o.Now, nonce: newNonce(), state: manifest.NewState()}
	known, err := r.verifyCache(ctx, o.StartOver)
	if err != nil {
		return nil, err
	}
	seq, err := r.Newest(ctx, known)
	if err != nil {
		return nil, err
	}
	if seq > 0 {
		w.state, err = r.State(ctx, seq)
		if err == nil && known > 0 {
			err = w.Check(ctx)
		}
		if errors.Is(err, ErrDamaged) && o.StartOver {
			if seq > last-room {
				return nil, fmt.Errorf("%s leaves no room to start over behind it; no sstash wrote it, remove it by hand: %w",
					Name(r.Prefix, seq), err)
			}
			w.state, err = manifest.NewStateAfter(seq), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// verifyCache returns the newest number that the cache holds, after comparing that entry with the
// bucket's; the copies of those before it are tied to it by their hashes. A bucket that has lost what
// we know it to hold is not one to begin anew in: a disk that is not mounted looks like that.
func (r *Reader) verifyCache(ctx context.Context, startOver bool) (uint64, error) {
	seq, cached := r.Cache.newest(r.Prefix)
	if seq == 0 {
		return 0, nil
	}
	name := Name(r.Prefix, seq)
	b, err := r.Bucket.Get(ctx, name, 0, -1)
	switch {
	case err == nil && bytes.Equal(b, cached):
		return seq, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("read %s: %w", name, err)
	case startOver:
		return 0, r.Cache.reset()
	case err == nil:
		if _, err := decode(name, seq, b); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%s does not follow what this machine knows of it: %w", name, ErrDamaged)
	}
	return 0, fmt.Errorf("%s, which this machine knows to exist, is not in the bucket (is its disk mounted?): %w", name, ErrDamaged)
}

// Check asks the bucket, by one listing, whether it still has every entry that is needed to know and
// restore the newest state. A writer reads what it wrote from memory and cache, and would go on for
// long behind a hole that no restore can cross (I5). ErrDamaged: one is missing, or not as long as our
// copy.
func (w *Writer) Check(ctx context.Context) error {
	next := w.state.Base()
	for e, err := range w.reader.Entries(ctx, next) {
		if err != nil {
			return err
		}
		if e.Seq != next || e.Seq > w.state.Seq() {
			break
		}
		if had := w.reader.Cache.size(w.reader.Prefix, e.Seq); had > 0 && had != e.Size {
			return fmt.Errorf("%s has %d bytes, and had %d: %w", Name(w.reader.Prefix, e.Seq), e.Size, had, ErrDamaged)
		}
		next++
	}
	if next <= w.state.Seq() {
		return missing(Name(w.reader.Prefix, next))
	}
	return nil
}

// State is what the history says as of our last commit. The caller must not keep it across Commit.
func (w *Writer) State() *manifest.State { return w.state }

// Ahead is how far in the future the newest entry was when the writer opened: the clock was set back
// since. Nothing breaks, for the order of a history is that of its numbers.
func (w *Writer) Ahead() time.Duration { return w.ahead }

// Commit writes m as the next entry. The caller sets Kind, Keeps and Body; everything that they
// reference must be durable (I2). When it returns nil the entry is durable. After any other error
// than ErrFenced the entry may yet turn out to be durable; the next Commit settles that first, and
// State will then hold it.
func (w *Writer) Commit(ctx context.Context, kind manifest.Kind, keeps []manifest.Keep, body manifest.Body) (*manifest.Manifest, error) {
	return w.commit(ctx, &manifest.Manifest{Header: manifest.Header{Kind: kind, Nonce: newNonce(), Keeps: keeps}, Body: body})
}

// Settle finds out whether a commit in doubt took place, by writing it once more. It does nothing
// when none is in doubt.
func (w *Writer) Settle(ctx context.Context) error {
	if w.doubt == nil {
		return nil
	}
	_, err := w.put(ctx, w.doubt)
	return err
}

func (w *Writer) commit(ctx context.Context, m *manifest.Manifest) (*manifest.Manifest, error) {
	if err := w.Settle(ctx); err != nil {
		return nil, err
	}
	if err := w.roll(ctx); err != nil {
		return nil, err
	}
	return w.write(ctx, m)
}

// write makes m the next entry.
func (w *Writer) write(ctx context.Context, m *manifest.Manifest) (*manifest.Manifest, error) {
	if m.Seq = w.state.Seq() + 1; m.Seq > last {
		return nil, fmt.Errorf("%s leaves no number for what comes after it: %w", Name(w.reader.Prefix, last), ErrDamaged)
	}
	m.Time = w.now().UTC()
	m.Cluster, m.HostID, m.Writer = w.id.Cluster, w.id.HostID, w.nonce
	m.Base = w.state.Base()
	if rolls := w.state.Rolls(); len(rolls) > 0 && rolls[len(rolls)-1].To >= m.Base {
		m.Roll = rolls[len(rolls)-1].Seq
	}
	if f := m.Body.Full; f != nil && f.All && f.Last {
		m.Base = max(m.Base, f.After+1)
	}
	if prev := w.state.Newest(); prev != nil {
		m.Previous = prev.Sum
	}
	object, err := manifest.Encode(m)
	if err != nil {
		return nil, err
	}
	return w.put(ctx, &attempt{m, object})
}

func (w *Writer) put(ctx context.Context, a *attempt) (*manifest.Manifest, error) {
	name := Name(w.reader.Prefix, a.m.Seq)
	w.doubt = a
	err := w.reader.Bucket.Put(ctx, name, a.object)
	if errors.Is(err, fs.ErrExist) {
		err = w.compare(ctx, name, a)
	}
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", name, err)
	}
	w.doubt = nil
	if err := w.state.Apply(a.m); err != nil {
		return nil, fmt.Errorf("commit %s: %w", name, err)
	}
	w.reader.Cache.put(w.reader.Prefix, a.m.Seq, a.object)
	w.forget(ctx, a.m)
	return a.m, nil
}

// forget drops from memory and cache what a whole full has made needless. A state that can't be read
// again just now stays as it is: larger, not wrong.
func (w *Writer) forget(ctx context.Context, m *manifest.Manifest) {
	if f := m.Body.Full; f == nil || !f.All || !f.Last {
		return
	}
	w.reader.Cache.forget(w.reader.Prefix, m.Base)
	if s, err := w.reader.State(ctx, m.Seq); err == nil {
		w.state = s
	}
}

// compare reads what took our number (I4).
func (w *Writer) compare(ctx context.Context, name string, a *attempt) error {
	won, err := w.reader.fetch(ctx, name, a.m.Seq)
	switch {
	case err != nil:
		return fmt.Errorf("read what took its number: %w", err)
	case won.Sum == a.m.Sum:
		return nil
	case won.Body.Writer != nil:
		return fmt.Errorf("process %d on host %s opened it at %s: %w",
			won.Body.Writer.PID, won.Body.Writer.Host, won.Time.Format(time.RFC3339), ErrFenced)
	default:
		return fmt.Errorf("its writer %s is at %s: %w", won.Writer, name, ErrFenced)
	}
}

func newNonce() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
