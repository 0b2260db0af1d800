package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// bearer adds credentials to each request, on whatever wire it is.
type bearer struct {
	http.RoundTripper
	bring func(*http.Request) error
}

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := b.bring(r); err != nil {
		return nil, err
	}
	return b.RoundTripper.RoundTrip(r)
}

// bearing is the server as somebody reaches it who brings credentials.
func (s *server) bearing(bring func(*http.Request) error) *server {
	seen := *s
	seen.h1 = &http.Client{Transport: bearer{s.h1.Transport, bring}}
	seen.h2 = &http.Client{Transport: bearer{s.h2.Transport, bring}}
	return &seen
}

// with is the server as somebody reaches it who brings a text as a token, a
// cookie or a ticket.
func (f *fortress) with(as, text string) *server {
	return f.bearing(func(r *http.Request) error {
		switch as {
		case "token":
			r.Header.Set("Authorization", "Bearer "+text)
		case "cookie":
			r.Header.Set("Cookie", service.CookieToken+"="+text)
		case "ticket":
			r.Header.Set(service.HeaderTicket, text)
		}
		return nil
	})
}

// withSession brings the handle of a session that somebody opens with a token, and
// that lasts as long as the test.
func (f *fortress) withSession(token string) *server {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	opened, err := rpc{}.open(ctx, f.server, token, &millracev1.SubscribeRequest{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(opened.close)
	handle := opened.(*rpcSession).sessionToken //nolint:errcheck // it is what the wire opens
	return f.bearing(func(r *http.Request) error {
		r.Header.Set(service.HeaderSession, handle)
		return nil
	})
}

// withFirstFrame brings a token in the first frame of a WebSocket; calls that
// have no frame have it in the header.
func (f *fortress) withFirstFrame(token string) *server {
	s := f.bearing(func(r *http.Request) error {
		if r.Header.Get("Upgrade") == "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	})
	s.firstFrame = token
	return s
}

// withTickets brings a new ticket each time, in the name of who has a token.
func (f *fortress) withTickets(token string) *server {
	issuer := millracev1connect.NewRealtimeServiceClient(f.connect())
	return f.bearing(func(r *http.Request) error {
		response, err := issuer.CreateTicket(withToken(r.Context(), token), &millracev1.CreateTicketRequest{})
		r.Header.Set(service.HeaderTicket, response.GetTicket())
		return err
	})
}

// authority signs certificates of clients.
type authority struct {
	*testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{T: t, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = a.sign(template, template, key)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return certificate
}

// certify makes the certificate of a user.
func (a *authority) certify(user string, lasts time.Duration) *tls.Certificate {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	certificate := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: user}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, key)
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}
}

// secure is the same node on an address with TLS, where certificates of an
// authority are believed, as somebody reaches it who shows one, or none.
func (f *fortress) secure(of *authority, shown *tls.Certificate) *server {
	f.Helper()
	clients := x509.NewCertPool()
	clients.AddCert(of.certificate)
	next := routes(f.node)
	listening := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) > 0 {
			r = r.WithContext(service.WithCertificate(r.Context(), r.TLS.PeerCertificates[0]))
		}
		next.ServeHTTP(w, r)
	}))
	listening.TLS = &tls.Config{ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12}
	listening.EnableHTTP2 = true
	listening.Config.ErrorLog = nil
	listening.StartTLS()
	f.Cleanup(listening.Close)
	client := func(speak func(*http.Protocols)) *http.Client {
		trusted := x509.NewCertPool()
		trusted.AddCert(listening.Certificate())
		transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
		if shown != nil {
			// Also where the server says that it believes another authority.
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
		}
		speak(transport.Protocols)
		f.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	return &server{
		url: listening.URL, node: f.node,
		h1: client(func(p *http.Protocols) { p.SetHTTP1(true) }),
		h2: client(func(p *http.Protocols) { p.SetHTTP2(true) }),
	}
}
