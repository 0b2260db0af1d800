package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// asAdmin is the context of a call that may do everything.
func (n *node) asAdmin() context.Context { return as(n.t.Context(), n.keys.APIKeys[0]) }

// administration is every administrative call, by the action that it needs.
func (n *node) administration(ctx context.Context) map[auth.Action]map[string]error {
	return map[auth.Action]map[string]error{
		auth.Inspect: {
			"ListSessions": failure(n.admin.ListSessions(ctx, &millracev1.ListSessionsRequest{})),
			"GetSession":   missing(failure(n.admin.GetSession(ctx, &millracev1.GetSessionRequest{Session: "none"}))),
			"ListChannels": failure(n.admin.ListChannels(ctx, &millracev1.ListChannelsRequest{})),
			"GetChannel":   failure(n.admin.GetChannel(ctx, &millracev1.GetChannelRequest{Channel: "a"})),
			"WatchSamples": n.firstSamples(ctx),
		},
		auth.Disconnect: {
			"Disconnect":  failure(n.admin.Disconnect(ctx, &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_Session{Session: "none"}})),
			"Unsubscribe": failure(n.admin.Unsubscribe(ctx, &millracev1.UnsubscribeRequest{Target: &millracev1.UnsubscribeRequest_Session{Session: "none"}, Channel: "a"})),
			"Kick":        failure(n.admin.Kick(ctx, &millracev1.KickRequest{User: "nobody"})),
		},
		auth.Revoke: {
			"Revoke": failure(n.admin.Revoke(ctx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "nobody"}})),
		},
	}
}

// missing is the error, but for that of a session that is not there: who is told
// so was let in.
func missing(err error) error {
	if reasonOf(service.ErrorInfo(err)) == "SESSION_NOT_FOUND" {
		return nil
	}
	return err
}

// firstSamples is how a stream of samples begins.
func (n *node) firstSamples(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{})
	if err != nil {
		return err
	}
	defer stream.Close()
	_, err = stream.Receive()
	return err
}

func TestO1EachAdministrativeActionNeedsItsOwnGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		for _, granted := range auth.Actions {
			for method, err := range calls(n.administration(as(t.Context(), n.token("ops", may(">", granted))))) {
				if want := granted == method.action || granted == auth.Admin; want != (err == nil) {
					t.Errorf("with a grant for %s, %s: %v", granted, method.name, err)
				} else if err != nil {
					refused(t, err, "FORBIDDEN")
				}
			}
		}
	})
}

type method struct {
	name   string
	action auth.Action
}

func calls(administration map[auth.Action]map[string]error) map[method]error {
	all := map[method]error{}
	for action, methods := range administration {
		for name, err := range methods {
			all[method{name, action}] = err
		}
	}
	return all
}

func TestO1AGrantForSomeChannelsIsForThoseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("chat.1"), to("news"))
		mods := as(t.Context(), n.token("mod", may("chat.>", auth.Inspect, auth.Disconnect)))
		listed, err := n.admin.ListChannels(mods, &millracev1.ListChannelsRequest{Pattern: "chat.>"})
		if err != nil || len(listed.GetChannels()) != 1 || listed.GetChannels()[0].GetName() != "chat.1" {
			t.Errorf("lists %v, %v", listed, err)
		}
		target := &millracev1.UnsubscribeRequest_Session{Session: c.ready().GetSession()}
		if removed, err := n.admin.Unsubscribe(mods, &millracev1.UnsubscribeRequest{Target: target, Channel: "chat.1"}); err != nil || removed.GetSessions() != 1 {
			t.Errorf("unsubscribes %v, %v", removed, err)
		}
		for name, err := range map[string]error{
			"all channels":  failure(n.admin.ListChannels(mods, &millracev1.ListChannelsRequest{})),
			"another one":   failure(n.admin.Unsubscribe(mods, &millracev1.UnsubscribeRequest{Target: target, Channel: "news"})),
			"all sessions":  failure(n.admin.ListSessions(mods, &millracev1.ListSessionsRequest{})),
			"the node":      failure(n.admin.GetNode(mods, &millracev1.GetNodeRequest{})),
			"a whole user":  failure(n.admin.Kick(mods, &millracev1.KickRequest{User: "amy"})),
			"other channel": failure(n.admin.GetChannel(mods, &millracev1.GetChannelRequest{Channel: "news"})),
		} {
			if reasonOf(service.ErrorInfo(err)) != "FORBIDDEN" {
				t.Errorf("%s: %v, want that it is forbidden", name, err)
			}
		}
	})
}

