package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"millrace.dev/adapters/cors"
	"millrace.dev/adapters/httpapi"
	"millrace.dev/adapters/ring"
	"millrace.dev/adapters/sse"
	"millrace.dev/adapters/ws"
	"millrace.dev/engine"
	"millrace.dev/service"
)

const (
	idleTimeout = 2 * time.Minute
	// shutdownTimeout is for sessions to hear that they end, after the drain window, and for calls to
	// come to theirs.
	shutdownTimeout = 10 * time.Second
)

// server is a node and the addresses that it answers on.
type server struct {
	config  config
	log     *slog.Logger
	service *service.Service
	proxies proxies
	// main is for everybody; admin, for operators, is nil where none is configured.
	main, admin *port
	telemetry   *telemetry
	going       atomic.Bool // no connection is kept for another call
}

// newServer assembles the server: the one place that knows every part.
func newServer(ctx context.Context, c config, log *slog.Logger, start engine.Open) (*server, error) {
	s := &server{config: c, log: log}
	err := s.assemble(ctx, start)
	if err == nil {
		err = s.listen(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.main.close(), s.admin.close(), s.close(ctx))
	}
	return s, nil
}

func (s *server) assemble(ctx context.Context, start engine.Open) (err error) {
	c := s.config
	if s.proxies, err = parseProxies(c.TrustedProxies); err != nil {
		return err
	}
	authenticator, err := c.authenticator()
	if err != nil {
		return err
	}
	if s.telemetry, err = newTelemetry(c, s.log); err != nil {
		return err
	}
	s.service, err = service.New(ctx, start, service.Config{
		Version:       buildVersion().Version,
		Authenticator: authenticator,
		Rules:         c.serviceRules(),
		Limits:        c.Limits.service(),
		Authorizer:    c.authorizer(),
		Log:           s.log,
		Meters:        s.telemetry.meters,
		Tracers:       s.telemetry.tracerProvider(),
		Outbox:        s.outbox,
	})
	return err
}

// outbox makes what each writer sends with: a ring, where it is wanted and the
// system lets the process have one. Containers often do not.
func (s *server) outbox() service.Outbox {
	if !s.config.IOURing {
		return nil
	}
	outbox := ring.Outbox()
	s.log.Debug("a writer begins", "io_uring", outbox != nil)
	return outbox
}

// close ends what is behind the addresses.
func (s *server) close(ctx context.Context) (err error) {
	if s.service != nil {
		err = s.service.Close()
	}
	if s.telemetry != nil {
		err = errors.Join(err, s.telemetry.close(ctx))
	}
	return err
}

// listen takes the addresses. Nothing is answered yet.
func (s *server) listen(ctx context.Context) (err error) {
	paths, origins := routes(s.config, s.service), cors.Policy{Origins: s.config.Origins, Loopback: s.config.isLoopback()}
	if s.main, err = s.open(ctx, s.config.Listen, s.config.TLSCert != "", origins.Handler(paths)); err != nil || s.config.AdminListen == "" {
		return err
	}
	// Pages of other origins have no business here, whatever the main address allows.
	s.admin, err = s.open(ctx, s.config.AdminListen, s.config.adminIsSecure(), cors.Policy{}.Handler(s.adminRoutes(paths)))
	return err
}

// routes are all paths of the main address.
func routes(c config, node *service.Service) *http.ServeMux {
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
	return mux
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

// run serves until ctx ends, then lets the sessions go and shuts down.
func (s *server) run(ctx context.Context) error {
	ports := []*port{s.main}
	if s.admin != nil {
		ports = append(ports, s.admin)
	}
	failed := make(chan error, len(ports))
	for _, p := range ports {
		go func() { failed <- p.serve() }()
	}
	var err error
	select {
	case err = <-failed:
		err = errors.Join(fmt.Errorf("serve: %w", err), s.main.close(), s.admin.close(), s.close(ctx))
		ports = ports[1:]
	case <-ctx.Done():
		err = s.shutdown(context.WithoutCancel(ctx))
	}
	for range ports {
		if failure := <-failed; !errors.Is(failure, http.ErrServerClosed) {
			err = errors.Join(err, failure)
		}
	}
	return err
}

// shutdown has every session go on elsewhere, and waits for calls to
// end. What has not ended in time is cut, which is no failure.
func (s *server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.DrainWindow+shutdownTimeout)
	defer cancel()
	s.log.InfoContext(ctx, "shutting down")
	s.going.Store(true)
	s.main.http.SetKeepAlivesEnabled(false)
	if err := s.service.Drain(ctx, s.config.DrainWindow); err != nil {
		s.log.WarnContext(ctx, "drain", "error", err)
	}
	// The admin address tells of the shutdown to its end.
	return errors.Join(s.main.shutdown(ctx, s.log), s.admin.shutdown(ctx, s.log), s.close(ctx))
}
