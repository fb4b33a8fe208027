package pack

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sstash/sstash/chunker"
)

// cursor reads fields one after the other. The first one that isn't there, or
// isn't as the format says, sets err, and from then on all reads yield zero.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", chunker.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	c.rest = nil
}

// take returns the next n bytes, without copying them.
func (c *cursor) take(n uint32) []byte {
	if c.err != nil {
		return nil
	}
	if uint64(n) > uint64(len(c.rest)) {
		c.fail("%d bytes where %d are needed", len(c.rest), n)
		return nil
	}
	field := c.rest[:n:n]
	c.rest = c.rest[n:]
	return field
}

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint reads an integer below 2^32 in its shortest form: every value has one
// encoding.
func (c *cursor) uvarint() uint32 {
	v, n := binary.Uvarint(c.rest)
	switch {
	case c.err != nil:
		return 0
	case n <= 0 || v > math.MaxUint32:
		c.fail("no integer below 2^32")
		return 0
	case n > 1 && c.rest[n-1] == 0:
		c.fail("an integer in too many bytes")
		return 0
	}
	c.rest = c.rest[n:]
	return uint32(v)
}

// end fails if anything is left, and returns the first error.
func (c *cursor) end() error {
	if len(c.rest) > 0 {
		c.fail("%d bytes too many", len(c.rest))
	}
	return c.err
}