func TestO1TheNodeSaysWhatTheCallerMayDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		for _, test := range []struct {
			granted []auth.Action
			want    []string
		}{
			{[]auth.Action{auth.Inspect}, []string{"inspect"}},
			{[]auth.Action{auth.Revoke, auth.Disconnect}, []string{"disconnect", "revoke"}},
			{[]auth.Action{auth.Admin}, []string{"inspect", "disconnect", "revoke"}},
		} {
			node, err := n.admin.GetNode(as(t.Context(), n.token("ops", may(">", test.granted...))), &millracev1.GetNodeRequest{})
			if err != nil || !slices.Equal(node.GetAllowed(), test.want) || node.GetUser() != "ops" || node.GetNode() == "" {
				t.Errorf("with %v: %v, %v", test.granted, node, err)
			}
		}
	})
}

func TestO2WhatChangesSomethingIsLoggedWithWhoDidIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		config := keeping(10)
		config.Log = slog.New(slog.NewTextHandler(&log, nil))
		n := start(t, config)
		c := n.subscribeAs("amy", to("a"), to("b"))
		ops := as(t.Context(), n.token("ops", may(">", auth.Admin)))
		session := c.ready().GetSession()
		for want, err := range map[string]error{
			"method=Unsubscribe by=ops":         failure(n.admin.Unsubscribe(ops, &millracev1.UnsubscribeRequest{Target: &millracev1.UnsubscribeRequest_User{User: "amy"}, Channel: "a"})),
			"method=Disconnect by=ops":          failure(n.admin.Disconnect(ops, &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_Session{Session: session}, Message: "too loud"})),
			"session=" + session + " user=":     nil,
			"message=\"too loud\"":              nil,
			"method=Kick by=ops":                failure(n.admin.Kick(ops, &millracev1.KickRequest{User: "amy"})),
			"user=amy duration=1m0s":            nil,
			"method=Revoke by=ops":              failure(n.admin.Revoke(ops, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: "t-1"}})),
			"token=t-1 user=\"\" remember=720h": nil,
		} {
			if err != nil || !strings.Contains(log.String(), want) {
				t.Errorf("%v, and %q is not in the log:\n%s", err, want, log.String())
			}
		}
		log.Reset()
		refused(t, failure(n.admin.Kick(as(t.Context(), n.token("eve", may(">", auth.Publish))), &millracev1.KickRequest{User: "amy"})), "FORBIDDEN")
		if !strings.Contains(log.String(), `msg="administration refused" action=disconnect by=eve`) {
			t.Errorf("the log does not tell of who tried:\n%s", log.String())
		}
	})
}

func TestO3AUserWhoIsKickedStaysOutForAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		amy, bob := n.subscribeAs("amy", to("a")), n.subscribeAs("bob", to("a"))
		response, err := n.admin.Kick(n.asAdmin(), &millracev1.KickRequest{User: "amy", Duration: seconds(90), Message: "take a break"})
		if err != nil || response.GetSessions() != 1 {
			t.Fatalf("kicks %v, %v", response, err)
		}
		if info := amy.ends("DISCONNECTED"); info.GetMessage() != "take a break" {
			t.Errorf("told %q", info.GetMessage())
		}
		again := n.openWith(n.token("amy"), &millracev1.SubscribeRequest{})
		if after := again.ends("FORBIDDEN").GetRetryAfter().AsDuration(); after != 90*time.Second {
			t.Errorf("may come back after %v", after)
		}
		_, err = n.rpc.Publish(as(t.Context(), n.token("amy")), text("a", "still here"))
		refused(t, err, "FORBIDDEN")
		if bob.failure() != nil {
			t.Errorf("another user's session ended: %v", bob.failure())
		}
		time.Sleep(90 * time.Second)
		if back := n.openWith(n.token("amy"), &millracev1.SubscribeRequest{}); back.failure() != nil {
			t.Errorf("after the time: %v", back.failure())
		}
	})
}

