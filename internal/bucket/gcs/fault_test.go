package gcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/sstash/sstash/internal/bucket"
)

// each runs every operation once, and gives its error to check.
func each(ctx context.Context, b *Bucket, check func(op string, err error)) {
	_, err := b.Get(ctx, "name", 0, -1)
	check("get", err)
	_, err = b.Get(ctx, "name", 0, 0)
	check("get nothing", err)
	check("put", b.Put(ctx, "name", []byte("x")))
	check("delete", b.Delete(ctx, "name"))
	err = nil
	for _, listErr := range b.List(ctx, "", "") {
		err = listErr
	}
	check("list", err)
}

func wantContent(t *testing.T, b *Bucket, name, want string) {
	t.Helper()
	if got, err := b.Get(t.Context(), name, 0, -1); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
	}
}

func wantNothing(t *testing.T, b *Bucket) {
	t.Helper()
	for o, err := range b.List(t.Context(), "", "") {
		t.Errorf("left %v, %v", o, err)
	}
}

// failures are ways in which an answer is lost, or a request on its way.
func failures() map[string]error {
	return map[string]error{
		"503":   nil,
		"EOF":   io.EOF, // what a server's closing of a kept connection looks like
		"cut":   io.ErrUnexpectedEOF,
		"reset": &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET},
	}
}

// TestI4_LostAnswer: our own object is in the way of the second attempt.
func TestI4_LostAnswer(t *testing.T) {
	for how, lost := range failures() {
		b, w := faulty(t)
		w.reset(func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return lose(r, lost)
			}
			return pass(r)
		})
		if err := b.Put(t.Context(), "m/1", []byte("ours")); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		want := []string{"POST multipart if 0", "POST multipart if 0", "GET attrs"}
		if got := w.requests(); !slices.Equal(got, want) {
			t.Errorf("%s: sent %q, want %q", how, got, want)
		}
		wantContent(t, b, "m/1", "ours")
		// A call that has lost no answer does not take it for its own.
		if err := b.Put(t.Context(), "m/1", []byte("ours")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: put again: %v, want fs.ErrExist", how, err)
		}
	}
}

// TestI4_LostRequest: the second attempt finds another writer's object.
func TestI4_LostRequest(t *testing.T) {
	for how, lost := range failures() {
		for _, theirs := range []string{"them", "longer than ours"} { // of equal size, and not
			b, w := faulty(t)
			w.reset(func(n int, r *http.Request) (*http.Response, error) {
				if n > 1 {
					return pass(r)
				}
				if err := b.Put(context.Background(), "m/1", []byte(theirs)); err != nil { // request 2
					t.Error(err)
				}
				if lost == nil {
					return answer(r, http.StatusServiceUnavailable)
				}
				return nil, lost
			})
			if err := b.Put(t.Context(), "m/1", []byte("ours")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: %v, want fs.ErrExist", how, err)
			}
			wantContent(t, b, "m/1", theirs)
		}
	}
}

func TestRetry(t *testing.T) {
	b, w := faulty(t)
	if err := b.Put(t.Context(), "name", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	each(t.Context(), b, func(op string, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", op, err)
		}
		w.reset(func(n int, r *http.Request) (*http.Response, error) { // for the next one
			switch n {
			case 1:
				return answer(r, http.StatusTooManyRequests)
			case 2:
				return nil, io.EOF
			case 3:
				return answer(r, http.StatusBadGateway)
			}
			return pass(r)
		})
	})
}

func TestUnreachable(t *testing.T) {
	for how, f := range map[string]struct {
		hit      func(int, *http.Request) (*http.Response, error)
		attempts int
	}{
		"503":     {func(_ int, r *http.Request) (*http.Response, error) { return answer(r, http.StatusServiceUnavailable) }, defaultPace.attempts},
		"refused": {func(int, *http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, defaultPace.attempts},
		"no host": {func(int, *http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}, 1},
	} {
		b, w := faulty(t)
		w.reset(f.hit)
		each(t.Context(), b, func(op string, err error) {
			if !errors.Is(err, bucket.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), "gs://test") {
				t.Errorf("%s: %s: %v, want ErrUnreachable that names the bucket", how, op, err)
			}
			if got := len(w.requests()); got != f.attempts {
				t.Errorf("%s: %s was tried %d times, want %d", how, op, got, f.attempts)
			}
			w.reset(f.hit)
		})
	}
}

