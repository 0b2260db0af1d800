package service_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// modest is a grant of everything but administration.
var modest = auth.Grant{Pattern: ">", Actions: []auth.Action{auth.Subscribe, auth.Publish, auth.Presence, auth.Watch, auth.History}}

// limitedTo is a configuration with some limits.
func limitedTo(limits service.Limits) service.Config {
	config := keeping(10)
	config.Limits = limits
	return config
}

func TestL1APublisherMayPublishSoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{PublishRate: 10, CallRate: 1000}))
		amy, bob := as(t.Context(), n.token("amy", modest)), as(t.Context(), n.token("bob", modest))
		for i := range 20 { // two seconds' worth at once
			if _, err := n.rpc.Publish(amy, text("a", "x")); err != nil {
				t.Fatalf("message %d: %v", i+1, err)
			}
		}
		_, err := n.rpc.Publish(amy, text("a", "x"))
		info := refused(t, err, "RATE_LIMITED")
		after := info.GetRetryAfter().AsDuration()
		if info.GetField() != "limits.publish_rate" || info.GetLimit() != 10 || after != 100*time.Millisecond || info.GetChannel() != "a" {
			t.Errorf("refused with %v", info)
		}
		if _, err := n.rpc.Publish(bob, text("a", "x")); err != nil {
			t.Errorf("another user: %v", err)
		}
		n.publish("a", "an administrator")
		time.Sleep(after)
		if _, err := n.rpc.Publish(amy, text("a", "x")); err != nil {
			t.Errorf("after the advised time: %v", err)
		}
		time.Sleep(time.Hour)
		response, err := n.rpc.PublishBatch(amy, &millracev1.PublishBatchRequest{Requests: repeat(30, text("a", "x"))})
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, result := range response.GetResults() {
			if result.GetError() == nil {
				accepted++
			}
		}
		if accepted != 20 {
			t.Errorf("%d messages of a batch were accepted", accepted)
		}
	})
}

func repeat[T any](n int, value T) []T {
	var all []T
	for range n {
		all = append(all, value)
	}
	return all
}

func TestL1ACallerMayCallSoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{CallRate: 10}))
		token := n.token("amy", modest)
		c := n.openWith(token, &millracev1.SubscribeRequest{})
		for i := range 19 { // opening the session was a call
			if _, err := n.rpc.UpdateSubscription(c.ctx(), &millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{to("a")}}); err != nil {
				t.Fatalf("call %d: %v", i+1, err)
			}
		}
		// The same user by another way.
		_, err := n.rpc.GetServerInfo(as(t.Context(), token), &millracev1.GetServerInfoRequest{})
		info := refused(t, err, "RATE_LIMITED")
		if info.GetField() != "limits.call_rate" || info.GetLimit() != 10 || info.GetRetryAfter().AsDuration() <= 0 {
			t.Errorf("refused with %v", info)
		}
		n.openWith(token, &millracev1.SubscribeRequest{}).ends("RATE_LIMITED")
		if c.failure() != nil {
			t.Errorf("the session ended: %v", c.failure())
		}
	})
}

func TestL1WhoHasNoNameIsCountedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := limitedTo(service.Limits{CallRate: 5})
		config.Authenticator = auth.Keys{Anonymous: []auth.Grant{modest}}
		n := start(t, config)
		call := func(address string) error {
			info := &connect.CallInfo{PeerAddr: address, Protocol: "test"}
			return n.Server().Call(t.Context(), millracev1connect.RealtimeServiceGetServerInfoProcedure, info, &client{node: n, request: &millracev1.SubscribeRequest{}})
		}
		limited := 0
		for i := range 15 {
			if err := call(fmt.Sprintf("192.0.2.1:%d", i+1)); err != nil && reasonOf(service.ErrorInfo(err)) == "RATE_LIMITED" {
				limited++
			}
		}
		if limited != 5 {
			t.Errorf("%d of 15 calls were refused", limited)
		}
		if err := call("192.0.2.2:1"); err != nil && reasonOf(service.ErrorInfo(err)) == "RATE_LIMITED" {
			t.Errorf("another address: %v", err)
		}
		limited = 0
		for i := range 15 { // each from another address of one network
			if err := call(fmt.Sprintf("[2001:db8::%x]:1", i+1)); err != nil && reasonOf(service.ErrorInfo(err)) == "RATE_LIMITED" {
				limited++
			}
		}
		if limited != 5 {
			t.Errorf("%d of 15 calls from a /64 were refused", limited)
		}
		for _, other := range []string{"[2001:db8:0:1::1]:1", "[::ffff:192.0.2.3]:1"} {
			if err := call(other); err != nil && reasonOf(service.ErrorInfo(err)) == "RATE_LIMITED" {
				t.Errorf("another network, %s: %v", other, err)
			}
		}
	})
}

