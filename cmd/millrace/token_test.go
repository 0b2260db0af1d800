package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"millrace.dev/auth"
)

func TestATokenIsWhatTheServerAccepts(t *testing.T) {
	file := writeFile(t, "secret", testSecret+"\n")
	t.Setenv("MILLRACE_SECRET", "")
	for name, args := range map[string][]string{"secret": {"--secret", testSecret}, "file": {"--secret-file", file}} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"token", "--user", "ada", "--grant", "chat.>=subscribe,publish", "--grant", "a=b=history", "--ttl", "5m"}, args...)
			token := strings.TrimSpace(mustCall(t, "", args...))
			id, err := auth.Keys{Secret: []byte(testSecret)}.Authenticate(t.Context(), auth.Credentials{Token: token})
			if err != nil {
				t.Fatal(err)
			}
			if id.User != "ada" || !id.May(auth.Publish, "chat.1") || id.May(auth.History, "chat.1") || !id.May(auth.History, "a=b") {
				t.Errorf("the token says %+v", id)
			}
			if left := time.Until(id.Expires); left > 6*time.Minute || left < 4*time.Minute {
				t.Errorf("it is valid for %s", left)
			}
		})
	}
}

// A server may want tokens of an issuer, and for an audience.
func TestATokenHasTheIssuerAndTheAudience(t *testing.T) {
	keys := auth.Keys{Secret: []byte(testSecret), Issuer: "https://login.example", Audience: "millrace"}
	check := func(args ...string) {
		t.Helper()
		token := strings.TrimSpace(mustCall(t, "", append([]string{"token", "--user", "ada", "--secret", testSecret}, args...)...))
		if _, err := keys.Authenticate(t.Context(), auth.Credentials{Token: token}); err != nil {
			t.Errorf("with %q: %v", args, err)
		}
	}
	check("--issuer", keys.Issuer, "--audience", keys.Audience)
	t.Setenv("MILLRACE_ISSUER", keys.Issuer)
	t.Setenv("MILLRACE_AUDIENCE", keys.Audience)
	check()
}

// What every user may do, the configuration says.
func TestATokenNeedsNoGrant(t *testing.T) {
	t.Parallel()
	token := strings.TrimSpace(mustCall(t, "", "token", "--user", "ada", "--secret", testSecret))
	id, err := auth.Keys{Secret: []byte(testSecret)}.Authenticate(t.Context(), auth.Credentials{Token: token})
	if err != nil || id.User != "ada" || len(id.Grants) != 0 {
		t.Errorf("the token says %+v, %v", id, err)
	}
}

func TestATokenForPrograms(t *testing.T) {
	t.Setenv("MILLRACE_SECRET", testSecret)
	var got struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires"`
	}
	text := mustCall(t, "", "token", "--user", "ada", "--grant", "a=subscribe", "--json")
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Token == "" || got.Expires.Before(time.Now()) {
		t.Errorf("%s: %v", text, err)
	}
}

func TestACallThatCannotBeMeantIsAUsageError(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"token", "--user", "ada", "--grant", "chat", "--secret", testSecret},
		{"token", "--user", "ada", "--grant", "chat=read", "--secret", testSecret},
		{"token", "--user", "ada", "--grant", "chat=subscribe"},
		{"token", "--user", "", "--grant", "chat=subscribe", "--secret", testSecret},
		{"token", "--user", "ada", "--grant", "chat=subscribe", "--secret", testSecret, "--ttl", "-1h"},
		{"token", "--user", "ada", "--grant", "a=publish", "--secret", testSecret, "--secret-file", "x"},
		{"publish"},
		{"publish", "a", "b", "c"},
		{"publish", "a", "b", "--as", "xml"},
		{"publish", "a", "b", "--expect", "seven"},
		{"publish", "a", "b", "--lines"},
		{"publish", "a", "b", "--server", "localhost:8080"},
		{"subscribe"},
		{"subscribe", "a", "b", "--since", "1@x"},
		{"subscribe", "a", "--since", "1"},
		{"subscribe", "a.*", "--recent", "5"},
		{"subscribe", "a", "--recent", "5", "--since", "1@x"},
		{"history", "a", "--limit", "-1"},
		{"presence"},
		{"config", "check"},
		{"config", "prove"},
		{"serve", "now"},
		{"nonsense"},
		{"version", "--nonsense"},
	} {
		if r := call(t, "", args...); r.code != exitUsage || !strings.Contains(r.stderr, "--help") || r.stdout != "" {
			t.Errorf("%v: exit code %d: %s%s", args, r.code, r.stderr, r.stdout)
		}
	}
}