func TestNoBucket(t *testing.T) {
	open(t, nil) // for its emulator
	each(t.Context(), must(Open(t.Context(), "elsewhere", "", nil)), func(op string, err error) {
		if !errors.Is(err, bucket.ErrUnreachable) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want ErrUnreachable", op, err)
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "gs://elsewhere") || !strings.Contains(text, "create it") {
			t.Errorf("%s: %v, which does not name the bucket and the remedy", op, err)
		}
	})
}

func TestDenied(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		b, w := faulty(t)
		hit := func(_ int, r *http.Request) (*http.Response, error) { return answer(r, status) }
		w.reset(hit)
		each(t.Context(), b, func(op string, err error) {
			if !errors.Is(err, bucket.ErrDenied) {
				t.Errorf("%s after %d: %v, want ErrDenied", op, status, err)
			}
			if got := len(w.requests()); got != 1 {
				t.Errorf("%s was tried %d times, want once", op, got)
			}
			w.reset(hit)
		})
	}
}

// TestStalled: a connection that is silent is given up, and the next one tried.
func TestStalled(t *testing.T) {
	b, w := faulty(t)
	b.pace.patience = 200 * time.Millisecond
	stall := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	once := func(n int, r *http.Request) (*http.Response, error) {
		if n == 1 {
			return stall(r)
		}
		return pass(r)
	}
	w.reset(once)
	each(t.Context(), b, func(op string, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", op, err)
		}
		w.reset(once)
	})
	b.pace.attempts, b.pace.patience = 2, 20*time.Millisecond
	w.reset(func(_ int, r *http.Request) (*http.Response, error) { return stall(r) })
	each(t.Context(), b, func(op string, err error) {
		// It is not the caller's context that ended.
		if !errors.Is(err, bucket.ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want ErrUnreachable", op, err)
		}
	})
}

// TestPaced: every byte of content is asked of the limiter, again at each attempt; who waits for it stops
// with the context, and leaves nothing behind. Waiting is not stalling, however long it takes.
func TestPaced(t *testing.T) {
	b, w := faulty(t)
	b.pace.patience = 500 * time.Millisecond
	const size = 60 << 10
	b.Limit = rate.NewLimiter(40<<10, 4<<10)
	w.reset(func(n int, r *http.Request) (*http.Response, error) {
		if n == 1 {
			return answer(r, http.StatusServiceUnavailable)
		}
		return pass(r)
	})
	if err := b.Put(t.Context(), "paced", make([]byte, size)); err != nil || len(w.requests()) != 2 {
		t.Errorf("put: %v after %q", err, w.requests())
	}
	w.reset(nil)
	b.Limit = rate.NewLimiter(0, size+100) // nothing comes back
	if err := b.Put(t.Context(), "within", make([]byte, size)); err != nil || b.Limit.Tokens() != 100 {
		t.Errorf("put: %v, %f bytes are left of the limit", err, b.Limit.Tokens())
	}
	b.Limit = rate.NewLimiter(1, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
	if err := b.Put(ctx, "never", make([]byte, size)); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want that of the context", err)
	}
	if _, err := b.Get(t.Context(), "never", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get: %v, want fs.ErrNotExist", err)
	}
}

// TestRefusedEarly has a service that does not wait for the content to say no.
func TestRefusedEarly(t *testing.T) {
	b, w := faulty(t)
	w.reset(func(_ int, r *http.Request) (*http.Response, error) {
		_ = r.Body.Close()
		r.Body = nil
		return answer(r, http.StatusPreconditionFailed)
	})
	if err := b.Put(t.Context(), "name", make([]byte, 8<<20)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("put: %v, want fs.ErrExist", err)
	}
}

// cancelling is a body that cancels its request when half of it has been sent.
type cancelling struct {
	io.ReadCloser
	left   int
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.left -= n; c.left < 0 {
		c.cancel()
	}
	return n, err
}

