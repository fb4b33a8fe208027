package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bytes is a size. It is written as a number with a unit: 10MiB, 1.5GB, 0.
type Bytes int64

// TimeOfDay is minutes after midnight, UTC. It is written as HH:MM.
type TimeOfDay int

// String returns HH:MM.
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

const (
	day   = 24 * time.Hour
	month = 31 * day
	year  = 366 * day
)

// durationUnit returns what one of a unit is worth. In an age, m is a month:
// nobody keeps backups for minutes.
func durationUnit(unit string, age bool) (time.Duration, bool) {
	switch unit {
	case "ms":
		return time.Millisecond, !age
	case "s":
		return time.Second, !age
	case "m":
		if age {
			return month, true
		}
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return day, true
	case "w":
		return 7 * day, true
	case "y":
		return year, age
	}
	return 0, false
}

// parseDuration reads a sum of numbers with units: 7d, 1h30m, 0. In an age,
// the units are h, d, w, m (month) and y.
func parseDuration(s string, age bool) (time.Duration, error) {
	units, example := "ms, s, m, h, d or w", "90s"
	if age {
		units, example = "h, d, w, m (months) or y", "12w"
	}
	bad := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a duration such as %s (units %s)", s, example, units)
	}
	if s == "0" {
		return 0, nil
	}
	var total float64
	for rest := s; ; {
		n, unit, tail := numberAndUnit(rest)
		f, err := strconv.ParseFloat(n, 64)
		d, ok := durationUnit(unit, age)
		if err != nil || !ok {
			return bad()
		}
		if total += f * float64(d); total >= math.MaxInt64 {
			return 0, fmt.Errorf("%q is too long", s)
		}
		if tail == "" {
			return time.Duration(total), nil
		}
		rest = tail
	}
}

// parseBytes reads a size: 0, 1024, 10MiB, 1.5GB.
func parseBytes(s string) (Bytes, error) {
	n, unit, rest := numberAndUnit(s)
	f, err := strconv.ParseFloat(n, 64)
	if err != nil || rest != "" {
		return 0, fmt.Errorf("%q is not a size such as 10MiB", s)
	}
	scale, ok := 1.0, true
	switch unit {
	case "", "B":
	case "KiB":
		scale = 1 << 10
	case "MiB":
		scale = 1 << 20
	case "GiB":
		scale = 1 << 30
	case "TiB":
		scale = 1 << 40
	case "kB", "KB":
		scale = 1e3
	case "MB":
		scale = 1e6
	case "GB":
		scale = 1e9
	case "TB":
		scale = 1e12
	default:
		ok = false
	}
	if !ok {
		return 0, fmt.Errorf("%q is not a size: units are KiB, MiB, GiB, TiB, kB, MB, GB, TB", s)
	}
	if f *= scale; f >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return Bytes(f), nil
}

// numberAndUnit cuts digits and a point, then letters, from the front of s.
func numberAndUnit(s string) (number, unit, rest string) {
	i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if i < 0 {
		return s, "", ""
	}
	j := strings.IndexFunc(s[i:], func(r rune) bool { return !unicode.IsLetter(r) })
	if j < 0 {
		return s[:i], s[i:], ""
	}
	return s[:i], s[i : i+j], s[i+j:]
}

// parseTimeOfDay reads HH:MM.
func parseTimeOfDay(s string) (TimeOfDay, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, fmt.Errorf("%q is not a time of day such as \"02:00\"", s)
	}
	return TimeOfDay(t.Hour()*60 + t.Minute()), nil
}

// splitList splits at commas: for paths and names.
func splitList(s string) []string {
	var list []string
	for _, item := range strings.Split(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// splitWords splits an argv at spaces; 'single' and "double" quotes keep
// spaces and nothing is expanded.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case unicode.IsSpace(r):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q has an open %c", s, quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
