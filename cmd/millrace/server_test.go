package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTheServerAnswersWhoMayAsk(t *testing.T) {
	t.Parallel()
	_, open := serve(t)
	_, closed := serve(t, "--api-keys", testAPIKey, "--origins", "https://app.example.com")
	tests := []struct {
		name, url, path, host, origin string
		want                          int
	}{
		{"alive", open, "/healthz", "", "", http.StatusOK},
		{"ready", open, "/readyz", "", "", http.StatusOK},
		{"a page of this machine", open, "/healthz", "", "http://localhost:3000", http.StatusOK},
		{"a page of elsewhere", open, "/healthz", "", "https://evil.example.com", http.StatusForbidden},
		{"a page whose host name was turned to loopback", open, "/healthz", "evil.example.com", "http://evil.example.com", http.StatusMisdirectedRequest},
		{"another name of loopback", open, "/healthz", "[::1]:8080", "", http.StatusOK},
		{"any host name, with credentials", closed, "/healthz", "millrace.example.com", "", http.StatusOK},
		{"a listed page", closed, "/healthz", "", "https://app.example.com", http.StatusOK},
		{"a page that is not listed", closed, "/healthz", "", "https://evil.example.com", http.StatusForbidden},
		{"nobody", closed, "/history/a", "", "", http.StatusUnauthorized},
		{"nothing", open, "/nothing", "", "", http.StatusNotFound},
		{"no WebSocket", open, "/ws/dashboard", "", "", http.StatusUpgradeRequired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			request := newRequest(t, test.url+test.path)
			request.Host = test.host
			if test.origin != "" {
				request.Header.Set("Origin", test.origin)
			}
			if _, got := do(t, &http.Transport{}, request); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

func TestTheServerSpeaksEachVersionOfHTTP(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	_, plain := serve(t)
	_, secure := serve(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(secure, "https://") {
		t.Fatalf("the address of a server with a certificate is %s", secure)
	}
	for name, test := range map[string]struct {
		url       string
		protocols func(*http.Protocols)
		want      int
	}{
		"HTTP/1.1":               {plain, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"HTTP/2, not enciphered": {plain, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
		"HTTP/1.1 over TLS":      {secure, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"HTTP/2 over TLS":        {secure, func(p *http.Protocols) { p.SetHTTP2(true) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
			test.protocols(transport.Protocols)
			if got, status := do(t, transport, newRequest(t, test.url+"/healthz")); got != test.want || status != http.StatusOK {
				t.Errorf("HTTP/%d with status %d, want HTTP/%d", got, status, test.want)
			}
		})
	}
}

func newRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// do sends a request and reads the response to its end.
func do(t *testing.T, transport *http.Transport, request *http.Request) (protocol, status int) {
	t.Helper()
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.ProtoMajor, response.StatusCode
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return writeFile(t, "cert.pem", string(certPEM)), writeFile(t, "key.pem", string(keyPEM)), pool
}
