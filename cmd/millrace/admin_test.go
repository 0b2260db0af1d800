package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// operate starts a server with an address for operators, and returns both URLs.
func operate(t *testing.T, args ...string) (server *process, url, admin string) {
	t.Helper()
	p, url := serve(t, append([]string{"--admin-listen", "127.0.0.1:0"}, args...)...)
	found := regexp.MustCompile(`operators: (\S+)`).FindStringSubmatch(p.stderr.String())
	if found == nil {
		t.Fatalf("no address for operators in %s", p.stderr)
	}
	return p, url, found[1]
}

func TestOnlyOperatorsSeeTheInsideOfTheServer(t *testing.T) {
	t.Parallel()
	_, main, admin := operate(t, "--api-keys", testAPIKey, "--secret", testSecret, "--origins", "https://app.example.com")
	token := func(actions string) string {
		return strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", "ada", "--grant", ">="+actions))
	}
	user, operator := token("subscribe,publish,presence,watch,history"), token("admin")
	for _, test := range []struct {
		name, url, path, token, origin string
		want                           int
	}{
		{"profiles on the main address", main, "/debug/pprof/", testAPIKey, "", http.StatusNotFound},
		{"profiles of nobody", admin, "/debug/pprof/heap", "", "", http.StatusUnauthorized},
		{"profiles of a user", admin, "/debug/pprof/heap", user, "", http.StatusForbidden},
		{"profiles with a forged token", admin, "/debug/pprof/heap", user + "x", "", http.StatusUnauthorized},
		{"profiles of a backend", admin, "/debug/pprof/heap", testAPIKey, "", http.StatusOK},
		{"profiles of an operator", admin, "/debug/pprof/", operator, "", http.StatusOK},
		{"the command line, which may have a secret", admin, "/debug/pprof/cmdline", testAPIKey, "", http.StatusNotFound},
		{"health", admin, "/healthz", "", "", http.StatusOK},
		{"readiness", admin, "/readyz", "", "", http.StatusOK},
		{"what the main address has", admin, "/history/a", testAPIKey, "", http.StatusOK},
		{"what the main address refuses", admin, "/history/a", "", "", http.StatusUnauthorized},
		{"a page of its own", admin, "/history/a", testAPIKey, admin, http.StatusOK},
		{"a page that the main address allows", admin, "/history/a", testAPIKey, "https://app.example.com", http.StatusForbidden},
		{"a page of the main address", admin, "/history/a", testAPIKey, main, http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			request := newRequest(t, test.url+test.path)
			if test.token != "" {
				request.Header.Set("Authorization", "Bearer "+test.token)
			}
			if test.origin != "" {
				request.Header.Set("Origin", test.origin)
			}
			if _, got := do(t, &http.Transport{}, request); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

// A page whose host name is made to resolve to loopback is of the server's own
// origin, and still a stranger's.
func TestAnOpenServerShowsItsInsideToThisMachineOnly(t *testing.T) {
	t.Parallel()
	_, _, admin := operate(t)
	request := newRequest(t, admin+"/debug/pprof/")
	if _, got := do(t, &http.Transport{}, request); got != http.StatusOK {
		t.Errorf("this machine: status %d", got)
	}
	request = newRequest(t, admin+"/debug/pprof/")
	request.Host = "evil.example.com"
	if _, got := do(t, &http.Transport{}, request); got != http.StatusMisdirectedRequest {
		t.Errorf("a name of a stranger: status %d", got)
	}
}

func TestTheAddressOfOperatorsHasTLSButForLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, ":1": true, "192.0.2.1:1": true} {
		c := config{AdminListen: address, TLSCert: "cert.pem"}
		if got := c.adminIsSecure(); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestAnAddressThatIsTakenIsSaid(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	taken := url[len("http://"):]
	for name, args := range map[string][]string{
		"the main one":         {"--listen", taken},
		"the one of operators": {"--listen", "127.0.0.1:0", "--admin-listen", taken},
	} {
		if r := call(t, "", append([]string{"serve"}, args...)...); r.code != exitFailure || !regexp.MustCompile("listen: .*address already in use").MatchString(r.stderr) {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
}
