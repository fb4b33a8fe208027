package sstable

import (
	"testing"
	"time"
)

func TestParseName(t *testing.T) {
	for file, want := range map[string]Name{
		"nb-12-big-Data.db": {Stem: "nb-12-big", Version: "nb", ID: "12", Format: "big", Component: "Data.db"},
		"da-3gqk_0tmd_2qhuo2l5dklx8l3kd3-bti-Partitions.db": {Stem: "da-3gqk_0tmd_2qhuo2l5dklx8l3kd3-bti", Version: "da",
			ID: "3gqk_0tmd_2qhuo2l5dklx8l3kd3", Format: "bti", Component: "Partitions.db"},
		"nb-1-big-SAI+aa+idx+TermsData.db": {Stem: "nb-1-big", Version: "nb", ID: "1", Format: "big", Component: "SAI+aa+idx+TermsData.db"},
		"me-1-big-SI_sasi_title.db":        {Stem: "me-1-big", Version: "me", ID: "1", Format: "big", Component: "SI_sasi_title.db"},
		"zz-1-lsm-Whatever.xyz":            {Stem: "zz-1-lsm", Version: "zz", ID: "1", Format: "lsm", Component: "Whatever.xyz"},
		"tmp-lb-5-big-Index.db":            {Stem: "tmp-lb-5-big", Version: "lb", ID: "5", Format: "big", Component: "Index.db", Temporary: true},
		"nb-5-big-Statistics.db.tmp":       {Stem: "nb-5-big", Version: "nb", ID: "5", Format: "big", Component: "Statistics.db.tmp", Temporary: true},
		"tmplink-la-5-big-Data.db":         {Stem: "tmplink-la-5-big", Version: "la", ID: "5", Format: "big", Component: "Data.db", Temporary: true},
		"Shop-Orders-ka-7-Digest.sha1": {Stem: "Shop-Orders-ka-7", Version: "ka", ID: "7", Format: "big", Component: "Digest.sha1",
			Keyspace: "Shop", Table: "Orders"},
		"shop-users.users_city-ka-7-Data.db": {Stem: "shop-users.users_city-ka-7", Version: "ka", ID: "7", Format: "big", Component: "Data.db",
			Keyspace: "shop", Table: "users", Index: "users_city"},
		"ks-t-tmp-jb-7-Data.db": {Stem: "ks-t-tmp-jb-7", Version: "jb", ID: "7", Format: "big", Component: "Data.db",
			Keyspace: "ks", Table: "t", Temporary: true},
		"tmp-la-ka-7-Data.db": {Stem: "tmp-la-ka-7", Version: "ka", ID: "7", Format: "big", Component: "Data.db", Keyspace: "tmp", Table: "la"},
	} {
		got, ok := ParseName(file)
		if !ok || got != want {
			t.Errorf("ParseName(%q)\n got %+v, %v\nwant %+v", file, got, ok, want)
		}
	}
	for _, file := range []string{
		"", "-", "---", "manifest.json", "schema.cql", "nb-12-big-", "nb-12-big", "nb--big-Data.db", "nb-12--Data.db", "NB-12-big-Data.db",
		"nb-12345678901-big-Data.db", "nb-1x-big-Data.db", "nbx-1-big-Data.db", "nb-1-big-x-Data.db", "x-tmp-nb-1-big-Data.db",
		"ks-t.-ka-7-Data.db", "ks-t-ma-7-Data.db", "ks-t-gone-ka-7-Data.db", "nb_txn_flush_690874a0-e58c-11f1-b57d-93bb01424f25.log",
		"da-3gqk_0tmd_2qhuo2l5dklx8l3kd_-bti-Data.db", "nb-1-big-Statistics.db/", "nb-1-big-../Data.db", "nb-1-big-Data.db\x00", "a-b-c-d-e-f-g",
	} {
		if n, ok := ParseName(file); ok {
			t.Errorf("ParseName(%q) accepts %+v", file, n)
		}
	}
}

func TestParseTableDir(t *testing.T) {
	const id = "6beb05b0e58d11f1a7ef0d05e55e29f6"
	for dir, want := range map[string]Table{
		"kv-" + id:        {"shop", "kv", id},
		"snapshots-" + id: {"shop", "snapshots", id},
		"Orders":          {"shop", "Orders", ""},
	} {
		got, ok := ParseTableDir("shop", dir)
		if !ok || got != want || got.Dir() != dir {
			t.Errorf("ParseTableDir(%q) = %+v, %v", dir, got, ok)
		}
	}
	for _, dir := range []string{"", ".", "..", "-" + id, "kv-", "kv-" + id[1:], "kv-" + id + "0", "kv-X" + id[1:], "a b", "kv-" + id + "-x", "../kv"} {
		if got, ok := ParseTableDir("shop", dir); ok {
			t.Errorf("ParseTableDir(%q) accepts %+v", dir, got)
		}
	}
	if got, ok := ParseTableDir("system", "_paxos_repair_state"); ok {
		t.Errorf("paxos state taken for table %+v", got)
	}
	if _, ok := ParseTableDir("lost+found", "kv"); ok {
		t.Error("lost+found taken for a keyspace")
	}
}

func TestIDTime(t *testing.T) {
	got, ok := IDTime("3hb8_0tod_2qhuo2l5dklx8l3kd3")
	want := time.Date(1582, 10, 15, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 3*36*36*36+17*36*36+11*36+8).
		Add((29*36*36 + 24*36 + 13) * time.Second).Add(100 * (2*36*36*36*36 + 26*36*36*36 + 17*36*36 + 30*36 + 24))
	if !ok || !got.Equal(want) {
		t.Errorf("IDTime = %s, %v, want %s", got, ok, want)
	}
	for _, id := range []string{"", "12", "3hb8_zzzz_2qhuo2l5dklx8l3kd3", "3hb8_0tod_zzzzz2l5dklx8l3kd3", "3hb8-0tod-2qhuo2l5dklx8l3kd3"} {
		if at, ok := IDTime(id); ok {
			t.Errorf("IDTime(%q) = %s", id, at)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("nb-12-big-Data.db")
	f.Add("tmp-lb-5-big-Index.db")
	f.Add("shop-users.users_city-tmplink-ka-7-Data.db")
	f.Add("da-3gqk_0tmd_2qhuo2l5dklx8l3kd3-bti-SAI+aa+GroupComplete.db")
	f.Fuzz(func(t *testing.T, file string) {
		n, ok := ParseName(file)
		if !ok {
			if n != (Name{}) {
				t.Fatalf("refused, but %+v", n)
			}
			return
		}
		if n.Stem+"-"+n.Component != file {
			t.Fatalf("%q is not %q - %q", file, n.Stem, n.Component)
		}
		if again, ok := ParseName(n.Stem + "-" + Data); !ok || again.ID != n.ID || again.Version != n.Version {
			t.Fatalf("%q: the stem alone gives %+v, %v", file, again, ok)
		}
		IDTime(n.ID)
	})
}
