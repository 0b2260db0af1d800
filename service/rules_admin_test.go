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
