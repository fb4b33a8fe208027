package columns

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
)

// A table in frames of 64 KiB, of which one is read alone.
func Example() {
	tab := metricsTable(rand.New(rand.NewPCG(1, 1)))
	data := tab.data(200 << 10)
	schema, err := ParseSchema("nb", tab.header())
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := NewEncoder(Balanced)
	if err != nil {
		fmt.Println(err)
		return
	}
	pieces := slices.Collect(slices.Chunk(data, 64<<10))
	var frames [][]byte
	state := State{}
	for _, piece := range pieces {
		var frame []byte
		if frame, state, err = e.Encode(nil, piece, schema, state); err != nil {
			fmt.Println(err) // from here on the file is stored in another way
			return
		}
		frames = append(frames, frame)
	}
	raw, err := NewDecoder().Decode(nil, frames[2], len(pieces[2]))
	fmt.Println(len(frames[2]) < len(raw)/5, bytes.Equal(raw, pieces[2]), err)
	// Output: true true <nil>
}
