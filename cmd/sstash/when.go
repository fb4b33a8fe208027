package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseTime reads a moment as people write it. Without a zone it is UTC, as all times that sstash
// prints are; a time of day is the last one that is not in the future. "latest" and "" are the zero
// time.
func parseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" || s == "latest" {
		return time.Time{}, nil
	}
	if ago, ok := strings.CutSuffix(s, " ago"); ok {
		d, err := parseDuration(strings.TrimSpace(ago))
		return now.Add(-d).UTC(), err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			year, month, day := now.UTC().Date()
			t = time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
			return t, nil
		}
	}
	return time.Time{}, usagef(`%q is no time: write 2026-11-22T14:03:00Z, "2026-11-22 14:03", 14:03 (UTC), "10m ago" or latest`, s)
}

// parseDuration reads 90s, 10m, 1h30m, 2d or 3w.
func parseDuration(s string) (time.Duration, error) {
	days := map[string]float64{"d": 1, "w": 7}
	if n := len(s); n > 1 && days[s[n-1:]] > 0 {
		count, err := strconv.ParseFloat(s[:n-1], 64)
		if err == nil && count >= 0 && count < 1e5 {
			return time.Duration(count * days[s[n-1:]] * 24 * float64(time.Hour)), nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	return 0, usagef("%q is no duration such as 90s, 10m, 1h30m, 2d or 3w", s)
}

// stamp is how every output shows a time: RFC 3339 in UTC with microseconds, rounded down so that it
// never claims more; null, or a dash, where there is none.
type stamp time.Time

const stampLayout = "2006-01-02T15:04:05.000000Z"

// pointStamp rounds up the time of a point: rounded down, it would choose the point before.
func pointStamp(t time.Time) stamp { return stamp(t.Add(time.Microsecond - 1)) }

func (s stamp) String() string {
	if time.Time(s).IsZero() {
		return "-"
	}
	return time.Time(s).UTC().Format(stampLayout)
}

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if time.Time(s).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(s.String())
}

// ago adds to a time how long that was before now.
func (s stamp) ago(now time.Time) string {
	if time.Time(s).IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", s, roughly(now.Sub(time.Time(s))))
}

// roughly is a duration in the two units that matter.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + roughly(-d)
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
