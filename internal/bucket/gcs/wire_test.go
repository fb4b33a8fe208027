package gcs

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// wire is a transport on which a test lets requests go wrong.
type wire struct {
	// hit answers request n, counted from 1 since the last reset, or passes it on.
	// nil passes everything on.
	hit func(n int, r *http.Request) (*http.Response, error)

	mu   sync.Mutex
	seen []string // "METHOD kind" of each request since the last reset
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	kind := "attrs"
	switch q := r.URL.Query(); {
	case q.Has("uploadType"):
		kind = q.Get("uploadType") + " if " + q.Get("ifGenerationMatch")
	case q.Get("alt") == "media":
		kind = "media"
	case strings.HasSuffix(r.URL.Path, "/o"):
		kind = "list"
	}
	w.mu.Lock()
	w.seen = append(w.seen, r.Method+" "+kind)
	n, hit := len(w.seen), w.hit
	w.mu.Unlock()
	if hit == nil {
		return pass(r)
	}
	return hit(n, r)
}

// reset begins a new count, with another fault.
func (w *wire) reset(hit func(int, *http.Request) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hit, w.seen = hit, nil
}

func (w *wire) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

func pass(r *http.Request) (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) }

// answer is what the service itself says, without the request having an effect.
func answer(r *http.Request, status int) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	body := fmt.Sprintf(`{"error":{"code":%d,"message":"injected"}}`, status)
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}, nil
}

// lose lets a request have its effect and loses the answer.
func lose(r *http.Request, err error) (*http.Response, error) {
	if res, passErr := pass(r); passErr == nil {
		_ = res.Body.Close()
	}
	if err == nil {
		return answer(&http.Request{}, http.StatusServiceUnavailable)
	}
	return nil, err
}

func faulty(t *testing.T) (*Bucket, *wire) {
	t.Helper()
	w := new(wire)
	return open(t, &http.Client{Transport: w}), w
}
