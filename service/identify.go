package service

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Headers that carry credentials.
const (
	// HeaderAuthorization has a token as "Bearer TOKEN".
	HeaderAuthorization = "Authorization"
	// HeaderSession has the token of a live session, which stands for the
	// credentials that opened it. Adapters set it for the commands of a
	// connection; the POSTs that go with an SSE stream may as well.
	HeaderSession = "Millrace-Session"
	// HeaderClient names the client, where a wire has no field for it.
	HeaderClient = "Millrace-Client"
)

// CookieToken is the cookie that carries a token for pages that can set no
// header. What a browser sends by itself counts only because package cors refuses
// the pages of foreign origins.
const CookieToken = "millrace_token"

// reserved begins the names that the server keeps for itself.
const reserved = "millrace."

type identityKey struct{}

// identify finds out who calls. It runs for every call on every wire; calls
// about the server's health need no credentials.
func (s *Service) identify(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if !strings.HasPrefix(spec.Procedure, "/millrace.") {
			return next(ctx, spec, stream)
		}
		identity, err := s.authenticate(ctx)
		if err != nil {
			return err
		}
		return next(context.WithValue(ctx, identityKey{}, identity), spec, stream)
	}
}

func (s *Service) authenticate(ctx context.Context) (auth.Identity, error) {
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok {
		return s.config.Authenticator.Authenticate(ctx, "")
	}
	if token := info.RequestHeader().Get(HeaderSession); token != "" {
		session, err := s.session(token)
		if err != nil {
			return auth.Identity{}, err
		}
		return session.identity, nil
	}
	return s.config.Authenticator.Authenticate(ctx, tokenOf(info.RequestHeader()))
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

func identityOf(ctx context.Context) auth.Identity {
	identity, _ := ctx.Value(identityKey{}).(auth.Identity)
	return identity
}

// allow checks a name and whether the caller may do action to it.
func allow(identity auth.Identity, action auth.Action, name string) error {
	check := channel.Check
	if action == auth.Subscribe || action == auth.History {
		check = channel.CheckPattern
	}
	if err := check(name); err != nil {
		r := refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel", "%s", err).on(printable(name))
		if len(name) > channel.MaxBytes {
			r.info.Limit = channel.MaxBytes
		}
		return r
	}
	if strings.HasPrefix(name, reserved) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel", "channel: names that begin with %q are reserved", reserved).on(name)
	}
	if !identity.May(action, name) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "channel", "the credentials do not allow %s on this channel", action).on(name)
	}
	return nil
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
