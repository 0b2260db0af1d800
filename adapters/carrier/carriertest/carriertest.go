// Package carriertest makes connections with TLS on a carrier, for tests.
package carriertest

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"millrace.dev/adapters/carrier"
)

// Pair makes both ends of a connection, which end with the test.
type Pair func(t *testing.T) (server, client net.Conn)

// TCP is a connection on loopback.
func TCP(t *testing.T) (server, client net.Conn) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err = new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close() // the test may have closed them
		_ = server.Close()
	})
	return server, client
}

// Opaque is one that hides that it is TCP: then there is no direct way.
func Opaque(t *testing.T) (server, client net.Conn) {
	t.Helper()
	server, client = TCP(t)
	return struct{ net.Conn }{server}, client
}

// TLS is one with TLS on both ends, whose records are carried.
func TLS(t *testing.T) (server, client net.Conn) {
	t.Helper()
	server, client = TCP(t)
	ours, theirs := configs(t)
	secure := tls.Server(carrier.New(server), ours)
	done := make(chan error, 1)
	go func() { done <- secure.HandshakeContext(t.Context()) }()
	other := tls.Client(client, theirs)
	if err := other.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return secure, other
}

// configs are those of a server that only lends its certificate.
func configs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	transport, ok := lender.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("the client has another transport")
	}
	client = transport.TLSClientConfig.Clone()
	client.ServerName = "example.com" // which the certificate is for
	server = lender.TLS.Clone()
	server.NextProtos = nil
	return server, client
}

// Listener is one whose connections are carriers.
type Listener struct{ net.Listener }

// Accept implements [net.Listener].
func (l Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return carrier.New(conn), nil
}
