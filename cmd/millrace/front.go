package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"millrace.dev/service"
)

// front is what stands before the routes: it finds out where a request really
// comes from, and does not wait long for it.
type front struct {
	proxies   proxies
	handshake time.Duration
}

func (f front) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connectionKey{}).(*countedConn); ok {
			r = r.WithContext(service.WithHangUp(r.Context(), conn.hangUp))
		}
		r.RemoteAddr = f.proxies.client(r)
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			r = r.WithContext(service.WithCertificate(r.Context(), r.TLS.PeerCertificates[0]))
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = newTimedBody(r.Body, w, f.handshake)
		}
		next.ServeHTTP(w, r)
	})
}

type connectionKey struct{}

// withConnection remembers which connection the requests on it come by.
func withConnection(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

// minBodyRate is how fast a body must come, in bytes a second, once its time is
// over: that of a bad mobile connection.
const minBodyRate = 8 << 10

// timedBody is a request's body that must come in time. What has come extends it,
// so that a large body may take longer and a trickle may not.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	header  http.Header // of the response
	until   time.Time
	done    bool
}

func newTimedBody(body io.ReadCloser, w http.ResponseWriter, limit time.Duration) *timedBody {
	b := &timedBody{ReadCloser: body, control: http.NewResponseController(w), header: w.Header(), until: time.Now().Add(limit)}
	b.set(b.until)
	return b
}

// Read implements [io.Reader].
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.release()
	case err != nil:
		b.done = true // its time is over for good: nothing else comes on this connection
		b.header.Set("Connection", "close")
	case n > 0 && !b.done:
		b.until = b.until.Add(time.Duration(n) * time.Second / minBodyRate)
		b.set(b.until)
	}
	return n, err
}

// Close implements [io.Closer].
func (b *timedBody) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

// release lets the connection be silent: nothing more is expected.
func (b *timedBody) release() {
	if !b.done {
		b.done = true
		b.set(time.Time{})
	}
}

// set has no effect where a ResponseWriter knows no deadlines, as in tests.
func (b *timedBody) set(deadline time.Time) { _ = b.control.SetReadDeadline(deadline) }

// proxies are the addresses that requests of others come from. What they say
// about where a request is from is believed, and their connections are not
// counted.
type proxies []netip.Prefix

func parseProxies(texts []string) (proxies, error) {
	var all proxies
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

func (p proxies) include(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// client is the address that a request comes from: the last that no proxy of ours
// has. What is before that in the header, anybody may have written.
func (p proxies) client(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.include(peer.Addr()) {
		return r.RemoteAddr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		peer = netip.AddrPortFrom(addr, 0)
		if !p.include(addr) {
			break
		}
	}
	return peer.String()
}

// clientAuthorities are those whose client certificates are believed, nil for
// none.
func (c config) clientAuthorities() (*x509.CertPool, error) {
	if c.ClientCA == "" {
		return nil, nil //nolint:nilnil // none is configured
	}
	text, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in PEM")
	}
	return pool, nil
}

// tlsConfig asks for a client certificate where one can be believed, and requires
// none: browsers come to the same port.
func (c config) tlsConfig() (*tls.Config, error) {
	pool, err := c.clientAuthorities()
	if pool == nil || err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}, nil
}
