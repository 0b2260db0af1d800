package service_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// life is a session of amy's, who is present in channel a and subscribed to log,
// which keeps its messages, and live, which does not.
type life struct {
	t      *testing.T
	n      *node
	c      *client
	gate   chan struct{} // credentials are checked once it is closed
	token  string
	sink   bool // the stream is one that never blocks
	was    bool // present before the event
	said   string
	heir   *client // a session that wanted to take it over
	opened bool
}

// gated is an authenticator that takes its time.
type gated struct {
	auth.Authenticator
	gate <-chan struct{}
}

func (g gated) Authenticate(ctx context.Context, credentials auth.Credentials) (auth.Identity, error) {
	select {
	case <-g.gate:
		return g.Authenticator.Authenticate(ctx, credentials)
	case <-ctx.Done():
		return auth.Identity{}, context.Cause(ctx)
	}
}

// begin makes a session that is being opened.
func begin(t *testing.T, sink bool, names ...string) *life {
	t.Helper()
	l := &life{t: t, gate: make(chan struct{}), sink: sink}
	keys := auth.Keys{Secret: []byte(strings.Repeat("secret", 6)), APIKeys: []string{"an-administrators-key"}, Anonymous: []auth.Grant{auth.Everything}}
	l.n = start(t, service.Config{
		Authenticator: gated{keys, l.gate},
		Rules:         []service.Rule{{Pattern: "live"}, {Pattern: ">", History: engine.Retention{Messages: 100}}},
		Limits:        service.Limits{PendingBytes: budget, WriteTimeout: time.Minute},
	})
	token, err := l.n.keys.Sign("amy", []auth.Grant{auth.Everything}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l.token = token
	request := &millracev1.SubscribeRequest{}
	for _, name := range names {
		request.Subscriptions = append(request.Subscriptions, to(name))
	}
	l.c = l.dial(request)
	synctest.Wait()
	return l
}

func (l *life) dial(request *millracev1.SubscribeRequest) *client {
	if l.sink {
		return l.n.dialSink(l.token, request)
	}
	return l.n.dial(l.token, request)
}

// reach are the ways into each state, from that of the line before.
var reach = []struct {
	state string
	by    func(*life)
}{
	{"opening", func(*life) {}},
	{"open", func(l *life) {
		l.accept()
		l.c.enter("a", "x")
		l.was, l.opened = true, true
	}},
	{"stalled", func(l *life) {
		l.c.stall()
		l.n.publish("log", "plug")
	}},
	{"lingering", func(l *life) { l.c.lose() }},
	{"gone", func(l *life) {
		time.Sleep(16 * time.Second)
		l.was = false
	}},
}

func (l *life) accept() {
	close(l.gate)
	synctest.Wait()
}

// sessionEvents are what may happen to a session, by the words of the table in
// docs/PROTOCOL.md, and the states in which it can.
var sessionEvents = map[string]struct {
	in    string
	cause func(*life)
}{
	"the call is accepted":              {"opening", (*life).accept},
	"the call is refused":               {"opening", func(*life) {}}, // see openingRefused
	"a message or notice":               {"open stalled lingering gone", (*life).receive},
	"a command":                         {"open stalled lingering gone", (*life).command},
	"the client takes nothing for 10 s": {"stalled", func(*life) { time.Sleep(80 * time.Second) }},
	"the client reads again":            {"stalled", func(*life) {}},
	"slow without history":              {"stalled", func(l *life) { l.n.flood("live", 100) }},
	"the client says that it leaves":    {"opening open stalled", (*life).leave},
	"the connection is lost":            {"opening open stalled", func(l *life) { l.c.lose() }},
	"its time is over":                  {"open stalled", (*life).expire},
	"its credentials are revoked":       {"open stalled lingering gone", (*life).revoke},
	"an administrator disconnects it":   {"open stalled lingering gone", (*life).disconnect},
	"another connection has its token":  {"open stalled lingering gone", (*life).takeOver},
	"the server drains":                 {"opening open stalled lingering gone", (*life).drain},
	"15 s pass without a connection":    {"lingering gone", func(*life) { time.Sleep(16 * time.Second) }},
}

func (l *life) receive() {
	l.n.publish("log", "something")
	synctest.Wait()
	took := func() bool {
		return slices.ContainsFunc(inWords(l.c.all()), func(line string) bool { return strings.HasSuffix(line, " something") })
	}
	l.said = "missed"
	if took() {
		l.said = "sent"
	}
	l.goOn()
	if l.said == "missed" && took() {
		l.said = "waits"
	}
}

func (l *life) command() {
	ctx := as(l.c.ctx(), l.token)
	response, err := l.n.rpc.UpdateSubscription(withSession(ctx, l.c), &millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{to("more")}})
	l.said = "answered"
	if err != nil {
		l.said = reasonOf(service.ErrorInfo(err))
	} else if len(response.GetSubscribed()) != 1 {
		l.t.Errorf("answered %v", response)
	}
}

