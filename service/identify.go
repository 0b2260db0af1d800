package service

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// Headers that carry credentials.
const (
	// HeaderAuthorization has a token as "Bearer TOKEN".
	HeaderAuthorization = "Authorization"
	// HeaderSession has the token of a live session, which stands for the
	// credentials that opened it. Adapters set it for the commands of a
	// connection; the POSTs that go with an SSE stream may as well.
	HeaderSession = "Millrace-Session"
	// HeaderTicket has a ticket, which stands for credentials once. The browser
	// wires take it from `?ticket=`.
	HeaderTicket = "Millrace-Ticket"
	// HeaderClient names the client, where a wire has no field for it.
	HeaderClient = "Millrace-Client"
)

// CookieToken is the cookie that carries a token for pages that can set no
// header. What a browser sends by itself counts only because package cors refuses
// the pages of foreign origins.
const CookieToken = "millrace_token"

// caller is who calls, and from where.
type caller struct {
	identity auth.Identity
	session  string // public id of the one that the call is made in the name of, if any
	protocol string
	scope    string // of a WebSocket path
	host     string // address without the port; empty if there is none
}

type (
	callerKey      struct{}
	certificateKey struct{}
	scopeKey       struct{}
	joinedKey      struct{}
)

// WithCertificate says that the client has shown a certificate, which the
// listener has verified.
func WithCertificate(ctx context.Context, certificate *x509.Certificate) context.Context {
	return context.WithValue(ctx, certificateKey{}, certificate)
}

// WithScope says which part of a wire's path follows the wire's own, such as
// "dashboard" for `/ws/dashboard`, for who decides what is allowed.
func WithScope(ctx context.Context, scope string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// WithJoined says which of the subscriptions that a session is opened with its
// client has not asked for: they make way for those that it asks for.
func WithJoined(ctx context.Context, channels []string) context.Context {
	return context.WithValue(ctx, joinedKey{}, channels)
}

func isJoined(ctx context.Context, name string) bool {
	joined, _ := ctx.Value(joinedKey{}).([]string)
	return slices.Contains(joined, name)
}

// account is what rates are counted for: the user, or the address of who has no
// name. Empty for a caller within this process.
func (c caller) account() string {
	switch {
	case c.identity.User != "":
		return "user " + c.identity.User
	case c.host != "":
		return "address " + networkOf(c.host)
	}
	return ""
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

func identityOf(ctx context.Context) auth.Identity { return callerOf(ctx).identity }

// identify finds out who calls. It runs for every call on every wire; calls
// about the server's health need no credentials, and a call that brings new ones
// is checked by its method.
func (s *Service) identify(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if !strings.HasPrefix(spec.Procedure, "/millrace.") {
			return next(ctx, spec, stream)
		}
		if c, ok := ctx.Value(passedKey{}).(caller); ok { // another node knows who calls
			return next(context.WithValue(ctx, callerKey{}, c), spec, stream)
		}
		c := caller{}
		if info, ok := connect.CallInfoForServerContext(ctx); ok {
			c.protocol, c.host = info.Protocol, hostOf(info.PeerAddr)
		}
		c.scope, _ = ctx.Value(scopeKey{}).(string)
		if err := s.admit(ctx, spec, &c); err != nil {
			s.floods.refused(ctx, c)
			return err
		}
		return next(context.WithValue(ctx, callerKey{}, c), spec, stream)
	}
}

// admit finds out who a caller is, and whether he may call now.
func (s *Service) admit(ctx context.Context, spec connect.Spec, c *caller) error {
	if spec.Procedure != millracev1connect.RealtimeServiceRefreshTokenProcedure {
		if err := s.authenticate(ctx, c); err != nil {
			return err
		}
	}
	return errors.Join(s.kicked.check(c.identity), s.calls.spend(*c))
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// authenticate finds out who a caller is.
func (s *Service) authenticate(ctx context.Context, c *caller) error {
	var header *connect.Header
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		header = info.RequestHeader()
	}
	if token := header.Get(HeaderSession); token != "" {
		return s.authenticateSession(ctx, token, c)
	}
	identity, err := s.identityFrom(ctx, header)
	if err != nil {
		return err
	}
	c.identity = identity
	return s.revoked.Check(identity)
}

// authenticateSession finds the session that a call is made in the name of. One
// whose credentials have expired is as good as gone.
func (s *Service) authenticateSession(ctx context.Context, token string, c *caller) error {
	parts := parseToken(token)
	c.session = parts.id
	if node := parts.node; node != s.node && s.presence.isLive(node) {
		if err := s.authenticateOn(ctx, node, token, c); err != nil {
			return err
		}
	} else {
		session, err := s.session(token)
		if err != nil {
			return err
		}
		c.identity, c.scope, c.host = session.who(), session.scope, session.host
		session.used.Store(s.elapsed(time.Now()))
	}
	if c.identity.Expired() {
		return errExpired()
	}
	return nil
}

// authenticateOn asks another node whose its session is.
func (s *Service) authenticateOn(ctx context.Context, node, token string, c *caller) error {
	answer, err := s.nodes.call(ctx, node, &nodev1.Call{Call: &nodev1.Call_Who{Who: &nodev1.Who{Token: token}}})
	if err != nil {
		return err
	}
	found, err := callerFromNode(answer.GetCaller())
	c.identity, c.scope, c.host = found.identity, found.scope, found.host
	return err
}

// identityFrom finds out whom the credentials of a call stand for: a ticket, a
// token, or the certificate of the connection.
func (s *Service) identityFrom(ctx context.Context, header *connect.Header) (auth.Identity, error) {
	if ticket := header.Get(HeaderTicket); ticket != "" {
		return s.redeem(ctx, ticket, header.Get("Origin"))
	}
	certificate, _ := ctx.Value(certificateKey{}).(*x509.Certificate)
	return s.authenticator().Authenticate(ctx, auth.Credentials{Token: tokenOf(header), Certificate: certificate})
}

// tokenOf finds the token of a call: in the Authorization header, else in the
// cookie.
func tokenOf(header *connect.Header) string {
	if token := header.Get(HeaderAuthorization); token != "" {
		scheme, rest, found := strings.Cut(token, " ")
		if found && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(rest)
		}
		return token
	}
	for _, line := range header.Values("Cookie") {
		cookies, err := http.ParseCookie(line)
		if err != nil {
			continue
		}
		for _, cookie := range cookies {
			if cookie.Name == CookieToken {
				return cookie.Value
			}
		}
	}
	return ""
}

// printable cuts a refused name to what can be shown.
func printable(name string) string {
	const limit = 64
	name = strings.ToValidUTF8(name, "\uFFFD")
	if len(name) > limit {
		name = strings.ToValidUTF8(name[:limit], "") + "…"
	}
	return name
}
