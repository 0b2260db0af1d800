package service_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// may is a grant of some actions.
func may(pattern string, actions ...auth.Action) auth.Grant {
	return auth.Grant{Pattern: pattern, Actions: actions}
}

// amysToken signs a token that is good for so long.
func (n *node) amysToken(ttl time.Duration, grants ...auth.Grant) string {
	n.t.Helper()
	token, err := n.keys.Sign("amy", grants, ttl)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

// refresh gives a session a new token.
func (c *client) refresh(token string) error {
	_, err := c.node.rpc.RefreshToken(c.node.t.Context(), &millracev1.RefreshTokenRequest{SessionToken: c.ready().GetSessionToken(), Token: token})
	return err
}

func TestA4ASessionEndsWhenNobodyRefreshesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.openWith(n.amysToken(time.Minute, auth.Everything), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}})
		if ends := c.ready().GetExpireTime().AsTime(); !ends.Equal(time.Now().Add(90 * time.Second)) {
			t.Errorf("ready says that the credentials expire at %v", ends)
		}
		time.Sleep(89 * time.Second)
		synctest.Wait()
		if err := c.failure(); err != nil {
			t.Errorf("ended early: %v", err)
		}
		time.Sleep(time.Second)
		if info := c.ends("EXPIRED"); info.GetRetryAfter() == nil {
			t.Errorf("%v does not say when to come back", info)
		}
	})
}

func TestA4ARefreshedSessionGoesOnAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		c := n.openWith(n.amysToken(time.Minute, auth.Everything), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}})
		for i := range 300 {
			n.publish("a", "x")
			time.Sleep(time.Second)
			if i%50 == 49 {
				if err := c.refresh(n.amysToken(time.Minute, auth.Everything)); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if got, _ := offsets(c); !slices.Equal(got, upTo(1, 300)) || c.failure() != nil {
			t.Errorf("took %d messages in 300 s: %v", len(got), c.failure())
		}
	})
}

func TestA4ARefreshMayShortenASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribeAs("amy", to("a"))
		if err := c.refresh(n.amysToken(time.Second, auth.Everything)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		c.ends("EXPIRED")
	})
}

func TestA4ARefreshNeedsGoodCredentialsOfTheSameUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribeAs("amy", to("a"))
		late := n.amysToken(time.Second, auth.Everything)
		time.Sleep(time.Minute)
		for name, test := range map[string]struct{ token, reason string }{
			"of another user": {n.token("bob"), "FORBIDDEN"},
			"an API key":      {n.keys.APIKeys[0], "FORBIDDEN"},
			"expired":         {late, "UNAUTHENTICATED"},
			"forged":          {"x", "UNAUTHENTICATED"},
			"empty":           {"", "INVALID_REQUEST"},
		} {
			if got := reasonOf(refusedInfo(c.refresh(test.token))); got != test.reason {
				t.Errorf("a token %s: %s, want %s", name, got, test.reason)
			}
		}
		_, err := n.rpc.RefreshToken(t.Context(), &millracev1.RefreshTokenRequest{SessionToken: "x", Token: n.token("amy")})
		refused(t, err, "SESSION_NOT_FOUND")
		n.publish("a", "still here")
		c.takes("subscribed a/0", "heartbeat", "heartbeat", "heartbeat", "heartbeat", "a/1 still here")
	})
}

func refusedInfo(err error) *millracev1.ErrorInfo {
	if err == nil {
		return nil
	}
	return service.ErrorInfo(err)
}

func TestA4WhatNewCredentialsDoNotAllowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribeAs("amy", to("a"), &millracev1.Subscription{Channel: "b", Presence: true}, to("c"))
		if _, err := n.rpc.EnterPresence(c.ctx(), &millracev1.EnterPresenceRequest{Channel: "a"}); err != nil {
			t.Fatal(err)
		}
		c.fresh()
		if err := c.refresh(n.amysToken(time.Hour, may("a", auth.Subscribe), may("b", auth.Subscribe))); err != nil {
			t.Fatal(err)
		}
		c.takes("unsubscribed c FORBIDDEN")
		n.publish("a", "1")
		n.publish("b", "2")
		n.publish("c", "3")
		got := c.news()
		slices.Sort(got)
		if !slices.Equal(got, []string{"a/1 1", "b/1 2"}) {
			t.Errorf("took %q", got)
		}
		here, err := n.rpc.Presence(t.Context(), &millracev1.PresenceRequest{Channel: "a"})
		if err != nil || here.GetTotal() != 0 {
			t.Errorf("still present: %v, %v", here, err)
		}
	})
}

func TestA5RevocationEndsLiveSessionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		admin := as(t.Context(), n.keys.APIKeys[0])
		amy, bob := n.token("amy"), n.token("bob")
		open := func(token string) *client {
			return n.openWith(token, &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}})
		}
		first, second, other := open(amy), open(n.token("amy")), open(bob)
		stuck := open(amy)
		stuck.stall()
		n.publish("a", "x")
		ticket, err := n.rpc.CreateTicket(as(t.Context(), amy), &millracev1.CreateTicketRequest{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		response, err := n.admin.Revoke(admin, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "amy"}})
		if err != nil || response.GetSessions() != 3 {
			t.Errorf("%v, %v", response, err)
		}
		for _, c := range []*client{first, second} {
			c.ends("UNAUTHENTICATED")
		}
		<-stuck.over // the client that does not read is cut
		if waited := time.Since(began); waited >= time.Second {
			t.Errorf("took %v", waited)
		}
		if err := other.failure(); err != nil {
			t.Errorf("another user's session: %v", err)
		}
		_, err = n.rpc.Publish(as(t.Context(), amy), text("a", "x"))
		refused(t, err, "UNAUTHENTICATED")
		withTicket, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set(service.HeaderTicket, ticket.GetTicket())
		_, err = n.rpc.Publish(withTicket, text("a", "x"))
		refused(t, err, "UNAUTHENTICATED")
		time.Sleep(time.Second)
		if c := open(n.token("amy")); c.failure() != nil {
			t.Errorf("a token issued later: %v", c.failure())
		}
	})
}

func TestA5OneTokenIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		one, two := n.token("amy"), n.token("amy")
		id, err := n.keys.Authenticate(t.Context(), auth.Credentials{Token: one})
		if err != nil || id.TokenID == "" {
			t.Fatal(id, err)
		}
		a, b := n.openWith(one, &millracev1.SubscribeRequest{}), n.openWith(two, &millracev1.SubscribeRequest{})
		admin := as(t.Context(), n.keys.APIKeys[0])
		response, err := n.admin.Revoke(admin, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: id.TokenID}, Remember: durationpb.New(time.Hour)})
		if err != nil || response.GetSessions() != 1 {
			t.Errorf("%v, %v", response, err)
		}
		a.ends("UNAUTHENTICATED")
		if err := b.failure(); err != nil {
			t.Error(err)
		}
		refused(t, b.refresh(one), "UNAUTHENTICATED")
		for name, request := range map[string]*millracev1.RevokeRequest{
			"nobody":   {},
			"no time":  {Target: &millracev1.RevokeRequest_User{User: "x"}, Remember: durationpb.New(-1)},
			"for ever": {Target: &millracev1.RevokeRequest_User{User: "x"}, Remember: durationpb.New(1e4 * time.Hour)},
		} {
			_, err := n.admin.Revoke(admin, request)
			if got := reasonOf(refusedInfo(err)); got != "INVALID_REQUEST" {
				t.Errorf("%s: %s", name, got)
			}
		}
		_, err = n.admin.Revoke(as(t.Context(), n.token("amy", may("a", auth.Subscribe))), &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "bob"}})
		refused(t, err, "FORBIDDEN")
	})
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

// application decides in place of grants.
type application struct {
	mu     sync.Mutex
	asked  []*millracev1.AuthorizeRequest
	decide func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error)
}

func (a *application) Authorize(ctx context.Context, request *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
	a.mu.Lock()
	a.asked = append(a.asked, request)
	decide := a.decide
	a.mu.Unlock()
	return decide(ctx, request)
}

