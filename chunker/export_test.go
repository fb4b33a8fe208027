package chunker

import "github.com/sstash/sstash/chunker/columns"

// MaxChunks bounds the chunks of a frame.
const MaxChunks = maxChunks

// Chunks tells how many chunks a frame has, and how many of them were kept as they are.
func Chunks(f Frame) (all, kept int, err error) {
	c, _, _, err := parseChunks(f.Data, int(f.Raw))
	for _, o := range c.odd {
		if o.kind == oddKept {
			kept++
		}
	}
	return c.count, kept, err
}

// Opened is the transform of the piece that was opened last, if its frame becomes smaller by that.
func (e *Encoder) Opened() Transform { return e.piece.transform }

// Lie makes e compress everything as f makes it of what the compressor made.
func (e *Encoder) Lie(f func(honest []byte) []byte) {
	honest := e.compress
	e.compress = func(src, dst []byte) []byte { return f(honest(src, dst)) }
}

// Resplit puts other rows into the columns of the piece that was opened last.
func (e *Encoder) Resplit(rows []byte, schema *columns.Schema) error {
	_, err := e.columns.Split(rows, schema, columns.State{})
	return err
}

// HashOf is the hash of what f, a frame with any hash, decodes to.
func (d *Decoder) HashOf(f Frame) (Hash, error) {
	raw, err := d.decode(nil, f)
	return Sum(raw), err
}
