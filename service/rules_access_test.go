package service_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// may is a grant of some actions.
func may(pattern string, actions ...auth.Action) auth.Grant {
	return auth.Grant{Pattern: pattern, Actions: actions}
}

func TestA3ATicketStandsForItsMakerOnceWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		amy := as(t.Context(), n.amysToken(time.Hour, may("chat.>", auth.Subscribe), may("user.{user}.>", auth.Subscribe)))
		issue := func(request *millracev1.CreateTicketRequest) string {
			t.Helper()
			response, err := n.rpc.CreateTicket(amy, request)
			if err != nil {
				t.Fatal(err)
			}
			return response.GetTicket()
		}
		open := func(ticket, origin string, names ...string) *client {
			t.Helper()
			return n.openAs(map[string]string{service.HeaderTicket: ticket, "Origin": origin}, names...)
		}
		ticket := issue(&millracev1.CreateTicketRequest{})
		c := open(ticket, "", "chat.1", "user.amy.x")
		if c.failure() != nil || c.ready().GetUser() != "amy" {
			t.Fatal(c.failure())
		}
		open(ticket, "", "chat.1").ends("UNAUTHENTICATED")
		bound := func() string {
			return issue(&millracev1.CreateTicketRequest{Channels: []string{"chat.1"}, Origin: "https://App.example"})
		}
		if c := open(bound(), "https://app.example", "chat.1"); c.failure() != nil {
			t.Error(c.failure())
		}
		open(bound(), "https://app.example", "chat.2").ends("FORBIDDEN")
		open(bound(), "https://evil.example", "chat.1").ends("UNAUTHENTICATED")
		open(bound(), "", "chat.1").ends("UNAUTHENTICATED")
		late := bound()
		time.Sleep(30 * time.Second)
		open(late, "https://app.example", "chat.1").ends("UNAUTHENTICATED")
		for _, request := range []*millracev1.CreateTicketRequest{
			{Ttl: durationpb.New(time.Hour)}, {Ttl: durationpb.New(0)}, {Origin: "a\nb"}, {Channels: []string{"a b"}},
		} {
			if _, err := n.rpc.CreateTicket(amy, request); err == nil {
				t.Errorf("%v is accepted", request)
			}
		}
	})
}

// openAs opens a session with headers and subscriptions.
func (n *node) openAs(headers map[string]string, names ...string) *client {
	n.t.Helper()
	request := &millracev1.SubscribeRequest{}
	for _, name := range names {
		request.Subscriptions = append(request.Subscriptions, to(name))
	}
	c := n.dialWith(headers, request)
	synctest.Wait()
	return c
}

// inboxes is a configuration of inboxes and nothing else.
func inboxes() service.Config {
	return service.Config{Rules: []service.Rule{{Pattern: "user.*.messages", Inbox: true, History: engine.Retention{Messages: 100, Age: time.Hour}}}}
}

func TestA7AnInboxIsItsOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inboxes())
		none := may("nothing", auth.Subscribe)
		amy, bob := as(t.Context(), n.token("amy", none)), as(t.Context(), n.token("bob", none))
		name := "user.amy.messages"
		send := func(ctx context.Context, data string) {
			t.Helper()
			if _, err := n.rpc.Publish(ctx, text(name, data)); err != nil {
				t.Fatal(err)
			}
		}
		open := func(user string) *client {
			return n.openWith(n.token(user, none), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{recent(name, 100)}})
		}
		send(bob, "early, from bob")
		send(amy, "a note to myself")
		owner, sender, third := open("amy"), open("bob"), open("cid")
		send(bob, "from bob")
		send(as(t.Context(), n.token("cid", none)), "from cid")
		if got := textsOf(owner); !slices.Equal(got, []string{"early, from bob", "a note to myself", "from bob", "from cid"}) {
			t.Errorf("the owner reads %q", got)
		}
		if got := textsOf(sender); !slices.Equal(got, []string{"early, from bob", "from bob"}) {
			t.Errorf("the sender reads %q", got)
		}
		if got := textsOf(third); !slices.Equal(got, []string{"from cid"}) {
			t.Errorf("the third reads %q", got)
		}
		for ctx, want := range map[context.Context]int{amy: 4, bob: 2} {
			page, err := n.rpc.History(ctx, &millracev1.HistoryRequest{Channel: name})
			if err != nil || len(page.GetMessages()) != want {
				t.Errorf("history has %d messages, want %d: %v", len(page.GetMessages()), want, err)
			}
		}
		// More than that needs a grant.
		for what, err := range map[string]error{
			"who is present":   failure(n.rpc.Presence(bob, &millracev1.PresenceRequest{Channel: name})),
			"all inboxes":      n.openWith(n.token("bob", none), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("user.*.messages")}}).failure(),
			"all of a user":    n.openWith(n.token("bob", none), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("user.amy.>")}}).failure(),
			"another channel":  failure(n.rpc.Publish(bob, text("user.amy.other", "x"))),
			"a longer name":    failure(n.rpc.Publish(bob, text("user.amy.messages.x", "x"))),
			"a user with dots": failure(n.rpc.History(as(t.Context(), n.token("amy.messages", none)), &millracev1.HistoryRequest{Channel: "user.amy.x"})),
		} {
			if err == nil {
				t.Errorf("%s: allowed", what)
				continue
			}
			refused(t, err, "FORBIDDEN")
		}
		if all := n.subscribe(to(name)); all.failure() != nil {
			t.Error(all.failure())
		}
	})
}