func TestI1_PutCancelledMidway(t *testing.T) {
	b, w := faulty(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	data := bytes.Repeat([]byte("content "), 1<<20)
	w.reset(func(_ int, r *http.Request) (*http.Response, error) {
		r.Body = &cancelling{r.Body, len(data) / 2, cancel}
		return pass(r)
	})
	if err := b.Put(ctx, "name", data); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want context.Canceled", err)
	}
	if got := len(w.requests()); got != 1 {
		t.Errorf("sent %d requests, want 1", got)
	}
	w.reset(nil)
	wantNothing(t, b)
}

func TestCorruptUpload(t *testing.T) {
	b, w := faulty(t)
	w.reset(func(_ int, r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("precious"), []byte("pRecious"), 1)))
		return pass(r)
	})
	err := b.Put(t.Context(), "name", []byte("precious"))
	if err == nil || errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "CRC32C") {
		t.Errorf("put: %v, want the service to refuse the checksum", err)
	}
	w.reset(nil)
	wantNothing(t, b)
}

// bend passes a request on and changes the body of the answer.
func bend(r *http.Request, change func([]byte) io.Reader) (*http.Response, error) {
	res, err := pass(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	res.Body = io.NopCloser(change(body))
	return res, err
}

func TestCutDownload(t *testing.T) {
	b, w := faulty(t)
	data := strings.Repeat("0123456789", 100000)
	if err := b.Put(t.Context(), "name", []byte(data)); err != nil {
		t.Fatal(err)
	}
	broken := io.MultiReader // what has come, and then an error
	for cut := range 3 {     // so many connections break before one holds
		w.reset(func(n int, r *http.Request) (*http.Response, error) {
			if n > cut {
				return pass(r)
			}
			return bend(r, func(body []byte) io.Reader {
				return broken(bytes.NewReader(body[:len(body)/2]), failing{})
			})
		})
		for _, off := range []int64{0, 7} {
			got, err := b.Get(t.Context(), "name", off, -1)
			if err != nil || string(got) != data[off:] {
				t.Errorf("get from %d, cut %d times: %d bytes, %v", off, cut, len(got), err)
			}
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestShortDownload has a proxy that passes a short answer off as a whole one.
func TestShortDownload(t *testing.T) {
	b, w := faulty(t)
	if err := b.Put(t.Context(), "name", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	w.reset(func(_ int, r *http.Request) (*http.Response, error) {
		res, err := bend(r, func(body []byte) io.Reader { return bytes.NewReader(body[:len(body)-1]) })
		if err == nil {
			res.ContentLength--
		}
		return res, err
	})
	for _, at := range [][2]int64{{0, -1}, {0, 10}, {3, -1}, {3, 4}, {9, 1}} {
		if got, err := b.Get(t.Context(), "name", at[0], at[1]); err == nil {
			t.Errorf("get %d+%d = %q, want an error", at[0], at[1], got)
		}
	}
}

// TestDamagedDownload: only reads of whole objects are checked, see the package comment.
func TestDamagedDownload(t *testing.T) {
	b, w := faulty(t)
	if err := b.Put(t.Context(), "name", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	w.reset(func(_ int, r *http.Request) (*http.Response, error) {
		return bend(r, func(body []byte) io.Reader {
			body[0] ^= 1
			return bytes.NewReader(body)
		})
	})
	if got, err := b.Get(t.Context(), "name", 0, -1); err == nil {
		t.Errorf("get = %q, want an error", got)
	}
}

// TestListPages lets the second page of a listing fail, for a while and for good.
func TestListPages(t *testing.T) {
	b, w := faulty(t)
	b.pageSize = 2
	want := []string{"0", "1", "2", "3", "4"}
	for _, name := range want {
		if err := b.Put(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	listed := func() (got []string, last error) {
		for o, err := range b.List(t.Context(), "", "") {
			if err != nil {
				return got, err
			}
			got = append(got, o.Name)
		}
		return got, nil
	}
	w.reset(func(n int, r *http.Request) (*http.Response, error) {
		if n == 2 || n == 3 {
			return nil, io.EOF
		}
		return pass(r)
	})
	if got, err := listed(); err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
	w.reset(func(n int, r *http.Request) (*http.Response, error) {
		if n == 2 {
			return answer(r, http.StatusBadRequest)
		}
		return pass(r)
	})
	if got, err := listed(); err == nil || !slices.Equal(got, want[:2]) {
		t.Errorf("listed %q, %v; want %q and an error", got, err, want[:2])
	}
}