func TestO3WhatAKickCannotBeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		for field, request := range map[string]*millracev1.KickRequest{
			"user":     {},
			"duration": {User: "amy", Duration: seconds(24*3600 + 1)},
			"message":  {User: "amy", Message: strings.Repeat("x", 256)},
		} {
			_, err := n.admin.Kick(n.asAdmin(), request)
			if info := service.ErrorInfo(err); err == nil || info.GetField() != field {
				t.Errorf("%v: %v, want that %s is refused", request, err, field)
			}
		}
		_, err := n.admin.Kick(n.asAdmin(), &millracev1.KickRequest{User: "amy", Duration: durationpb.New(-1)})
		refused(t, err, "INVALID_REQUEST")
	})
}

func TestO3ASessionThatDoesNotReadIsDisconnectedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		for name, dial := range map[string]func(string, *millracev1.SubscribeRequest) *client{"a stream": n.dial, "a sink": n.dialSink} {
			c := dial("", &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}})
			synctest.Wait()
			c.stall()
			n.publish("a", "1", "2", "3")
			time.Sleep(2 * time.Second)
			target := &millracev1.DisconnectRequest_Session{Session: c.ready().GetSession()}
			if _, err := n.admin.Disconnect(n.asAdmin(), &millracev1.DisconnectRequest{Target: target}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if left := n.sessions(); len(left) != 0 {
				t.Errorf("%s is still there: %v", name, left)
			}
		}
	})
}

func TestO4SamplesTellWhatHappenedInEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		n.subscribe(to("a"))
		n.subscribe(to("a"), to("b.*"))
		time.Sleep(time.Second / 2) // not at the same moment as a sample
		for range 20 {
			for range 5 {
				n.publish("a", "x")
			}
			time.Sleep(time.Second)
		}
		samples := n.samples(n.asAdmin(), 3)
		if len(samples) != 3 {
			t.Fatalf("asked for 3 recent samples, got %d", len(samples))
		}
		for _, s := range samples {
			got := fmt.Sprint(s.GetPublishedRate(), s.GetDeliveredRate(), s.GetSessions(), s.GetChannels(), s.GetSlowSessions())
			if got != "5 10 map[test:2] 2 0" || s.GetMemoryBytes() == 0 || s.GetDeliveredByteRate() < 10 {
				t.Errorf("a sample says %v", s)
			}
		}
	})
}

// samples are the first of a stream of samples.
func (n *node) samples(ctx context.Context, recent uint32) []*millracev1.Sample {
	n.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{Recent: recent})
	if err != nil {
		n.t.Fatal(err)
	}
	defer stream.Close()
	response, err := stream.Receive()
	if err != nil {
		n.t.Fatal(err)
	}
	return response.GetSamples()
}

func TestO4TenMinutesOfSamplesAreKeptAndTheStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		time.Sleep(11 * time.Minute)
		ctx, cancel := context.WithCancel(n.asAdmin())
		defer cancel()
		stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var last time.Time
		for i, want := range []int{600, 1, 1, 1} {
			response, err := stream.Receive()
			if err != nil || len(response.GetSamples()) != want {
				t.Fatalf("response %d has %d samples, %v", i, len(response.GetSamples()), err)
			}
			for _, s := range response.GetSamples() {
				if at := s.GetTime().AsTime(); !last.IsZero() && at.Sub(last) != time.Second {
					t.Errorf("a sample is %v after the one before", at.Sub(last))
				}
				last = s.GetTime().AsTime()
			}
		}
	})
}