// textsOf are the texts that a client has read.
func textsOf(c *client) []string {
	synctest.Wait()
	var texts []string
	for _, i := range c.all() {
		if i.frame.Message != nil {
			texts = append(texts, string(i.frame.Message.Payload.Data))
		}
	}
	return texts
}

func TestA9DecisionsAreInTheDebugLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		config := keeping(10)
		config.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		n := start(t, config)
		_, err := n.rpc.Publish(as(t.Context(), n.token("amy", may("chat.*", auth.Subscribe))), text("chat.1", "x"))
		refused(t, err, "FORBIDDEN")
		for _, part := range []string{"msg=decision", "user=amy", "action=publish", "channel=chat.1", "allowed=false", "covers chat.1, but does not allow publish"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log has no %q: %s", part, &log)
			}
		}
	})
}

func TestA9TheExplanationIsTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := inboxes()
		config.Rules = append(config.Rules, service.Rule{Pattern: "quiet.>", NoPresence: true}, service.Rule{Pattern: "single.>", NoPatterns: true, History: engine.Retention{Messages: 1}})
		n := start(t, config)
		grants := []auth.Grant{may("chat.*", auth.Subscribe, auth.Publish), may("quiet.>", auth.Watch, auth.History), may("single.>", auth.Subscribe)}
		amy := as(t.Context(), n.token("amy", grants...))
		for _, test := range []struct {
			action auth.Action
			name   string
			want   bool
			call   func(name string) error
		}{
			{auth.Publish, "chat.1", true, func(name string) error { return failure(n.rpc.Publish(amy, text(name, "x"))) }},
			{auth.Publish, "other", false, func(name string) error { return failure(n.rpc.Publish(amy, text(name, "x"))) }},
			{auth.Publish, "user.bob.messages", true, func(name string) error { return failure(n.rpc.Publish(amy, text(name, "x"))) }},
			{auth.History, "user.bob.messages", true, func(name string) error {
				return failure(n.rpc.History(amy, &millracev1.HistoryRequest{Channel: name}))
			}},
			{auth.History, "quiet.x", false, func(name string) error {
				return failure(n.rpc.History(amy, &millracev1.HistoryRequest{Channel: name}))
			}},
			{auth.Watch, "quiet.x", false, func(name string) error {
				return failure(n.rpc.Presence(amy, &millracev1.PresenceRequest{Channel: name}))
			}},
			{auth.Subscribe, "single.*", false, func(name string) error {
				return failure(n.rpc.GetPositions(amy, &millracev1.GetPositionsRequest{Channels: []string{name}}))
			}},
			{auth.Subscribe, "single.x", true, func(name string) error {
				return failure(n.rpc.GetPositions(amy, &millracev1.GetPositionsRequest{Channels: []string{name}}))
			}},
			{auth.Subscribe, "a b", false, func(name string) error {
				return failure(n.rpc.GetPositions(amy, &millracev1.GetPositionsRequest{Channels: []string{name}}))
			}},
		} {
			allowed, why := config.Explain(auth.Identity{User: "amy", Grants: grants}, test.action, test.name)
			if allowed != test.want || len(why) == 0 {
				t.Errorf("%s %s: %v %q", test.action, test.name, allowed, why)
			}
			if err := test.call(test.name); (err == nil) != test.want {
				t.Errorf("%s %s: explained as %v, and the call says %v", test.action, test.name, allowed, err)
			}
		}
	})
}
