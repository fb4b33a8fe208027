package commitlog

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/bucket"
)

const (
	prefix     = "prod/1c380315/"
	lz4        = `{"compressionClass":"LZ4Compressor","compressionParameters":""}`
	encrypted  = `{"encCipher":"AES/CBC/PKCS5Padding","encIV":"AAAA","encKeyAlias":"k"}`
	segmentLen = 4 << 10
)

// made is a segment as Cassandra would write it.
type made struct {
	Name
	bytes   []byte
	grows   bool
	marker  int // where the next one goes
	allocat int // where the next write goes
	file    *os.File
}

func makeSegment(version int, id int64, parameters string) *made {
	m := &made{Name: Name{version, id}, grows: parameters != ""}
	b := binary.BigEndian.AppendUint32(nil, uint32(version))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	crc := checksum(0, uint32(version), uint32(id), uint32(id>>32))
	if version >= firstWithParameters {
		b = binary.BigEndian.AppendUint16(b, uint16(len(parameters)))
		b = append(b, parameters...)
		crc = update(checksum(crc, uint32(len(parameters))), parameters)
	}
	b = binary.BigEndian.AppendUint32(b, crc)
	m.marker = len(b)
	m.allocat = len(b) + markerSize
	if !m.grows {
		b = append(b, make([]byte, segmentLen-len(b))...)
	}
	m.bytes = b
	return m
}

func update(crc uint32, s string) uint32 {
	for i := range len(s) {
		crc = crc32Byte(crc, s[i])
	}
	return crc
}

// place keeps the segment in a file of dir from now on.
func (m *made) place(t testing.TB, dir string) *made {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, m.Name.String()), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m.file = f
	m.save(t)
	return m
}

func (m *made) save(t testing.TB) {
	t.Helper()
	if m.file == nil {
		return
	}
	if _, err := m.file.WriteAt(m.bytes, 0); err != nil {
		t.Fatal(err)
	}
}

// write adds a record that no marker covers yet. In a segment that grows, nothing is seen of it.
func (m *made) write(t testing.TB, record string) *made {
	t.Helper()
	end := m.allocat + len(record)
	if m.grows && len(m.bytes) < end {
		m.bytes = append(m.bytes, make([]byte, end-len(m.bytes))...)
	}
	copy(m.bytes[m.allocat:], record)
	m.allocat = end
	if !m.grows {
		m.save(t)
	}
	return m
}

// sync covers what was written by a marker.
func (m *made) sync(t testing.TB) *made {
	t.Helper()
	binary.BigEndian.PutUint32(m.bytes[m.marker:], uint32(m.allocat))
	binary.BigEndian.PutUint32(m.bytes[m.marker+4:], checksum(0, uint32(m.ID), uint32(m.ID>>32), uint32(m.marker)))
	m.marker = m.allocat
	m.allocat += markerSize
	m.save(t)
	return m
}

func (m *made) remove(t testing.TB) {
	t.Helper()
	if err := os.Remove(m.file.Name()); err != nil {
		t.Fatal(err)
	}
}

func at(seconds int) time.Time { return time.Date(2026, 11, 22, 14, 0, seconds, 0, time.UTC) }

func newWriter(t testing.TB, b bucket.Bucket, open uint64) *Writer {
	t.Helper()
	w, _, err := OpenWriter(t.Context(), b, prefix, Identity{"prod", "1c380315", open, "nonce"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustPut(t testing.TB, w *Writer, p Piece, raw []byte) Piece {
	t.Helper()
	stored, _, err := w.put(t.Context(), &pending{piece: p, raw: raw})
	if err != nil {
		t.Fatal(err)
	}
	return stored
}
