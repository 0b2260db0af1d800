package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
)

// port is an address that the server answers on.
type port struct {
	http      *http.Server
	listener  net.Listener
	entrance  *turnstile // below the listener; nil where nobody is counted
	cert, key string     // files, for HTTPS; empty for none
}

// listening has the kernel not ask whether clients are there, which would be four
// system calls for each: every wire asks itself, and cuts who does not answer.
var listening = net.ListenConfig{KeepAlive: -1}

// open takes an address.
func (s *server) open(ctx context.Context, address string, secure bool, handler http.Handler) (*port, error) {
	server, err := newHTTPServer(s.config, s.log, front{s.proxies, s.config.Limits.Handshake}.handler(s.letGo(s.config.guard(handler))))
	if err != nil {
		return nil, err
	}
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	entrance := newTurnstile(listener, s.config.Limits.Connections, s.proxies, s.log, secure)
	p := &port{http: server, listener: entrance, entrance: entrance}
	if err := s.telemetry.observe(entrance, address); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if secure {
		p.cert, p.key = s.config.TLSCert, s.config.TLSKey
	}
	server.Protocols.SetUnencryptedHTTP2(!secure)
	return p, nil
}

// letGo has each call to a server that goes be the last on its connection, for
// the next connection may be to another server. Streams go on.
func (s *server) letGo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.going.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func newHTTPServer(c config, log *slog.Logger, handler http.Handler) (*http.Server, error) {
	secure, err := c.tlsConfig()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           handler,
		ConnContext:       withConnection,
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

// url is one that reaches the port from this machine; empty for no port.
func (p *port) url() string {
	if p == nil {
		return ""
	}
	scheme := "http"
	if p.cert != "" {
		scheme = "https"
	}
	host, number, err := net.SplitHostPort(p.listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, number)
}

func (p *port) serve() error {
	if p.cert != "" {
		return p.http.ServeTLS(p.listener, p.cert, p.key)
	}
	return p.http.Serve(p.listener)
}

// shutdown waits for calls to end. What has not ended in time is cut, which is no
// failure.
func (p *port) shutdown(ctx context.Context, log *slog.Logger) error {
	if p == nil {
		return nil
	}
	err := p.http.Shutdown(ctx)
	if err != nil {
		log.WarnContext(ctx, "shut down", "error", err)
		err = p.http.Close()
	}
	return err
}

// close lets go of the address at once.
func (p *port) close() error {
	if p == nil {
		return nil
	}
	err := p.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(p.http.Close(), err)
}
