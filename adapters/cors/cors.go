// Package cors decides which web pages may use the server from a browser. It
// stands before all wires: a page that may not is refused whatever it asks for,
// also what browsers send without asking first (WebSocket handshakes,
// EventSource and simple POSTs).
package cors

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"millrace.dev/service"
)

// Policy is the origins whose pages may use the server. Pages of the server's
// own origin always may. The zero value allows no others.
type Policy struct {
	// Origins are such as "https://app.example.com" or
	// "https://*.example.com", where "*" stands for one or more labels of the
	// host. "*" alone allows every page, without cookies. Cookies count only from pages of the
	// server's own origin and of those that are named without "*".
	Origins []string
	// Loopback allows the pages of every loopback address and port, for
	// development.
	Loopback bool
}

// preflightSeconds is how long browsers may remember an answer: two hours, the
// most that Chromium does.
const preflightSeconds = 7200

// Allows reports whether a request may come from where it does. Programs that
// are no browsers send no origin, and may.
func (p Policy) Allows(r *http.Request) bool {
	origin := strings.ToLower(r.Header.Get("Origin"))
	if origin == "" {
		return true
	}
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host {
		return false // "null", or nothing that a browser sends
	}
	return strings.EqualFold(parsed.Host, r.Host) || p.Loopback && isLoopback(parsed.Hostname()) || p.lists(origin)
}

// trusts reports whether the cookies of a request count: what a browser adds by
// itself proves nothing about the page that made it send. A browser that names no
// origin says at least whether it is another one.
func (p Policy) trusts(r *http.Request) bool {
	origin := strings.ToLower(r.Header.Get("Origin"))
	if origin == "" {
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "same-origin" || site == "none"
	}
	parsed, err := url.Parse(origin)
	return err == nil && parsed.Host != "" && strings.EqualFold(parsed.Host, r.Host) ||
		slices.ContainsFunc(p.Origins, func(named string) bool { return strings.EqualFold(named, origin) })
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// lists reports whether the policy names an origin, given in lower case.
func (p Policy) lists(origin string) bool {
	return slices.ContainsFunc(p.Origins, func(pattern string) bool {
		before, after, wild := strings.Cut(strings.ToLower(pattern), "*")
		if !wild {
			return origin == before
		}
		return len(origin) > len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after)
	})
}

// Handler lets the allowed pages, and programs that are no browsers, call next.
func (p Policy) Handler(next http.Handler) http.Handler {
	answer := p.answers(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.Allows(r) {
			http.Error(w, "the origin is not allowed", http.StatusForbidden)
			return
		}
		if !p.trusts(r) {
			r.Header.Del("Cookie")
		}
		answer.ServeHTTP(w, r)
	})
}

// answers tells browsers that an allowed page may read what next answers. Pages
// may send cookies, because some clients always do; whether those count is
// decided above.
func (p Policy) answers(next http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) {
			return p.Allows(r), nil
		},
		AllowedMethods: append(connectcors.AllowedMethods(), http.MethodHead),
		AllowedHeaders: append(connectcors.AllowedHeaders(),
			service.HeaderAuthorization, service.HeaderSession, service.HeaderTicket, service.HeaderClient, "Idempotency-Key", "Last-Event-ID"),
		ExposedHeaders:   connectcors.ExposedHeaders(),
		AllowCredentials: !slices.Contains(p.Origins, "*"),
		MaxAge:           preflightSeconds,
	}).Handler(next)
}
