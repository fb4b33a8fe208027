package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse: another sstash process on this machine uses the same directory.
var ErrInUse = errors.New("another sstash process uses this directory")

// Cache holds copies of manifests, so that a start need not fetch them. It may vanish or lie at any
// time (I5): what it returns is decoded with the same care as what a bucket returns, and a cache
// that fails to read or write is as good as none. The methods of a nil *Cache find nothing. Its file
// is locked while it is open.
type Cache struct {
	db     *bbolt.DB
	bucket string // URL: what was read from another bucket says nothing about this one
}

// cacheFile is the only file in it, by format version: another format is another file.
const cacheFile = "manifests-1.db"

// OpenCache opens the cache in dir of what is in the bucket of that URL, making what is missing. A
// file that bbolt can't read is replaced by an empty one. ErrInUse when another process holds it.
func OpenCache(dir, bucket string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	path := filepath.Join(dir, cacheFile)
	db, err := open(path)
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	if err != nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("replace unreadable %s: %w", path, err)
		}
		if db, err = open(path); err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return &Cache{db: db, bucket: bucket}, nil
}

func open(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bbolt.FreelistMapType})
}

// Close releases the lock.
func (c *Cache) Close() error { return c.db.Close() }

// history names what is kept of one node's history.
func (c *Cache) history(prefix string) []byte { return []byte(c.bucket + "\x00" + prefix) }

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func (c *Cache) get(prefix string, seq uint64) (object []byte) {
	if c == nil {
		return nil
	}
	_ = c.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(c.history(prefix)); b != nil {
			object = append(object, b.Get(key(seq))...)
		}
		return nil
	})
	return object
}

func (c *Cache) newest(prefix string) (seq uint64, object []byte) {
	if c == nil {
		return 0, nil
	}
	_ = c.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(c.history(prefix)); b != nil {
			if k, v := b.Cursor().Last(); len(k) == 8 {
				seq, object = binary.BigEndian.Uint64(k), append(object, v...)
			}
		}
		return nil
	})
	return seq, object
}

func (c *Cache) put(prefix string, seq uint64, object []byte) {
	if c == nil {
		return
	}
	_ = c.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(c.history(prefix))
		if err != nil {
			return err
		}
		return b.Put(key(seq), object)
	})
}

// forget drops what lies before base.
func (c *Cache) forget(prefix string, base uint64) {
	if c == nil {
		return
	}
	_ = c.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(c.history(prefix))
		if b == nil {
			return nil
		}
		cur := b.Cursor()
		for k, _ := cur.First(); k != nil && binary.BigEndian.Uint64(k) < base; k, _ = cur.First() {
			if err := cur.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cache) reset() error {
	return c.db.Update(func(tx *bbolt.Tx) error {
		var names [][]byte
		err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, append([]byte(nil), name...))
			return nil
		})
		for _, n := range names {
			err = errors.Join(err, tx.DeleteBucket(n))
		}
		return err
	})
}
