package cassandra

import (
	"fmt"
	"strings"
)

// tokenKind is all that is told apart of CQL: enough to find names and the ends
// of statements, and never to look into quotes.
type tokenKind int

const (
	wordToken   tokenKind = iota // letters, digits and '_': a keyword, a name, a part of a number
	quotedToken                  // "a name"
	stringToken                  // 'text' or $$text$$
	punctToken                   // one byte of anything else
)

// token is source[start:end].
type token struct {
	kind       tokenKind
	text       string
	start, end int
}

// is says whether the token is a keyword.
func (t token) is(keyword string) bool {
	return t.kind == wordToken && strings.EqualFold(t.text, keyword)
}

func (t token) isPunct(c string) bool { return t.kind == punctToken && t.text == c }

// name returns the identifier that the token denotes: unquoted ones are in
// lower case.
func (t token) name() (string, bool) {
	switch t.kind {
	case wordToken:
		return strings.ToLower(t.text), true
	case quotedToken:
		return strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`), len(t.text) > 2
	}
	return "", false
}

// lex cuts CQL into tokens, leaving out space and comments (-- and // to the
// end of the line, /* */). Cassandra Lexer.g.
func lex(cql string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(cql); {
		rest := cql[i:]
		kind, n := punctToken, 1
		switch c := cql[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "//"):
			if n = strings.IndexAny(rest, "\r\n"); n < 0 {
				n = len(rest)
			}
			i += n
			continue
		case strings.HasPrefix(rest, "/*"):
			if n = strings.Index(rest[2:], "*/"); n < 0 {
				return nil, fmt.Errorf("read CQL: comment at byte %d has no end", i)
			}
			i += n + 4
			continue
		case strings.HasPrefix(rest, "$$"):
			kind, n = stringToken, strings.Index(rest[2:], "$$")+4
			if n < 4 {
				return nil, fmt.Errorf("read CQL: $$ at byte %d has no end", i)
			}
		case c == '\'' || c == '"':
			if kind = stringToken; c == '"' {
				kind = quotedToken
			}
			if n = quotedLength(rest); n < 0 {
				return nil, fmt.Errorf("read CQL: %c at byte %d has no end", c, i)
			}
		case isWordByte(c):
			for kind = wordToken; n < len(rest) && isWordByte(rest[n]); n++ {
			}
		}
		tokens = append(tokens, token{kind, rest[:n], i, i + n})
		i += n
	}
	return tokens, nil
}

// quotedLength returns the length of what s starts with, quotes included; a
// doubled quote stands for itself. -1: no end.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			continue
		}
		if i+1 == len(s) || s[i+1] != s[0] {
			return i + 1
		}
		i++
	}
	return -1
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Split cuts a script into its statements, without the semicolons between them
// and without space and comments around them. Semicolons in quotes, $$ and
// comments don't count.
func Split(cql string) ([]string, error) {
	tokens, err := lex(cql)
	if err != nil {
		return nil, err
	}
	var statements []string
	start := -1
	for i, t := range tokens {
		switch {
		case !t.isPunct(";"):
			if start < 0 {
				start = t.start
			}
		case start >= 0:
			statements = append(statements, cql[start:tokens[i-1].end])
			start = -1
		}
	}
	if start >= 0 {
		statements = append(statements, cql[start:tokens[len(tokens)-1].end])
	}
	return statements, nil
}

// Quote makes an identifier of any name, as CQL writes it in quotes.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText makes a CQL string.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
