package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestOperatorsSeeAndEndSessionsFromTheTerminal(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--api-keys", testAPIKey, "--secret", testSecret)
	ada := strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", "ada", "--grant", ">=subscribe,publish"))
	admin := func(args ...string) string {
		t.Helper()
		return mustCall(t, "", append([]string{"admin", "--server", url, "--token", testAPIKey}, args...)...)
	}
	reader := visitor{base: url, client: &http.Client{Transport: &http.Transport{}}, header: http.Header{"Authorization": {"Bearer " + ada}}}
	t.Cleanup(reader.client.CloseIdleConnections)
	next, err := openRPC()(t.Context(), reader, "chat.1")
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, "", "publish", "chat.1", "1", "--server", url, "--token", ada)
	if got, err := next(); got != "1" {
		t.Fatalf("%q, %v", got, err)
	}

	session := strings.Fields(admin("sessions", "--user", "ada", "--channel", "chat.1"))
	if len(session) < 6 || session[1] != "ada" || !strings.HasPrefix(session[3], "127.0.0.1:") {
		t.Fatalf("sessions: %q", session)
	}
	if got := admin("sessions", "--user", "nobody"); got != "" {
		t.Errorf("sessions of nobody: %q", got)
	}
	for _, test := range []struct{ args, want string }{
		{"node", `(?m)^may\tinspect, disconnect, revoke$`},
		{"node --json", `"allowed":\["inspect","disconnect","revoke"\]`},
		{"session " + session[0], `(?m)^subscription\tchat.1 at 1 of 1$`},
		{"session " + session[0] + " --json", `"user":"ada"`},
		{"sessions --order newest --limit 1 --json", `^\{.*"id":"` + session[0]},
		{"channels", `^chat\.1\t1\t1@\w+\t`},
		{"channels other.> --order rate", `^$`},
		{"channel chat.1", `(?m)^keeps\t100 messages, 10m0s$`},
		{"unsubscribe chat.2 --session " + session[0], `^0\n$`},
		{"disconnect --user nobody", `^0\n$`},
	} {
		if got := admin(strings.Fields(test.args)...); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%s prints %q", test.args, got)
		}
	}
	if got := admin("unsubscribe", "chat.2", "--user", "bob"); got != "0\n" {
		t.Errorf("unsubscribe prints %q", got)
	}
	if got := admin("disconnect", "--session", session[0], "--message", "good bye"); got != "1\n" {
		t.Errorf("disconnect prints %q", got)
	}
	if _, err := next(); err == nil || !strings.Contains(describe(err), "good bye") {
		t.Errorf("the session ends with %v", err)
	}
	admin("revoke", "--user", "ada")
	if r := call(t, "", "subscribe", "a", "--server", url, "--token", ada); r.code != exitFailure || !strings.Contains(r.stderr, "UNAUTHENTICATED") {
		t.Errorf("after all was revoked: %+v", r)
	}
	admin("kick", "eve", "--for", "1h")
	eve := strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", "eve", "--grant", ">=subscribe"))
	if r := call(t, "", "subscribe", "a", "--server", url, "--token", eve); r.code != exitFailure || !strings.Contains(r.stderr, "FORBIDDEN") {
		t.Errorf("who was kicked: %+v", r)
	}
	if r := call(t, "", "admin", "sessions", "--server", url, "--token", eve); r.code != exitFailure || !strings.Contains(r.stderr, "FORBIDDEN") {
		t.Errorf("without the grant: %+v", r)
	}
}

func TestAnOperatorIsToldWhatIsNotMeant(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"admin", "nothing"},
		{"admin", "disconnect"},
		{"admin", "disconnect", "--user", "a", "--session", "b"},
		{"admin", "revoke"},
		{"admin", "sessions", "--order", "size"},
		{"trace"},
	} {
		if r := call(t, "", args...); r.code != exitUsage {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// The way of one message, of one that is refused, and of one that comes twice.
func TestATraceShowsTheWayOfEachMessage(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--api-keys", testAPIKey, "--secret", testSecret)
	ada := strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", "ada", "--grant", "chat.1=subscribe,publish"))
	subscribe(t, url, "chat.1", "--token", ada)
	subscribe(t, url, "chat.*", "--token", testAPIKey)
	trace := start(t, "trace", "chat.*", "--server", url, "--token", testAPIKey, "--count", "7")
	trace.stderr.await(t, 1, "-- tracing chat.*")
	publish := func(channel string) {
		call(t, "", "publish", channel, "x", "--id", "one", "--server", url, "--token", ada)
	}
	publish("chat.1")
	trace.stdout.await(t, 4, "\n")
	publish("chat.1")
	publish("chat.2")
	publish("chat.1")
	if code := trace.wait(t); code != exitOK {
		t.Fatalf("exit code %d: %s", code, trace.stderr)
	}
	var steps []string
	for line := range strings.Lines(trace.stdout.String()) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		offset, _, _ := strings.Cut(fields[2], "@")
		about := regexp.MustCompile(`[\d.]+(µs|ms|s)\b`).ReplaceAllString(fields[4], "TIME")
		about = regexp.MustCompile(`session \w+`).ReplaceAllString(about, "session ID")
		steps = append(steps, strings.Join([]string{fields[1], offset, fields[3], about}, " "))
	}
	slices.Sort(steps[:4]) // the message is on its way while it is being placed
	want := []string{
		"chat.1 1 delivered to 2 subscriptions, by ada, id one",
		"chat.1 1 placed in TIME, by ada, over connect, id one",
		"chat.1 1 sent after TIME, by ada, over connect, session ID, id one",
		"chat.1 1 sent after TIME, by ada, over connect, session ID, id one",
		"chat.1 1 placed in TIME, a duplicate, by ada, over connect, id one",
		"chat.2 - refused the credentials do not allow publish on this channel (FORBIDDEN, channel chat.2, field channel), by ada, over connect, id one",
		"chat.1 1 placed in TIME, a duplicate, by ada, over connect, id one",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("the trace is\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
	if r := call(t, "", "trace", "chat.1", "--server", url, "--token", ada); r.code != exitFailure || !strings.Contains(r.stderr, "FORBIDDEN") {
		t.Errorf("without the grant: %+v", r)
	}
}
