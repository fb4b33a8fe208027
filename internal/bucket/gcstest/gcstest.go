// Package gcstest serves an emulated Cloud Storage, in memory, over plain HTTP
// on the loopback interface. It is for tests and demonstrations, in one process
// or between several: what uses the Cloud Storage SDK goes there when
// STORAGE_EMULATOR_HOST names it.
//
// The emulator is fake-gcs-server, which is faithful in what internal/bucket/gcs
// needs: create-if-absent, checksums of single-request uploads, ranges, ordered
// and paged listings. It is wrong about conditions on reads and deletes,
// resumable uploads and metagenerations, which that driver does not use, and
// slow with more than a few thousand objects.
package gcstest

import (
	"fmt"
	"net"
	"net/http"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// Server is a running emulator.
type Server struct {
	URL string // http://127.0.0.1:PORT, for STORAGE_EMULATOR_HOST

	http *http.Server
}

// Start serves an emulator that has the named buckets, empty, on a free port
// until Close.
func Start(buckets ...string) (*Server, error) {
	handler, err := Handler(buckets...)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start Cloud Storage emulator: %w", err)
	}
	s := &Server{URL: "http://" + l.Addr().String(), http: &http.Server{Handler: handler}}
	go s.http.Serve(l) // ends with Close
	return s, nil
}

// Close stops the server, and with it all it holds is gone.
func (s *Server) Close() error { return s.http.Close() }

// Handler returns an emulator that has the named buckets, empty, for those who
// serve it themselves, perhaps with faults of their own around it.
func Handler(buckets ...string) (http.Handler, error) {
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	if err != nil {
		return nil, fmt.Errorf("start Cloud Storage emulator: %w", err)
	}
	for _, name := range buckets {
		fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
	}
	return fake.HTTPHandler(), nil
}
