package service_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

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

// Who is just being sent something has a moment to take it, and is told the reason;
// who does not take it is cut when the moment is over.
func TestA5WhoReadsIsToldThatHeIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}}
		for name, dial := range map[string]func(string, *millracev1.SubscribeRequest) *client{"a stream": n.dial, "a sink": n.dialSink} {
			reads, stuck := dial(n.token("amy"), request), dial(n.token("amy"), request)
			synctest.Wait()
			reads.stall()
			stuck.stall()
			n.publish("a", "x")
			synctest.Wait()
			began := time.Now()
			if _, err := n.admin.Revoke(n.asAdmin(), &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "amy"}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			reads.goOn()
			reads.ends("UNAUTHENTICATED")
			<-stuck.over
			if waited := time.Since(began); waited >= time.Second || waited <= 100*time.Millisecond {
				t.Errorf("%s that does not read ends after %v", name, waited)
			}
			time.Sleep(time.Second) // for tokens that are issued later than the revocation
		}
	})
}

// Also a stream that is no session, and has nothing to tell.
func TestA5RevocationEndsEveryStreamWithinASecond(t *testing.T) {
	for _, end := range []struct {
		name string
		call func(n *node) error
	}{
		{"revoked", func(n *node) error {
			return failure(n.admin.Revoke(n.asAdmin(), &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "amy"}}))
		}},
		{"kicked", func(n *node) error { return failure(n.admin.Kick(n.asAdmin(), &millracev1.KickRequest{User: "amy"})) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, keeping(10))
				amy := as(t.Context(), n.token("amy", may(">", auth.Admin, auth.Watch)))
				watching, err := n.rpc.WatchPresence(amy, &millracev1.WatchPresenceRequest{Channels: []string{"a"}})
				if err != nil {
					t.Fatal(err)
				}
				sampling, err := n.admin.WatchSamples(amy, &millracev1.WatchSamplesRequest{})
				if err != nil {
					t.Fatal(err)
				}
				tracing := n.trace(amy, "a")
				began := time.Now()
				if err := end.call(n); err != nil {
					t.Fatal(err)
				}
				for name, receive := range map[string]func() error{
					"who watches presence": func() error { return failure(watching.Receive()) },
					"who takes samples":    func() error { return failure(sampling.Receive()) },
					"who traces":           func() error { return failure(tracing.Receive()) },
				} {
					for err = nil; err == nil; {
						err = receive()
					}
					if waited := time.Since(began); waited > time.Second || service.ErrorInfo(err).GetReason() == 0 {
						t.Errorf("%s ends after %v: %v", name, waited, err)
					}
				}
			})
		})
	}
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