func withSession(ctx context.Context, c *client) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set(service.HeaderSession, c.ready().GetSessionToken())
	return ctx
}

// expire waits until the token has expired, by clocks that differ.
func (l *life) expire() { time.Sleep(32 * time.Second) }

// leave says so: on a browser wire as the connection ends, on others before.
func (l *life) leave() {
	if l.sink {
		l.c.leave()
		return
	}
	if l.opened {
		l.c.quit()
	}
	l.c.lose()
}

func (l *life) revoke() {
	if _, err := l.n.admin.Revoke(as(l.t.Context(), l.n.keys.APIKeys[0]), &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "amy"}}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) disconnect() {
	request := &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_User{User: "amy"}}
	if _, err := l.n.admin.Disconnect(as(l.t.Context(), l.n.keys.APIKeys[0]), request); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) takeOver() {
	l.heir = l.dial(&millracev1.SubscribeRequest{SessionToken: l.c.ready().GetSessionToken()})
}

func (l *life) drain() {
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Second)
	drained := make(chan struct{})
	go func() {
		_ = l.n.Drain(ctx, time.Second) // a client that takes nothing is not waited for
		close(drained)
	}()
	synctest.Wait()
	l.goOn()
	cancel()
	<-drained
}

// goOn lets a client that was stalled read, and one that is being opened come in.
func (l *life) goOn() {
	select {
	case <-l.gate:
	default:
		close(l.gate)
	}
	if l.opened {
		l.c.goOn()
	}
	synctest.Wait()
}

// outcome is what has become of the session, in the words of the table.
func (l *life) outcome() string {
	if l.said != "" {
		return l.said
	}
	synctest.Wait()
	l.goOn()
	var words []string
	if reason := l.reason(); reason != "" {
		words = append(words, reason)
	}
	words = append(words, l.state())
	return strings.Join(words, ", ")
}

func (l *life) reason() string {
	err := l.c.failure()
	switch {
	case err == nil, errors.Is(err, errLost), errors.Is(err, service.ErrLeft):
		return ""
	case errors.Is(err, errCut):
		return "cut"
	}
	return reasonOf(service.ErrorInfo(err))
}

func (l *life) isPresent() bool {
	server, _ := l.n.present("a")
	return strings.HasPrefix(server.String(), "amy=")
}

// state is that of the session now.
func (l *life) state() string {
	switch {
	case l.c.failure() == nil:
		return "open"
	case l.heir != nil && l.heir.failure() == nil && l.heir.ready().GetSession() == l.c.ready().GetSession():
		return "taken over"
	case !l.was:
		return "gone"
	case !l.isPresent():
		return "gone, and absent at once"
	}
	time.Sleep(20 * time.Second)
	if l.isPresent() {
		return "gone, still present"
	}
	return "lingering"
}

// sessionTable is the table of docs/PROTOCOL.md: outcomes, by event and state.
func sessionTable(t *testing.T) (states []string, table map[string]map[string]string) {
	t.Helper()
	document, err := os.ReadFile("../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## Sessions\n")
	table = map[string]map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case strings.HasPrefix(cells[0], "event"):
			states = cells[1:]
		case len(states) > 0 && len(cells) == len(states)+1 && !strings.HasPrefix(cells[0], "-"):
			row := map[string]string{}
			for i, state := range states {
				row[state] = cells[i+1]
			}
			table[cells[0]] = row
		case len(table) > 0:
			return states, table
		}
	}
	return states, table
}

func TestN6EveryEventInEveryStateOfASession(t *testing.T) {
	states, table := sessionTable(t)
	if len(states) != len(reach) || len(table) != len(sessionEvents) {
		t.Fatalf("the document has %d events in the states %q; the test has %d", len(table), states, len(sessionEvents))
	}
	for name, event := range sessionEvents {
		for i := range reach {
			state := reach[i].state
			want := table[name][state]
			if want == "" {
				t.Errorf("the document does not say what becomes of a session that is %s when %s", state, name)
			}
			if slices.Contains(strings.Fields(event.in), state) != (want != "–") {
				t.Errorf("%s, %s: the document says %q", name, state, want)
				continue
			}
			for _, sink := range []bool{false, true} {
				if want == "–" {
					continue
				}
				t.Run(name+"/"+state, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						names := []string{"log", "live"}
						if name == "the call is refused" {
							names = []string{"a..b"}
						}
						l := begin(t, sink, names...)
						for _, step := range reach[:i+1] {
							step.by(l)
							synctest.Wait()
						}
						event.cause(l)
						if got := l.outcome(); got != want {
							t.Errorf("sink %v: it is %q, and the document says %q", sink, got, want)
						}
					})
				})
			}
		}
	}
}
