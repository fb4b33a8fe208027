package chunker_test

import (
	"fmt"
	"strings"

	"github.com/sstash/sstash/chunker"
)

func Example() {
	e, err := chunker.NewEncoder(chunker.Balanced)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := e.Encode([]byte(strings.Repeat("a row of a table, ", 1000)))
	if err != nil {
		fmt.Println(err)
		return
	}
	raw, err := chunker.NewDecoder().Decode(nil, f)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Codec, f.Raw, string(raw[:17]))
	// Output: zstd 18000 a row of a table,
}
