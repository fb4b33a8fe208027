package config

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Prefix returns where a node's objects live below the bucket's own prefix:
// "<cluster>/<host-id>/", with the cluster's name escaped so that any name is
// one path element, and the host id in lower case.
func Prefix(cluster, hostID string) (string, error) {
	if cluster == "" {
		return "", fmt.Errorf("name prefix: the cluster has no name")
	}
	id, err := uuid.Parse(hostID)
	if err != nil {
		return "", fmt.Errorf("name prefix: host id %q: %w", hostID, err)
	}
	return EscapeName(cluster) + "/" + id.String() + "/", nil
}

// EscapeName makes name one path element: letters, digits, '_', '-' and '.'
// stay, every other byte becomes %XX, and so does the '.' of names made of
// dots alone. url.PathUnescape undoes it.
func EscapeName(name string) string {
	dots := strings.Trim(name, ".") == ""
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && !dots:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