func TestO4WatchingEndsWithTheServerAndWithTheCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		watch := func(token string) error {
			stream, err := n.admin.WatchSamples(as(t.Context(), token), &millracev1.WatchSamplesRequest{})
			for err == nil {
				_, err = stream.Receive()
			}
			if errors.Is(err, io.EOF) {
				t.Error("the stream ends without a reason")
			}
			return err
		}
		short, err := n.keys.Sign("ops", []auth.Grant{may(">", auth.Inspect)}, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, watch(short), "EXPIRED")
		ended := make(chan error, 1)
		go func() { ended <- watch(n.keys.APIKeys[0]) }()
		synctest.Wait()
		if err := n.Drain(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		refused(t, <-ended, "DRAINING")
		refused(t, watch(n.keys.APIKeys[0]), "DRAINING") // who comes too late
	})
}

func TestO5SessionsAreListedByWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		n.subscribeAs("amy", to("a"))
		time.Sleep(time.Second)
		slow := n.subscribeAs("bob", to("a"), to("b"))
		time.Sleep(time.Second)
		n.subscribeAs("amy", to("b"))
		slow.stall()
		n.publish("b", "x")
		synctest.Wait() // on its way to who does not take it
		n.publish("b", strings.Repeat("x", 1000))
		synctest.Wait()
		for name, test := range map[string]struct {
			request *millracev1.ListSessionsRequest
			want    string
		}{
			"newest first":       {&millracev1.ListSessionsRequest{Order: millracev1.SessionOrder_SESSION_ORDER_NEWEST}, "amy/1 bob/2 amy/1"},
			"most pending first": {&millracev1.ListSessionsRequest{Order: millracev1.SessionOrder_SESSION_ORDER_PENDING, PageSize: 1}, "bob/2"},
			"of a user":          {&millracev1.ListSessionsRequest{User: "bob"}, "bob/2"},
			"of a channel":       {&millracev1.ListSessionsRequest{Channel: "b", Order: millracev1.SessionOrder_SESSION_ORDER_NEWEST}, "amy/1 bob/2"},
			"of another wire":    {&millracev1.ListSessionsRequest{Protocol: "ws"}, ""},
			"of an address":      {&millracev1.ListSessionsRequest{Address: "10.0.0.0/8"}, ""},
		} {
			response, err := n.admin.ListSessions(n.asAdmin(), test.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range response.GetSessions() {
				got = append(got, fmt.Sprintf("%s/%d", s.GetUser(), s.GetSubscriptions()))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
		_, err := n.admin.ListSessions(n.asAdmin(), &millracev1.ListSessionsRequest{Address: "nowhere"})
		if info := refused(t, err, "INVALID_REQUEST"); info.GetField() != "address" {
			t.Errorf("refused with %v", info)
		}
	})
}

func TestO5PagesHaveEachSessionOnceInEveryOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		for range 25 {
			n.subscribe(to("a"))
			time.Sleep(time.Millisecond)
		}
		for order := range millracev1.SessionOrder_name {
			seen := map[string]int{}
			request := &millracev1.ListSessionsRequest{PageSize: 7, Order: millracev1.SessionOrder(order)}
			for pages := 1; ; pages++ {
				response, err := n.admin.ListSessions(n.asAdmin(), request)
				if err != nil || response.GetTotal() != 25 {
					t.Fatalf("%v, %v", response, err)
				}
				for _, s := range response.GetSessions() {
					seen[s.GetId()]++
				}
				if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
					if pages != 4 {
						t.Errorf("%d pages in order %d", pages, order)
					}
					break
				}
			}
			if len(seen) != 25 {
				t.Errorf("%d sessions in order %d", len(seen), order)
			}
		}
	})
}

