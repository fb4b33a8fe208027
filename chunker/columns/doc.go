// Package columns
package columns

import "errors"

var (
	// ErrUnknown means that a version or type is none of those this package knows.
	ErrUnknown = errors.New("unknown")

	// ErrGrammar means that bytes don't follow the grammar of their schema.
	ErrGrammar = errors.New("not the rows of this schema")

	// ErrCorrupt means that stored bytes are not what Encode once wrote.
	ErrCorrupt = errors.New("corrupt")
)