func (a *application) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func (a *application) will(decide func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.decide = decide
}

// client calls the application.
func (a *application) client() millracev1connect.AuthorizerServiceClient {
	server := connect.NewServer()
	millracev1connect.RegisterAuthorizerServiceHandler(server, a)
	return millracev1connect.NewAuthorizerServiceClient(connect.NewClient(connectinprocess.New(server)))
}

func startAsking(t *testing.T, a *application) *node {
	t.Helper()
	config := keeping(10)
	config.Authorizer = service.Authorizer{Client: a.client()}
	return start(t, config)
}

func TestA8TheApplicationDecidesWhatGrantsDoNotAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{decide: func(_ context.Context, r *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			if strings.HasSuffix(r.GetChannel(), ".never") {
				return &millracev1.AuthorizeResponse{Error: &millracev1.ErrorInfo{Message: "pay first"}}, nil
			}
			return &millracev1.AuthorizeResponse{Allowed: r.GetUser() == "amy" && r.GetAction() == millracev1.Action_ACTION_PUBLISH}, nil
		}}
		n := startAsking(t, a)
		amy := as(t.Context(), n.token("amy", may("granted", auth.Publish)))
		if _, err := n.rpc.Publish(amy, text("granted", "x")); err != nil || a.count() != 0 {
			t.Errorf("what is granted: %v, asked %d times", err, a.count())
		}
		for range 10 {
			if _, err := n.rpc.Publish(amy, text("asked", "x")); err != nil {
				t.Fatal(err)
			}
		}
		if a.count() != 1 {
			t.Errorf("asked %d times", a.count())
		}
		_, err := n.rpc.History(amy, &millracev1.HistoryRequest{Channel: "asked"})
		refused(t, err, "FORBIDDEN")
		_, err = n.rpc.Publish(amy, text("x.never", "x"))
		if info := refused(t, err, "FORBIDDEN"); info.GetMessage() != "pay first" || info.GetChannel() != "x.never" {
			t.Errorf("refused with %v", info)
		}
		time.Sleep(5 * time.Second)
		if _, err := n.rpc.Publish(amy, text("asked", "x")); err != nil || a.count() != 4 {
			t.Errorf("after the cache: %v, asked %d times", err, a.count())
		}
		// Administration is never the application's to give.
		a.will(func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			return &millracev1.AuthorizeResponse{Allowed: true}, nil
		})
		_, err = n.admin.ListSessions(amy, &millracev1.ListSessionsRequest{})
		refused(t, err, "FORBIDDEN")
	})
}

func TestA8AnApplicationThatIsDownIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a := &application{decide: hang}
		n := startAsking(t, a)
		amy := as(t.Context(), n.token("amy", may("granted", auth.Publish)))
		publish := func() (time.Duration, error) {
			began := time.Now()
			_, err := n.rpc.Publish(amy, text("asked", "x"))
			return time.Since(began), err
		}
		for i := range 8 {
			took, err := publish()
			info := refused(t, err, "UNAVAILABLE")
			if info.GetRetryAfter().AsDuration() <= 0 || connect.CodeOf(err) != connect.CodeUnavailable {
				t.Errorf("refused with %v", info)
			}
			if want := map[bool]time.Duration{true: 2 * time.Second}[i < 5]; took != want {
				t.Errorf("call %d took %v, want %v", i, took, want)
			}
		}
		if _, err := n.rpc.Publish(amy, text("granted", "x")); err != nil {
			t.Errorf("what is granted needs no answer: %v", err)
		}
		a.will(func(context.Context, *millracev1.AuthorizeRequest) (*millracev1.AuthorizeResponse, error) {
			return &millracev1.AuthorizeResponse{Allowed: true}, nil
		})
		time.Sleep(6 * time.Second)
		if _, err := publish(); err != nil {
			t.Errorf("when it answers again: %v", err)
		}
		if a.count() != 6 {
			t.Errorf("asked %d times", a.count())
		}
	})
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
