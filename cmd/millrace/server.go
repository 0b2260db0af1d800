package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"millrace.dev/adapters/cors"
	"millrace.dev/adapters/httpapi"
	"millrace.dev/adapters/sse"
	"millrace.dev/adapters/ws"
	"millrace.dev/engine/memory"
	"millrace.dev/service"
)

const (
	idleTimeout = 2 * time.Minute
	// shutdownTimeout is for sessions to hear that they end, and for calls to
	// come to theirs.
	shutdownTimeout = 10 * time.Second
)

// server is a node and the HTTP server before it.
type server struct {
	config  config
	log     *slog.Logger
	service *service.Service
	http    *http.Server
	proxies proxies
}

// newServer assembles the server: the one place that knows every part.
func newServer(ctx context.Context, c config, log *slog.Logger) (*server, error) {
	authenticator, err := c.authenticator()
	if err != nil {
		return nil, err
	}
	node, err := service.New(ctx, memory.Open(memory.Options{}), service.Config{
		Version:       buildVersion().Version,
		Authenticator: authenticator,
		Rules:         c.serviceRules(),
		Limits:        c.Limits.service(),
		Authorizer:    c.authorizer(),
		Log:           log,
	})
	if err != nil {
		return nil, err
	}
	s := &server{config: c, log: log, service: node}
	if s.proxies, err = parseProxies(c.TrustedProxies); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	handler := front{s.proxies, c.Limits.Handshake}.handler(routes(c, node))
	if s.http, err = newHTTPServer(c, log, handler); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return s, nil
}

// routes are all paths of the server.
func routes(c config, node *service.Service) http.Handler {
	mux := http.NewServeMux()
	node.Mount(mux)
	for _, path := range c.WSPaths {
		handler := ws.New(node, ws.Options{Join: c.Join})
		mux.Handle(path, handler)
		mux.Handle(path+"/{scope...}", handler)
	}
	for _, path := range c.SSEPaths {
		handler := sse.New(node, sse.Options{Channels: c.SSEChannels})
		mux.Handle(path, handler)
		mux.Handle(path+"/{scope...}", handler)
	}
	mux.Handle("/", httpapi.New(node))
	origins := cors.Policy{Origins: c.Origins, Loopback: c.isLoopback()}
	return c.guard(origins.Handler(mux))
}

// guard keeps web pages of others away from a server that is open because only
// this machine reaches it: a page whose host name is made to resolve to
// loopback is of the server's own origin, but not of a loopback name.
func (c config) guard(next http.Handler) http.Handler {
	if c.Open || c.hasCredentials() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !isLoopbackHost(strings.Trim(host, "[]")) {
			http.Error(w, "the server is open to this machine only: use a loopback host name, or set credentials or --open", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func newHTTPServer(c config, log *slog.Logger, handler http.Handler) (*http.Server, error) {
	secure, err := c.tlsConfig()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(c.TLSCert == "")
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: c.Limits.Handshake,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    c.Limits.HeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 1000,
			// A connection that says nothing is asked, and cut if it does not answer.
			SendPingTimeout:  c.Limits.Heartbeat,
			PingTimeout:      c.Limits.Handshake,
			WriteByteTimeout: c.Limits.WriteTimeout,
		},
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig: secure,
	}, err
}

// run serves until ctx ends, then lets the sessions go and shuts down.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.serve(listener) }()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), s.service.Close())
	case <-ctx.Done():
	}
	err := s.shutdown(context.WithoutCancel(ctx))
	if failure := <-failed; !errors.Is(failure, http.ErrServerClosed) {
		err = errors.Join(err, failure)
	}
	return err
}

func (s *server) serve(listener net.Listener) error {
	listener = newTurnstile(listener, s.config.Limits.Connections, s.proxies)
	if s.config.TLSCert != "" {
		return s.http.ServeTLS(listener, s.config.TLSCert, s.config.TLSKey)
	}
	return s.http.Serve(listener)
}

// shutdown tells every session to come back elsewhere, and waits for calls to
// end. What has not ended in time is cut, which is no failure.
func (s *server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	s.log.InfoContext(ctx, "shutting down")
	if err := s.service.Drain(ctx, s.config.DrainWindow); err != nil {
		s.log.WarnContext(ctx, "drain", "error", err)
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "shut down", "error", err)
		err = s.http.Close()
	}
	return errors.Join(err, s.service.Close())
}
