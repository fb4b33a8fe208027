package sstable

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMissing(t *testing.T) {
	for _, c := range []struct{ format, have, toc, required, listed string }{
		{"big", "Data.db Statistics.db Index.db CompressionInfo.db", "", "", ""},
		{"big", "Data.db Statistics.db Index.db CRC.db", "", "", ""},
		{"bti", "Data.db Statistics.db Partitions.db Rows.db CompressionInfo.db", "", "", ""},
		{"lsm", "Data.db Statistics.db Partitions.db Rows.db CompressionInfo.db", "", "", ""},
		{"lsm", "Data.db Statistics.db Index.db CRC.db", "", "", ""},
		{"big", "", "", "Data.db Statistics.db Index.db CompressionInfo.db or CRC.db", ""},
		{"bti", "Data.db Index.db CRC.db", "", "Statistics.db Partitions.db Rows.db", ""},
		{"big", "Data.db Statistics.db Index.db CompressionInfo.db TOC.txt", "Data.db Filter.db TOC.txt Summary.db", "", "Filter.db Summary.db"},
		{"big", "Data.db Index.db TOC.txt", "Data.db Statistics.db CRC.db TOC.txt", "Statistics.db CRC.db", ""},
		{"big", "Data.db Statistics.db Index.db TOC.txt", "CompressionInfo.db Filter.db", "CompressionInfo.db", "Filter.db"},
		// Indexes: the file is there later, or never.
		{"big", "Data.db Statistics.db Index.db CRC.db TOC.txt", "SI_title.db SAI+aa+i+Meta.db", "", ""},
	} {
		required, listed := Missing(c.format, strings.Fields(c.have), strings.Fields(c.toc))
		got := strings.Join(required, " ") + "|" + strings.Join(listed, " ")
		if want := c.required + "|" + c.listed; got != want {
			t.Errorf("Missing(%s, %s, %s)\n got %s\nwant %s", c.format, c.have, c.toc, got, want)
		}
	}
}

func TestParseTOC(t *testing.T) {
	got := ParseTOC([]byte("Data.db\r\nTOC.txt\n\nData.db\nIndex.db"))
	if want := []string{"Data.db", "TOC.txt", "Index.db"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ParseTOC(nil); len(got) > 0 {
		t.Errorf("an empty file gives %q", got)
	}
}

func TestI8_MutableComponentsNeedTheirHash(t *testing.T) {
	for _, c := range []string{Statistics, Summary, Filter, TOC} {
		if !Mutable(c) {
			t.Errorf("%s changes under its name", c)
		}
	}
	for _, c := range []string{Data, Index, Partitions, Rows, CompressionInfo, CRC, "Digest.crc32"} {
		if Mutable(c) {
			t.Errorf("%s never changes", c)
		}
	}
}

func TestParseSnapshotManifest(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 5, 35, 989e6, time.UTC)
	for text, want := range map[string]SnapshotManifest{
		`{"files":["nb-1-big-Data.db",".snapshots\/nb-1-big-Data.db"]}`: {Files: []string{"nb-1-big-Data.db", ".snapshots/nb-1-big-Data.db"}},
		`{"files":[],"created_at":"2026-11-21T09:05:35.989Z","expires_at":null,"ephemeral":true,"table_id":{"new":[1]}}`: {Files: []string{},
			CreatedAt: at, Ephemeral: true},
		"{\n  \"expires_at\" : \"2026-11-21T09:05:35.989Z\", \"created_at\": 12, \"files\" : [\"shop-users.city-ka-1-Data.db\"]\n}": {
			Files: []string{"shop-users.city-ka-1-Data.db"}, ExpiresAt: at},
	} {
		got, err := ParseSnapshotManifest([]byte(text))
		if err != nil || !slices.Equal(got.Files, want.Files) || !got.CreatedAt.Equal(want.CreatedAt) ||
			!got.ExpiresAt.Equal(want.ExpiresAt) || got.Ephemeral != want.Ephemeral {
			t.Errorf("%s\n got %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		``, `{`, `{"files":["nb-1-big-Data.db"`, `{}`, `{"files":null}`, `{"files":"nb-1-big-Data.db"}`, `[]`, `{"files":[]}x`,
		`{"files":["../nb-1-big-Data.db"]}`, `{"files":["/nb-1-big-Data.db"]}`, `{"files":[".a/.b/nb-1-big-Data.db"]}`,
		`{"files":["nb-1-big-Index.db"]}`, `{"files":["a/nb-1-big-Data.db"]}`, `{"files":["./nb-1-big-Data.db"]}`, `{"files":[""]}`,
	} {
		if got, err := ParseSnapshotManifest([]byte(text)); err == nil {
			t.Errorf("%s accepted: %+v", text, got)
		}
	}
}

func FuzzParseTOC(f *testing.F) {
	f.Add([]byte("Data.db\nTOC.txt\nSI_title.db\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names := ParseTOC(b)
		if again := ParseTOC([]byte(strings.Join(names, "\n"))); !slices.Equal(names, again) {
			t.Fatalf("%q, and again %q", names, again)
		}
		if required, listed := Missing("big", names, names); len(listed) > 0 {
			t.Fatalf("all there, but missing %q, %q", required, listed)
		}
	})
}

func FuzzParseSnapshotManifest(f *testing.F) {
	f.Add([]byte(`{"files":["nb-1-big-Data.db",".snapshots\/nb-1-big-Data.db"],"created_at":"2026-11-21T09:05:35.989Z","expires_at":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseSnapshotManifest(b)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if strings.Contains(file, "..") && !strings.HasPrefix(file, ".") || strings.Count(file, "/") > 1 || strings.HasPrefix(file, "/") {
				t.Fatalf("%q leaves the snapshot", file)
			}
		}
	})
}
