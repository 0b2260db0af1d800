package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// knock sends a request of a browser to a wire, and returns the status: 200 or
// 101 if it opens.
func (f *fortress) knock(path string, header http.Header) int {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	method, body := http.MethodGet, ""
	if strings.HasPrefix(path, "/ws") {
		header = header.Clone()
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			header.Set(name, value)
		}
	}
	if strings.HasPrefix(path, "/millrace.") || strings.HasPrefix(path, "/publish") {
		method, body = http.MethodPost, `{"channel":"chat.1"}`
		header = header.Clone()
		header.Set("Content-Type", "application/json")
	}
	r, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	r.Header = header
	response, err := f.h1.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

var browserPaths = []string{"/ws", "/events?channel=chat.1", "/history/chat.1", "/presence/chat.1", "/publish/chat.1", "/millrace.v1.RealtimeService/Publish"}

func TestA2ACookieCountsFromExactOriginsOnly(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	cookie := "millrace_token=" + f.good("ada", auth.Everything)
	for _, path := range browserPaths {
		for _, test := range []struct {
			name   string
			header http.Header
			want   string
		}{
			{"from the server's own page", http.Header{"Origin": {f.url}}, "opens"},
			{"from a page that the browser says is of the same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "opens"},
			{"from a program", http.Header{}, "opens"},
			{"from another page of this machine", http.Header{"Origin": {"http://localhost:3000"}}, "401"},
			{"from a page that the browser says is of another site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, "401"},
			{"from a page that the browser says is of the same site", http.Header{"Sec-Fetch-Site": {"same-site"}}, "401"},
			{"from a page of a stranger", http.Header{"Origin": {"https://evil.example"}}, "403"},
			{"from a page of nobody", http.Header{"Origin": {"null"}}, "403"},
			{"from a page that looks like the server's", http.Header{"Origin": {f.url + ".evil.example"}}, "403"},
		} {
			test.header.Set("Cookie", cookie)
			got := fmt.Sprint(f.knock(path, test.header))
			if got == "200" || got == "101" {
				got = "opens"
			}
			if got != test.want {
				t.Errorf("%s with a cookie %s: %s, want %s", path, test.name, got, test.want)
			}
		}
	}
}

func TestA2ATokenInAURLNeverCounts(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	for _, path := range browserPaths {
		for _, name := range []string{"token", "access_token", "jwt", "authorization", "Authorization", "bearer", "auth", "millrace_token", "ticket"} {
			separator := "?"
			if strings.Contains(path, "?") {
				separator = "&"
			}
			target := path + separator + name + "=" + url.QueryEscape(f.good("ada", auth.Everything))
			if got := f.knock(target, http.Header{}); got != http.StatusUnauthorized {
				t.Errorf("%s with the token as ?%s=: %d", path, name, got)
			}
		}
	}
}

func TestA3ATicketOpensEachBrowserWireOnce(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	token := f.good("ada", auth.Everything)
	for _, path := range browserPaths {
		isRPC := strings.HasPrefix(path, "/millrace.")
		use := func(ticket, origin string) int {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			if isRPC {
				header.Set(service.HeaderTicket, ticket)
				return f.knock(path, header)
			}
			target, _ := url.Parse(path)
			query := target.Query()
			query.Set("ticket", ticket)
			target.RawQuery = query.Encode()
			return f.knock(target.String(), header)
		}
		ticket := f.ticket(token, &millracev1.CreateTicketRequest{})
		if got := use(ticket, ""); got != http.StatusOK && got != http.StatusSwitchingProtocols {
			t.Errorf("%s with a ticket: %d", path, got)
		}
		if got := use(ticket, ""); got != http.StatusUnauthorized {
			t.Errorf("%s with a ticket that was used: %d", path, got)
		}
		bound := f.ticket(token, &millracev1.CreateTicketRequest{Origin: f.url})
		if got := use(bound, "http://localhost:3000"); got != http.StatusUnauthorized {
			t.Errorf("%s with a ticket of another origin: %d", path, got)
		}
	}
	bound := f.ticket(token, &millracev1.CreateTicketRequest{Channels: []string{"chat.1"}})
	if got := f.knock("/events?channel=chat.2&ticket="+bound, http.Header{}); got != http.StatusForbidden {
		t.Errorf("a ticket for another channel: %d", got)
	}
}
