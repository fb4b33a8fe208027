package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	connectTimeout = 10 * time.Second
	// requestTimeout is generous: CREATE TABLE on a busy ring takes seconds. The
	// context of a call may be shorter.
	requestTimeout = time.Minute
)

// Options say how to reach a node's CQL port.
type Options struct {
	Address  string // host:port
	Username string // empty: no authentication
	Password string
	TLS      TLS
	From     netip.Addr // of this machine, to connect from; zero: the system chooses
}

// TLS names PEM files; any of them turns TLS on. The node's certificate must be
// valid for the host in the address.
type TLS struct {
	CA   string // empty: the system's
	Cert string
	Key  string
}

// Conn is a CQL connection to one node and never to another one of its ring. It
// comes back by itself, within seconds, when the node was restarted. It is safe
// for concurrent use.
type Conn struct {
	address string
	session *gocql.Session
}

// Dial connects and logs in, within a minute. If ctx ends first, what was begun
// is cleaned up behind the caller's back.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	dialer := &nodeDialer{address: o.Address}
	if o.From.IsValid() {
		dialer.net.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.From, 0))
	}
	var err error
	if dialer.tls, err = o.TLS.config(o.Address); err != nil {
		return nil, fmt.Errorf("connect to cassandra at %s: %w", o.Address, err)
	}
	cluster, err := clusterConfig(ctx, o, dialer)
	if err != nil {
		return nil, fmt.Errorf("connect to cassandra at %s: %w", o.Address, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, fmt.Errorf("no session within %s: %w", requestTimeout, context.DeadlineExceeded))
	defer cancel()
	type result struct {
		session *gocql.Session
		err     error
	}
	done := make(chan result, 1)
	go func() {
		session, err := cluster.CreateSession() // knows no context
		done <- result{session, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			return &Conn{address: o.Address, session: r.session}, nil
		}
		if failed := dialer.failed.Load(); failed != nil {
			r.err = *failed // the driver's own words don't wrap it
		}
		return nil, fmt.Errorf("connect to cassandra at %s: %w", o.Address, r.err)
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.session.Close()
			}
		}()
		return nil, fmt.Errorf("connect to cassandra at %s: %w", o.Address, context.Cause(ctx))
	}
}

// clusterConfig turns off what a driver does for a ring: following events,
// caching schema, connecting to peers. It still looks them up: without that
// (DisableInitialHostLookup) 2.1.2 knows its host by an invented id, and often
// doesn't find it again after a restart of the node.
func clusterConfig(ctx context.Context, o Options, dialer gocql.HostDialer) (*gocql.ClusterConfig, error) {
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, err
	}
	// The driver wants an IP address to call the host by; nodeDialer dials.
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	label := net.IP(ips[0].Unmap().AsSlice())
	c := gocql.NewCluster(net.JoinHostPort(label.String(), port))
	c.HostDialer = dialer
	c.HostFilter = gocql.HostFilterFunc(func(h *gocql.HostInfo) bool { return h.ConnectAddress().Equal(label) })
	c.Events.DisableNodeStatusEvents = true
	c.Events.DisableTopologyEvents = true
	c.Events.DisableSchemaEvents = true
	c.Metadata.CacheMode = gocql.Disabled
	c.MaxWaitSchemaAgreement = 0 // AwaitSchemaAgreement is ours
	c.NumConns = 1
	c.ConnectTimeout = connectTimeout
	c.Timeout = requestTimeout
	c.ReconnectInterval = time.Second
	c.Logger = gocql.NewLogger(gocql.LogLevelNone)
	if o.Username != "" {
		c.Authenticator = gocql.PasswordAuthenticator{Username: o.Username, Password: o.Password}
	}
	return c, nil
}

// nodeDialer dials one address, whatever host the driver asks for.
type nodeDialer struct {
	address string
	net     net.Dialer
	tls     *tls.Config // nil: plain
	failed  atomic.Pointer[error]
}

func (d *nodeDialer) DialHost(ctx context.Context, _ *gocql.HostInfo) (*gocql.DialedHost, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := d.dial(ctx)
	if err != nil {
		d.failed.Store(&err)
		return nil, err
	}
	d.failed.Store(nil)
	return &gocql.DialedHost{Conn: conn, DisableCoalesce: d.tls != nil}, nil
}

func (d *nodeDialer) dial(ctx context.Context) (net.Conn, error) {
	if d.tls == nil {
		return d.net.DialContext(ctx, "tcp", d.address)
	}
	return (&tls.Dialer{NetDialer: &d.net, Config: d.tls}).DialContext(ctx, "tcp", d.address)
}

// config reads the files; nil: TLS is off.
func (t TLS) config(address string) (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: host}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read ca: no certificate in %s", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Address is the host:port of the node.
func (c *Conn) Address() string { return c.address }

// Close ends the connection, behind the caller's back: the driver's Close never
// returns when it meets its control connection coming back after a restart of the
// node (2.1.2: refreshDebouncer.refreshNow after stop).
func (c *Conn) Close() { go c.session.Close() }

// Exec executes a statement that returns no rows, as it is. An error shows only
// its first two words: a statement may hold a password.
func (c *Conn) Exec(ctx context.Context, statement string) error {
	if err := c.session.Query(statement).ExecContext(ctx); err != nil {
		words := strings.Fields(statement)
		return fmt.Errorf("execute %s on %s: %w", strings.Join(words[:min(2, len(words))], " "), c.address, err)
	}
	return nil
}

// IsEmpty says that a table or view has no row, as a quorum of the local
// datacenter sees it.
func (c *Conn) IsEmpty(ctx context.Context, keyspace, table string) (bool, error) {
	name := TableName{keyspace, table}
	rows := c.session.Query("SELECT * FROM " + name.cql() + " LIMIT 1").Consistency(gocql.LocalQuorum).IterContext(ctx).Scanner()
	found := rows.Next() // the row isn't decoded: its types may be anything
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("look for a row in %s: %w", name, err)
	}
	return !found, nil
}

// AwaitSchemaAgreement returns when all nodes that this one knows have its
// schema. A node that is down keeps the version it last had, so bound ctx.
func (c *Conn) AwaitSchemaAgreement(ctx context.Context) error {
	known := "not known"
	for {
		differs, err := c.schemaDisagreement(ctx)
		switch {
		case err == nil && differs == "":
			return nil
		case err == nil:
			known = differs
		case ctx.Err() == nil:
			return fmt.Errorf("await schema agreement: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await schema agreement: %s: %w", known, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// schemaDisagreement names a peer with another schema; empty: there is none.
func (c *Conn) schemaDisagreement(ctx context.Context) (string, error) {
	id, err := c.Identity(ctx)
	if err != nil {
		return "", err
	}
	peers, err := c.Peers(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range peers {
		if p.SchemaVersion != "" && p.SchemaVersion != id.SchemaVersion {
			return fmt.Sprintf("node %s has schema %s, this one %s", p.Address, p.SchemaVersion, id.SchemaVersion), nil
		}
	}
	return "", nil
}

// code returns the error code of the node's answer, 0 if it didn't answer.
func code(err error) int {
	var answer gocql.RequestError
	if errors.As(err, &answer) {
		return answer.Code()
	}
	return 0
}