func TestO5ASessionShowsHowFarItsSubscriptionsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		c := n.subscribeAs("amy", to("a"), to("b.*"), &millracev1.Subscription{Channel: "room", Presence: true})
		c.enter("room", "")
		n.publish("a", "1", "2")
		synctest.Wait()
		c.stall()
		n.publish("a", "3") // on its way
		synctest.Wait()
		n.publish("a", "4", "5")
		n.publish("b.1", "1")
		time.Sleep(1500 * time.Millisecond)
		response, err := n.admin.GetSession(n.asAdmin(), &millracev1.GetSessionRequest{Session: c.ready().GetSession()})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range response.GetSubscriptions() {
			got = append(got, fmt.Sprintf("%s presence=%t %d/%d pending=%t behind=%t",
				s.GetChannel(), s.GetPresence(), s.GetPosition().GetOffset(), s.GetHead().GetOffset(), s.GetPendingBytes() > 0, s.GetBehind()))
		}
		slices.Sort(got)
		want := []string{
			"a presence=false 3/5 pending=true behind=false",
			"b.* presence=false 0/0 pending=true behind=false",
			"room presence=false 0/0 pending=false behind=false",
			"room presence=true 0/0 pending=false behind=false",
		}
		if !slices.Equal(got, want) {
			t.Errorf("subscriptions:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		if s := response.GetSession(); !s.GetSlow() || s.GetPendingBytes() == 0 || s.GetSubscriptions() != 3 {
			t.Errorf("the session is %v", s)
		}
		if !slices.Equal(response.GetPresent(), []string{"room"}) || response.GetStalled().AsDuration() != 1500*time.Millisecond {
			t.Errorf("present in %v, stalled for %v", response.GetPresent(), response.GetStalled().AsDuration())
		}
		c.goOn()
		_, err = n.admin.GetSession(n.asAdmin(), &millracev1.GetSessionRequest{Session: "none"})
		refused(t, err, "SESSION_NOT_FOUND")
	})
}

func TestO5ChannelsAreListedWithTheirRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		n.subscribe(to("quiet"), to("busy"), to("busy.*"))
		n.subscribe(to("quiet"))
		for range 200 { // twenty seconds
			n.publish("busy", "0123456789")
			time.Sleep(100 * time.Millisecond)
		}
		for order, want := range map[millracev1.ChannelOrder]string{
			millracev1.ChannelOrder_CHANNEL_ORDER_UNSPECIFIED: "busy busy.* quiet",
			millracev1.ChannelOrder_CHANNEL_ORDER_SUBSCRIBERS: "quiet busy busy.*",
			millracev1.ChannelOrder_CHANNEL_ORDER_RATE:        "busy busy.* quiet",
		} {
			response, err := n.admin.ListChannels(n.asAdmin(), &millracev1.ListChannelsRequest{Order: order})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range response.GetChannels() {
				got = append(got, c.GetName())
			}
			if strings.Join(got, " ") != want || response.GetTotal() != 3 {
				t.Errorf("in order %v: %q of %d, want %q", order, got, response.GetTotal(), want)
			}
		}
		response, err := n.admin.GetChannel(n.asAdmin(), &millracev1.GetChannelRequest{Channel: "busy"})
		if err != nil {
			t.Fatal(err)
		}
		c := response.GetChannel()
		if rate := c.GetMessageRate(); rate < 9 || rate > 11 || c.GetByteRate() < 10*rate {
			t.Errorf("ten messages a second are %v and %v bytes", rate, c.GetByteRate())
		}
		if c.GetHead().GetOffset() != 200 || response.GetOldest().GetOffset() != 101 || response.GetHistoryMessages() != 100 || response.GetRule() != ">" {
			t.Errorf("the channel is %v", response)
		}
		time.Sleep(20 * time.Second)
		response, err = n.admin.GetChannel(n.asAdmin(), &millracev1.GetChannelRequest{Channel: "busy"})
		if err != nil || response.GetChannel().GetMessageRate() != 0 {
			t.Errorf("after twenty quiet seconds: %v, %v", response, err)
		}
	})
}
