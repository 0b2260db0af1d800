// Package peer is what the servers that Millrace is compared with have in
// common: an address on loopback, publishing over HTTP, a check of tokens, and
// a forced garbage collection.
package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Channel is the one channel, by which every server subscribes and publishes.
const Channel = "bench"

// Secret signs the tokens of subscribers.
func Secret() []byte { return []byte(os.Getenv("BENCH_SECRET")) }

// Serve serves mux on a free port of loopback, over HTTP/1.1 and cleartext
// HTTP/2, and prints the address; where there is a certificate, on another with
// TLS as well. It adds the routes POST /publish/bench and POST /gc.
func Serve(mux *http.ServeMux, publish func(data []byte) error) error {
	return ServeChannels(mux, func(_ string, data []byte) error { return publish(data) })
}

// ServeChannels is Serve of a server that has other channels as well.
func ServeChannels(mux *http.ServeMux, publish func(channel string, data []byte) error) error {
	mux.HandleFunc("POST /publish/{channel}", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = publish(r.PathValue("channel"), data)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /gc", collect)
	listener, err := Listen()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "listening on http://%s\n", listener.Addr())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	if cert := os.Getenv("BENCH_CERT"); cert != "" {
		secure, err := Listen()
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "streams on %s\n", secure.Addr())
		go func() { failed <- server.ServeTLS(secure, cert, os.Getenv("BENCH_KEY")) }()
	}
	go func() { failed <- server.Serve(listener) }()
	return <-failed
}

// Listen finds a free port of loopback.
func Listen() (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
}

// Main runs a server until it is killed.
func Main(run func() error) {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// collect gives unused memory back to the system, and says how many objects
// have been allocated.
func collect(w http.ResponseWriter, _ *http.Request) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, `{"mallocs":%d}`, m.Mallocs)
}

// Authorize checks the token of a request.
func Authorize(header string) (*jwt.RegisteredClaims, error) {
	token, found := strings.CutPrefix(header, "Bearer ")
	if !found {
		return nil, errors.New("credentials are missing")
	}
	return Verify(token)
}

// Verify checks a token as Millrace does: signature, method and expiry.
func Verify(token string) (*jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return Secret(), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return &claims, err
}
