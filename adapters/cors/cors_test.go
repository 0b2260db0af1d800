package cors_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"millrace.dev/adapters/cors"
)

const host = "realtime.example.net:8080"

// request is what a page of an origin sends.
func request(method, origin string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, "http://"+host+"/events", http.NoBody)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func TestOnlyTheNamedOriginsMay(t *testing.T) {
	t.Parallel()
	var (
		none     = cors.Policy{}
		loopback = cors.Policy{Loopback: true}
		one      = cors.Policy{Origins: []string{"https://app.example.com"}}
		port     = cors.Policy{Origins: []string{"http://app.example.com:3000"}}
		wild     = cors.Policy{Origins: []string{"https://*.example.com"}}
		all      = cors.Policy{Origins: []string{"*"}}
		several  = cors.Policy{Origins: []string{"https://a.example", "HTTPS://B.example"}}
	)
	for _, test := range []struct {
		name   string
		policy cors.Policy
		origin string
		want   bool
	}{
		{"a program that is no browser", none, "", true},
		{"a page of the server", none, "http://" + host, true},
		{"a page of the server behind a proxy that does TLS", none, "https://" + host, true},
		{"a page of the server, spelled in capitals", none, "HTTP://" + strings.ToUpper(host), true},
		{"another port of the server's host", none, "http://realtime.example.net:9090", false},
		{"the server's host without its port", none, "http://realtime.example.net", false},
		{"a subdomain of the server's host", none, "http://x." + host, false},
		{"a host that the server's begins", none, "http://realtime.example.net:8080.evil.com", false},
		{"a host that ends in the server's", none, "http://evil" + host, false},
		{"the server's host as a user name", none, "http://" + host + "@evil.com", false},
		{"loopback without leave", none, "http://localhost:3000", false},
		{"a sandboxed page", none, "null", false},

		{"localhost", loopback, "http://localhost:3000", true},
		{"localhost with TLS and the usual port", loopback, "https://localhost", true},
		{"localhost in capitals", loopback, "http://LOCALHOST:3000", true},
		{"127.0.0.1", loopback, "http://127.0.0.1:5173", true},
		{"another loopback address", loopback, "http://127.8.9.1:5173", true},
		{"the loopback address of IPv6", loopback, "http://[::1]:5173", true},
		{"a name that begins like localhost", loopback, "http://localhost.evil.com", false},
		{"a name that ends like localhost", loopback, "http://evil-localhost", false},
		{"a name that begins like an address", loopback, "http://127.0.0.1.evil.com", false},
		{"an address of the network", loopback, "http://192.168.0.1:3000", false},
		{"the address of no one", loopback, "http://0.0.0.0:3000", false},
		{"a sandboxed page of a loopback server", loopback, "null", false},
		{"localhost as a user name", loopback, "http://localhost@evil.com", false},

		{"the origin", one, "https://app.example.com", true},
		{"the origin in capitals", one, "HTTPS://App.Example.Com", true},
		{"the origin with another scheme", one, "http://app.example.com", false},
		{"the origin with a port", one, "https://app.example.com:8443", false},
		{"the origin with a path", one, "https://app.example.com/", false},
		{"a subdomain of the origin", one, "https://x.app.example.com", false},
		{"a host that the origin begins", one, "https://app.example.com.evil.com", false},
		{"a host that ends in the origin", one, "https://evilapp.example.com", false},
		{"nothing like an origin", one, "://", false},
		{"an origin with its port", port, "http://app.example.com:3000", true},
		{"an origin with another port", port, "http://app.example.com:3001", false},
		{"an origin without its port", port, "http://app.example.com", false},

		{"one label", wild, "https://a.example.com", true},
		{"two labels", wild, "https://a.b.example.com", true},
		{"no label", wild, "https://example.com", false},
		{"an empty label", wild, "https://.example.com", false},
		{"one label with another scheme", wild, "http://a.example.com", false},
		{"one label with a port", wild, "https://a.example.com:8443", false},
		{"a host that only ends in the letters", wild, "https://evilexample.com", false},
		{"a host that the wild one begins", wild, "https://a.example.com.evil.com", false},
		{"a path that ends in the host", wild, "https://evil.com/.example.com", false},
		{"a query that ends in the host", wild, "https://evil.com?.example.com", false},
		{"a fragment that ends in the host", wild, "https://evil.com#.example.com", false},
		{"a user name before the host", wild, "https://evil@a.example.com", false},
		{"a backslash before the host", wild, `https://evil.com\.example.com`, false},
		{"a space before the host", wild, "https://evil.com .example.com", false},

		{"any page, where all may", all, "https://anything.example", true},
		{"a sandboxed page, where all may", all, "null", false},
		{"the second of two", several, "https://b.example", true},
		{"the third of two", several, "https://c.example", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.policy.Allows(request(http.MethodGet, test.origin)); got != test.want {
				t.Errorf("%q with %+v: got %v", test.origin, test.policy, got)
			}
		})
	}
}