func TestL2AUserMayHaveSoManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{UserSessions: 3}))
		token := n.token("amy", modest)
		open := func() *client { return n.openWith(token, &millracev1.SubscribeRequest{}) }
		first := open()
		open()
		open()
		info := open().ends("RATE_LIMITED")
		if info.GetField() != "limits.user_sessions" || info.GetLimit() != 3 || info.GetRetryAfter().AsDuration() <= 0 {
			t.Errorf("refused with %v", info)
		}
		if c := n.openWith(n.token("bob", modest), &millracev1.SubscribeRequest{}); c.failure() != nil {
			t.Errorf("another user: %v", c.failure())
		}
		first.leave()
		if c := open(); c.failure() != nil {
			t.Errorf("after one has gone: %v", c.failure())
		}
		open().ends("RATE_LIMITED")
	})
}

func TestL3ASessionEndsWhenItIsOldOrUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{MaxAge: 10 * time.Hour, Idle: 2 * time.Hour}))
		used, unused, busy := n.subscribe(to("a")), n.subscribe(), n.subscribe()
		ends := map[time.Duration]bool{}
		began := time.Now()
		var many []*client
		for range 20 {
			many = append(many, n.subscribe(to("b")))
		}
		for _, c := range many {
			go func() {
				<-c.over
				c.mu.Lock()
				defer c.mu.Unlock()
				c.items = append(c.items, item{at: time.Now()})
			}()
		}
		time.Sleep(2*time.Hour + time.Minute)
		if info := unused.ends("EXPIRED"); info.GetField() != "limits.idle" || info.GetRetryAfter() == nil {
			t.Errorf("the unused one ends with %v", info)
		}
		busy.ends("EXPIRED")
		if err := used.failure(); err != nil {
			t.Fatalf("one with a subscription: %v", err)
		}
		time.Sleep(8 * time.Hour)
		if info := used.ends("EXPIRED"); info.GetField() != "limits.max_age" {
			t.Errorf("the old one ends with %v", info)
		}
		for _, c := range many {
			items := c.all()
			age := items[len(items)-1].at.Sub(began)
			if age < 9*time.Hour || age > 10*time.Hour {
				t.Errorf("a session lived for %v", age)
			}
			ends[age] = true
		}
		if len(ends) < 15 {
			t.Errorf("20 sessions end at %d times", len(ends))
		}
	})
}

func TestL3WhoAsksForSomethingUsesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{Idle: 2 * time.Hour}))
		c := n.subscribe()
		for range 5 {
			time.Sleep(time.Hour)
			if _, err := n.rpc.Publish(c.ctx(), text("a", "x")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := c.failure(); err != nil {
			t.Error(err)
		}
	})
}

func TestL4ManyThingsInOneRequestAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{Channels: 100}))
		c := n.subscribe(to("a"))
		var many []*millracev1.Subscription
		var names []string
		for i := range 10_000 {
			names = append(names, fmt.Sprint("c", i))
			many = append(many, to(names[i]))
		}
		for field, err := range map[string]error{
			"add":           failure(n.rpc.UpdateSubscription(c.ctx(), &millracev1.UpdateSubscriptionRequest{Add: many})),
			"remove":        failure(n.rpc.UpdateSubscription(c.ctx(), &millracev1.UpdateSubscriptionRequest{Remove: names})),
			"subscriptions": n.open(&millracev1.SubscribeRequest{Subscriptions: many}).failure(),
			"channels":      failure(n.rpc.GetPositions(t.Context(), &millracev1.GetPositionsRequest{Channels: names})),
		} {
			info := refused(t, err, "TOO_MANY")
			if info.GetField() != field || info.GetLimit() != 100 {
				t.Errorf("%s: refused with %v", field, info)
			}
		}
		watch, err := n.rpc.WatchPresence(t.Context(), &millracev1.WatchPresenceRequest{Channels: names})
		if err == nil {
			_, err = watch.Receive()
		}
		refused(t, err, "TOO_MANY")
		_, err = n.rpc.CreateTicket(t.Context(), &millracev1.CreateTicketRequest{Channels: names})
		refused(t, err, "TOO_MANY")
		n.publish("a", "and on it goes")
		c.takes("subscribed a/0", "a/1 and on it goes")
	})
}

func TestL2ANetworkOfIPv6IsOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := limitedTo(service.Limits{AddressSessions: 3})
		config.Authenticator = auth.Keys{Anonymous: []auth.Grant{modest}}
		n := start(t, config)
		open := func(address string) error {
			n.address = address
			return n.open(&millracev1.SubscribeRequest{}).failure()
		}
		for i := range 3 {
			if err := open(fmt.Sprintf("[2001:db8::%x]:1", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		info := refused(t, open("[2001:db8::4]:1"), "RATE_LIMITED")
		if info.GetField() != "limits.address_sessions" || info.GetLimit() != 3 {
			t.Errorf("refused with %v", info)
		}
		if err := open("[2001:db8:0:1::4]:1"); err != nil {
			t.Errorf("the network beside it: %v", err)
		}
	})
}
