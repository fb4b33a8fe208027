package columns

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Level is how hard an [Encoder] tries. The zero value is Balanced. A decoder needs
// no level.
type Level uint8

// The levels. They differ in how texts are compressed; numbers are transformed so
// that no level does much better than the fastest.
const (
	Balanced Level = iota
	Fast
	Dense
)

// zstd returns the compressor's levels for numbers, which have been transformed, and
// for texts.
func (l Level) zstd() (numbers, text zstd.EncoderLevel, err error) {
	switch l {
	case Balanced:
		return zstd.SpeedFastest, zstd.SpeedDefault, nil
	case Fast:
		return zstd.SpeedFastest, zstd.SpeedFastest, nil
	case Dense:
		return zstd.SpeedFastest, zstd.SpeedBetterCompression, nil
	}
	return 0, 0, fmt.Errorf("unknown level %d", uint8(l))
}
