package main

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestTheReferenceIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	if got := mustCall(t, "", "config", "reference"); got != string(committed) {
		t.Error("docs/CONFIGURATION.md is not what `millrace config reference` prints: run make generate")
	}
}

// rewrite replaces a file at once, as whoever edits one should.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestRulesKeysAndLimitsChangeWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	secret := writeFile(t, "secret", testSecret)
	file := writeFile(t, "millrace.yaml", "secret_file: "+secret+"\napi_keys: ["+testAPIKey+"]\n")
	server, url := serve(t, "--config", file)
	const otherSecret = "another secret of thirty-two bytes or more"
	token := func(secret string) string {
		return strings.TrimSpace(mustCall(t, "", "token", "--secret", secret, "--user", "ada", "--grant", ">=subscribe,publish,history"))
	}
	publish := func(token, channel string) string {
		return call(t, "", "publish", channel, "12345678", "--server", url, "--token", token).stderr
	}
	live := subscribe(t, url, "news", "--token", token(testSecret))
	if got := publish(token(testSecret), "news"); got != "" {
		t.Fatal(got)
	}
	reloaded := 0
	change := func(text string) {
		t.Helper()
		reloaded++
		rewrite(t, file, text)
		server.stderr.await(t, reloaded, `msg="the configuration was`)
	}
	change("secret_file: " + secret + "\napi_keys: [" + testAPIKey + "]\nlimits: {payload_bytes: 4}\n")
	if got := publish(testAPIKey, "news"); !strings.Contains(got, "limit 4") {
		t.Errorf("with a smaller limit: %q", got)
	}
	change("secret_file: " + secret + "\napi_keys: [" + testAPIKey + "]\nrules: [{pattern: news, history: {messages: 0}}]\n")
	if r := call(t, "", "history", "news", "--server", url, "--token", testAPIKey); !strings.Contains(r.stderr, "keeps no history") {
		t.Errorf("with another rule: %+v", r)
	}
	change("secret_file: " + secret + "\nrules: [{pattern: a..b}]\n")
	if text := server.stderr.String(); !strings.Contains(text, "not reloaded") || !strings.Contains(text, ":2: rules[0].pattern") {
		t.Errorf("a file that does not check: %s", text)
	}
	if got := publish(testAPIKey, "news"); got != "" {
		t.Errorf("after a file that does not check: %s", got)
	}
	change("secret_file: " + secret + "\napi_keys: [another key for the tests]\nlisten: 127.0.0.1:1\n")
	if got := publish(testAPIKey, "news"); !strings.Contains(got, "UNAUTHENTICATED") {
		t.Errorf("with a key that was taken out: %q", got)
	}
	if text := server.stderr.String(); strings.Contains(text, "count after a restart") { // the flag is in force, not the file
		t.Errorf("%s", text)
	}
	old, reloadedBefore := token(testSecret), reloaded
	rewrite(t, secret, otherSecret)
	server.stderr.await(t, reloadedBefore+1, `msg="the configuration was`)
	if got := publish(old, "news"); !strings.Contains(got, "UNAUTHENTICATED") {
		t.Errorf("with the old secret: %q", got)
	}
	if got := publish(token(otherSecret), "news"); got != "" {
		t.Errorf("with the new secret: %s", got)
	}
	live.stdout.await(t, 3, "news\t")
	if strings.Contains(live.stderr.String(), "has ended") {
		t.Errorf("the session that was open: %s", live.stderr)
	}
}

func TestAHangupReloadsAndSaysWhatNeedsARestart(t *testing.T) {
	file := writeFile(t, "millrace.yaml", "")
	server, url := serve(t, "--config", file)
	rewrite(t, file, "origins: ['https://app.example.com']\n")
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	server.stderr.await(t, 1, "count after a restart")
	if !strings.Contains(server.stderr.String(), "settings=[origins]") {
		t.Errorf("%s", server.stderr)
	}
	if _, got := do(t, &http.Transport{}, newRequest(t, url+"/readyz")); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
}
