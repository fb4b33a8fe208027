package cassandra

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sstash/sstash/internal/cassandratest"
)

// A node that wants a password and, over TLS alone, a certificate.
func TestLoginAndTLS(t *testing.T) {
	dir := t.TempDir()
	n := cassandratest.New(t, cassandratest.Options{})
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	server := ca.issue(t, dir, "server", net.ParseIP(n.Address))
	client := ca.issue(t, dir, "client", nil)
	caFile := filepath.Join(dir, "ca.pem")
	writePEM(t, caFile, "CERTIFICATE", ca.cert.Raw)
	startWith(t, n, `
authenticator: {class_name: PasswordAuthenticator}
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: `+server+`
  truststore: `+caFile+"\n")

	right := Options{Address: n.CQL, Username: "cassandra", Password: "cassandra", TLS: TLS{CA: caFile, Cert: client, Key: client}}
	await(t, right)
	for _, tt := range []struct {
		name string
		with func(*Options)
		want string
	}{
		{"wrong password", func(o *Options) { o.Password = "hunter2" }, "password"},
		{"no password", func(o *Options) { o.Username = "" }, "authenticat"},
		{"no client certificate", func(o *Options) { o.TLS.Cert, o.TLS.Key = "", "" }, n.CQL},
		{"unknown authority", func(o *Options) { o.TLS.CA = "" }, "unknown authority"},
		{"no such file", func(o *Options) { o.TLS.Key = "/nope" }, "/nope"},
		{"no certificate in the file", func(o *Options) { o.TLS.CA = n.YAML }, "no certificate in"},
		{"another name than the certificate's", func(o *Options) { o.Address = "localhost:9042" }, "localhost:9042"},
	} {
		o := right
		tt.with(&o)
		conn, err := Dial(t.Context(), o)
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// await dials until the node has started and made its first user.
func await(t *testing.T, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		conn, err := Dial(ctx, o)
		if err == nil {
			defer conn.Close()
			if _, err := conn.Identity(ctx); err != nil {
				t.Error(err)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// startWith starts a stopped node with more settings: cassandratest itself
// waits for nodes without a password only.
func startWith(t *testing.T, n *cassandratest.Node, settings string) {
	t.Helper()
	yaml, err := os.ReadFile(n.YAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.YAML, append(yaml, settings...), 0o644); err != nil {
		t.Fatal(err)
	}
	argv := n.Cassandra()
	cmd := exec.Command(argv[0], argv[1:]...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	runtime.LockOSThread() // for Pdeathsig, until the test's goroutine ends
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes()[max(0, log.Len()-8<<10):])
		}
	})
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue writes a key and its certificate, valid for ip, to one file.
func (a authority) issue(t *testing.T, dir, name string, ip net.IP) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".pem")
	writePEM(t, path, "PRIVATE KEY", private, "CERTIFICATE", cert)
	return path
}

// writePEM writes blocks given as type, bytes, type, bytes, …
func writePEM(t *testing.T, path string, blocks ...any) {
	t.Helper()
	var b bytes.Buffer
	for i := 0; i < len(blocks); i += 2 {
		if err := pem.Encode(&b, &pem.Block{Type: blocks[i].(string), Bytes: blocks[i+1].([]byte)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
