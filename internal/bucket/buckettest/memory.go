package buckettest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

// Memory is a bucket in memory. The zero value is empty and ready.
type Memory struct {
	// Now is the store's clock; nil means time.Now. Set it before use.
	Now func() time.Time

	mu      sync.Mutex
	objects map[string]stored
}

type stored struct {
	data    []byte
	created time.Time
}

// Put implements bucket.Bucket.
func (m *Memory) Put(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[name]; taken {
		return fmt.Errorf("put %s: %w", name, fs.ErrExist)
	}
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	if m.objects == nil {
		m.objects = make(map[string]stored)
	}
	m.objects[name] = stored{bytes.Clone(data), now()}
	return nil
}

// Get implements bucket.Bucket.
func (m *Memory) Get(ctx context.Context, name string, off, n int64) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	if off < 0 {
		return nil, fmt.Errorf("get %s: offset %d: %w", name, off, fs.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, found := m.objects[name]
	if !found {
		return nil, fmt.Errorf("get %s: %w", name, fs.ErrNotExist)
	}
	rest := int64(len(o.data)) - off
	if n < 0 {
		n = rest
	}
	if n < 0 || n > rest {
		return nil, fmt.Errorf("get %s: %w", name, io.ErrUnexpectedEOF)
	}
	return append([]byte{}, o.data[off:off+n]...), nil
}

// List implements bucket.Bucket.
func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		err := bucket.CheckList(prefix, after)
		for _, name := range m.names(prefix, after) {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				break
			}
			m.mu.Lock()
			o, found := m.objects[name]
			m.mu.Unlock()
			if found && !yield(bucket.Object{Name: name, Size: int64(len(o.data)), Created: o.created}, nil) {
				return
			}
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			yield(bucket.Object{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// names returns the names that begin with prefix and are greater than after.
func (m *Memory) names(prefix, after string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Delete implements bucket.Bucket.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// Clone returns a bucket of its own that holds what m holds now: the state from
// which a crash loop starts each of its runs.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{Now: m.Now, objects: maps.Clone(m.objects)}
}

func check(ctx context.Context, name string) error {
	if err := bucket.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}