func TestAPageOfNowhereIsNotOfAServerWithoutAName(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"null", "file://"} {
		r := request(http.MethodGet, origin)
		r.Host = ""
		if (cors.Policy{}).Allows(r) {
			t.Errorf("a page of %q may", origin)
		}
	}
}

// answer is what a policy makes of a request, and whether the server saw it.
func answer(p cors.Policy, r *http.Request) (response *httptest.ResponseRecorder, served bool) {
	response = httptest.NewRecorder()
	p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served = true
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(response, r)
	return response, served
}

func TestAForeignPageReachesNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		r := request(method, "https://evil.com")
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		response, served := answer(cors.Policy{Origins: []string{"https://app.example.com"}}, r)
		if served || response.Code != http.StatusForbidden || response.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: served %v, %d, %v", method, served, response.Code, response.Header())
		}
	}
}

func TestAWebSocketHandshakeOfAForeignPageIsRefused(t *testing.T) {
	t.Parallel()
	r := request(http.MethodGet, "https://evil.com")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	if response, served := answer(cors.Policy{Loopback: true}, r); served || response.Code != http.StatusForbidden {
		t.Errorf("served %v, %d", served, response.Code)
	}
}

func TestAnAllowedPageMayReadTheAnswer(t *testing.T) {
	t.Parallel()
	response, served := answer(cors.Policy{Origins: []string{"https://app.example.com"}}, request(http.MethodPost, "https://app.example.com"))
	h := response.Header()
	if !served || h.Get("Access-Control-Allow-Origin") != "https://app.example.com" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("served %v, %v", served, h)
	}
	if !slices.Contains(h.Values("Vary"), "Origin") {
		t.Errorf("a cache could show the answer to another page: Vary is %q", h.Values("Vary"))
	}
	if exposed := strings.ToLower(h.Get("Access-Control-Expose-Headers")); !strings.Contains(exposed, "grpc-status") {
		t.Errorf("gRPC-Web cannot read its status: exposed are %q", exposed)
	}
}

func TestAProgramIsAnsweredAsIfThereWereNoPages(t *testing.T) {
	t.Parallel()
	response, served := answer(cors.Policy{}, request(http.MethodPost, ""))
	if !served || response.Code != http.StatusTeapot || response.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("served %v, %d, %v", served, response.Code, response.Header())
	}
}

// preflight is what a browser asks before a request that is not simple.
func preflight(origin, method, headers string) *http.Request {
	r := request(http.MethodOptions, origin)
	r.Header.Set("Access-Control-Request-Method", method)
	r.Header.Set("Access-Control-Request-Headers", headers)
	return r
}

func TestAPreflightAllowsWhatTheWiresNeed(t *testing.T) {
	t.Parallel()
	policy := cors.Policy{Origins: []string{"https://app.example.com"}}
	for _, headers := range []string{
		"authorization,content-type",
		"connect-protocol-version,connect-timeout-ms,content-type",
		"grpc-timeout,x-grpc-web,x-user-agent",
		"millrace-client,millrace-session",
		"idempotency-key",
		"last-event-id",
	} {
		response, served := answer(policy, preflight("https://app.example.com", http.MethodPost, headers))
		h := response.Header()
		if served || response.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			h.Get("Access-Control-Allow-Headers") != headers || h.Get("Access-Control-Max-Age") != "7200" {
			t.Errorf("%s: served %v, %d, %v", headers, served, response.Code, h)
		}
	}
}

func TestAPreflightAllowsNothingElse(t *testing.T) {
	t.Parallel()
	policy := cors.Policy{Origins: []string{"https://app.example.com"}}
	for _, r := range []*http.Request{
		preflight("https://app.example.com", http.MethodPost, "x-anything"),
		preflight("https://app.example.com", http.MethodDelete, ""),
	} {
		if response, served := answer(policy, r); served || response.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v: served %v, %v", r.Header, served, response.Header())
		}
	}
}

func TestEveryPageMayWithoutCookies(t *testing.T) {
	t.Parallel()
	response, served := answer(cors.Policy{Origins: []string{"*"}}, request(http.MethodGet, "https://anything.example"))
	if h := response.Header(); !served || h.Get("Access-Control-Allow-Origin") == "" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("served %v, %v", served, h)
	}
}
