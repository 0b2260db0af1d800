package e2e_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

func TestA2BadCredentialsOpenNothingOnAnyWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	bad, good := f.bad(), f.good("ada", auth.Everything)
	for _, w := range wires {
		for _, as := range []string{"token", "cookie", "ticket"} {
			t.Run(w.name+"/"+as, func(t *testing.T) {
				t.Parallel()
				for name, text := range bad {
					if err := opens(t, w.wire, f.with(as, text)); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
						t.Errorf("credentials %s: %v", name, err)
					}
				}
				text := good
				if as == "ticket" {
					text = f.ticket(good, &millracev1.CreateTicketRequest{})
				}
				if err := opens(t, w.wire, f.with(as, text)); err != nil {
					t.Errorf("good credentials: %v", err)
				}
			})
		}
	}
}

// opens tries to open a session, and says why that is refused.
func opens(t *testing.T, w wire, at *server) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := w.open(ctx, at, "", &millracev1.SubscribeRequest{})
	if err == nil {
		s.close()
	}
	return err
}

func TestA3ATicketOpensEachWireOnce(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	for _, w := range wires {
		at := f.with("ticket", f.ticket(f.good("ada", auth.Everything), &millracev1.CreateTicketRequest{}))
		if err := opens(t, w.wire, at); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		if err := opens(t, w.wire, at); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
			t.Errorf("%s, with a ticket that was used: %v", w.name, err)
		}
	}
}

func TestA2BadCertificatesOpenNothingOnAnyWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	authority, stranger := newAuthority(t), newAuthority(t)
	for _, w := range wires {
		for name, certificate := range map[string]*tls.Certificate{
			"of a stranger's authority": stranger.certify("ada", time.Hour),
			"that has expired":          authority.certify("ada", -time.Minute),
			"without a name":            authority.certify("", time.Hour),
			"that is none":              nil,
		} {
			if err := opens(t, w.wire, f.secure(authority, certificate)); err == nil {
				t.Errorf("%s opens with a certificate %s", w.name, name)
			}
		}
		if err := opens(t, w.wire, f.secure(authority, authority.certify("ada", time.Hour))); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

func TestA2BadCredentialsCallNothingOnAnyWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	requests := []proto.Message{
		&millracev1.PublishRequest{Channel: "chat.1", Data: jsonData(`1`)},
		&millracev1.HistoryRequest{Channel: "chat.1"},
		&millracev1.PresenceRequest{Channel: "chat.1"},
		&millracev1.GetPositionsRequest{Channels: []string{"chat.1"}},
		&millracev1.GetServerInfoRequest{},
		&millracev1.CreateTicketRequest{},
	}
	for name, token := range f.bad() {
		for _, w := range wires {
			for _, request := range requests {
				if err := callWithout(t, f.server, w.wire, token, request); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("%s on %s with credentials %s: %v", request.ProtoReflect().Descriptor().Name(), w.name, name, err)
				}
			}
		}
	}
}

// callWithout makes a call without a session, where the wire has such.
func callWithout(t *testing.T, at *server, w wire, token string, request proto.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	switch w := w.(type) {
	case rpc:
		_, err := unary(ctx, w.client(at), token, request)
		return err
	case eventStream:
		s := &streamSession{at: at, wire: w, token: token}
		_, err := s.call(ctx, request)
		return err
	}
	return &refusal{info: &millracev1.ErrorInfo{Reason: millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED}} // calls need a socket, which is not opened
}

// credential is a way to say who calls.
type credential struct {
	name string
	// allows is all that it allows, where some grants are asked for.
	allows func(grants []auth.Grant) []auth.Grant
	// at is the server, as somebody reaches it who has these grants by it.
	at func(grants []auth.Grant) *server
	// isFor reports whether it is for a wire.
	isFor func(wire) bool
}

// one grants an action in the channels of a user; the other grant is what a
// stream needs to exist.
func one(granted auth.Action) []auth.Grant {
	return []auth.Grant{{Pattern: mayChannels(granted) + ".{user}.*", Actions: []auth.Action{granted}}, {Pattern: "none.of.these", Actions: auth.Actions}}
}

func mayChannels(granted auth.Action) string { return "may-" + string(granted) }

func asked(grants []auth.Grant) []auth.Grant { return grants }

func everything([]auth.Grant) []auth.Grant { return []auth.Grant{auth.Everything} }

func anyWire(wire) bool { return true }

func hasFrames(w wire) bool {
	_, isSocket := w.(socketWire)
	return isSocket
}

// credentials are all there are, each of ada.
func (f *fortress) credentials() []credential {
	authority := newAuthority(f.T)
	certified := f.secure(authority, authority.certify("ada", time.Hour))
	return []credential{
		{"token", asked, func(grants []auth.Grant) *server { return f.with("token", f.good("ada", grants...)) }, anyWire},
		{"cookie", asked, func(grants []auth.Grant) *server { return f.with("cookie", f.good("ada", grants...)) }, anyWire},
		{"ticket", asked, func(grants []auth.Grant) *server { return f.withTickets(f.good("ada", grants...)) }, anyWire},
		{"session", asked, func(grants []auth.Grant) *server { return f.withSession(f.good("ada", grants...)) }, anyWire},
		{"first frame", asked, func(grants []auth.Grant) *server { return f.withFirstFrame(f.good("ada", grants...)) }, hasFrames},
		{"certificate", func([]auth.Grant) []auth.Grant { return f.keys.Certificates }, func([]auth.Grant) *server { return certified }, anyWire},
		{"API key", everything, func([]auth.Grant) *server { return f.with("token", backendKey) }, anyWire},
	}
}

// The table of who may do what: each wire decides as the grants say, whatever
// brings them.
func TestA2NoWireIsLaxerThanAnother(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	for _, c := range f.credentials() {
		for _, w := range wires {
			if !c.isFor(w.wire) {
				continue
			}
			for _, granted := range auth.Actions {
				t.Run(c.name+"/"+w.name+"/"+string(granted), func(t *testing.T) {
					t.Parallel()
					grants := c.allows(one(granted))
					checkDecisions(t, w.wire, c.at(grants), auth.Identity{User: "ada", Grants: grants}, mayChannels(granted))
				})
			}
		}
	}
}

// checkDecisions tries every action in channels of a kind, in a session that is
// opened with the credentials of an identity.
func checkDecisions(t *testing.T, w wire, at *server, id auth.Identity, kind string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opened, err := w.open(ctx, at, "", &millracev1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{scene: &scene{T: t, at: at, wire: w}, session: opened}
	t.Cleanup(c.leave)
	for _, name := range []string{kind + ".ada.1", kind + ".ada.*", kind + ".bob.1", kind + ".*.1", kind + ".ada.1.2", "other", "others.>"} {
		for action, request := range attempts(name) {
			_, err := c.try(request)
			checkDecision(t, err, id.May(action, name), strings.ContainsAny(name, "*>"), fmt.Sprintf("%s %s", action, name))
		}
		isPattern, may := strings.ContainsAny(name, "*>"), id.May(auth.Subscribe, name)
		if !isPattern {
			watching := &millracev1.Subscription{Channel: name, Presence: true}
			checkDecision(t, c.trySubscribe(watching), may && id.May(auth.Watch, name), false, "subscribe with presence "+name)
		}
		checkDecision(t, c.trySubscribe(subscribe(name)), may, false, "subscribe "+name)
		_, err := c.try(&millracev1.GetPositionsRequest{Channels: []string{name}})
		checkDecision(t, err, may, isPattern, "position of "+name)
		if caller, isRPC := w.(rpc); isRPC {
			err := tryWatch(ctx, caller.client(at), name)
			checkDecision(t, err, id.May(auth.Watch, name), isPattern, "watch the presence of "+name)
		}
	}
}

// tryWatch is why a stream of who is present does not begin, if so.
func tryWatch(ctx context.Context, client *connect.Client, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := millracev1connect.NewRealtimeServiceClient(client).WatchPresence(ctx, &millracev1.WatchPresenceRequest{Channels: []string{name}})
	if err != nil {
		return asRefusal(err)
	}
	defer stream.Close()
	_, err = stream.Receive()
	return asRefusal(err)
}

// What operators may do on each wire that they have, whatever brings their grants:
// a grant for one channel is for that alone, and one for all channels is for what
// is about no channel as well.
func TestO1OperatorsMayWhatTheirGrantsSayOnEveryWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	for _, c := range f.credentials() {
		for _, w := range wires {
			caller, isRPC := w.wire.(rpc)
			if !isRPC || !c.isFor(w.wire) {
				continue
			}
			for _, granted := range []auth.Action{auth.Inspect, auth.Disconnect, auth.Revoke, auth.Admin, auth.Subscribe} {
				for _, pattern := range []string{">", "ops.1"} {
					t.Run(c.name+"/"+w.name+"/"+string(granted)+" "+pattern, func(t *testing.T) {
						t.Parallel()
						grants := c.allows([]auth.Grant{{Pattern: pattern, Actions: []auth.Action{granted}}})
						checkOperations(t, millracev1connect.NewAdminServiceClient(caller.client(c.at(grants))), auth.Identity{User: "ada", Grants: grants})
					})
				}
			}
		}
	}
}

// checkOperations tries what operators do, in the name of an identity.
func checkOperations(t *testing.T, admin millracev1connect.AdminServiceClient, id auth.Identity) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nobody := "of nobody"
	for _, name := range []string{"ops.1", "ops.2"} {
		_, err := admin.GetChannel(ctx, &millracev1.GetChannelRequest{Channel: name})
		checkDecision(t, asRefusal(err), id.May(auth.Inspect, name), false, "inspect "+name)
		_, err = admin.Unsubscribe(ctx, &millracev1.UnsubscribeRequest{Channel: name, Target: &millracev1.UnsubscribeRequest_User{User: nobody}})
		checkDecision(t, asRefusal(err), id.May(auth.Disconnect, name), false, "unsubscribe from "+name)
		checkDecision(t, tryTrace(ctx, admin, name), id.May(auth.Inspect, name), false, "trace "+name)
	}
	_, err := admin.ListSessions(ctx, &millracev1.ListSessionsRequest{})
	checkDecision(t, asRefusal(err), id.May(auth.Inspect, ">"), false, "list sessions")
	_, err = admin.Disconnect(ctx, &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_User{User: nobody}})
	checkDecision(t, asRefusal(err), id.May(auth.Disconnect, ">"), false, "disconnect")
	_, err = admin.Kick(ctx, &millracev1.KickRequest{User: nobody})
	checkDecision(t, asRefusal(err), id.May(auth.Disconnect, ">"), false, "kick")
	_, err = admin.Revoke(ctx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: nobody}})
	checkDecision(t, asRefusal(err), id.May(auth.Revoke, ">"), false, "revoke")
}

// tryTrace is why a trace does not begin, if so. There are only so many at once:
// it waits for those that others have tried, and that end by themselves.
func tryTrace(ctx context.Context, admin millracev1connect.AdminServiceClient, name string) error {
	for {
		err := beginTrace(ctx, admin, name)
		if infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_RATE_LIMITED || ctx.Err() != nil {
			return err
		}
	}
}

func beginTrace(ctx context.Context, admin millracev1connect.AdminServiceClient, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := admin.TraceChannel(ctx, &millracev1.TraceChannelRequest{Channel: name})
	if err != nil {
		return asRefusal(err)
	}
	defer stream.Close()
	_, err = stream.Receive()
	return asRefusal(err)
}

// trySubscribe is why the session may not have a subscription, if so.
func (c *client) trySubscribe(add *millracev1.Subscription) error {
	got, err := c.try(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{add}})
	if response, ok := got.(*millracev1.UpdateSubscriptionResponse); ok && len(response.GetErrors()) > 0 {
		return &refusal{info: response.GetErrors()[0]}
	}
	return err
}

// attempts are the calls that need one action each.
func attempts(name string) map[auth.Action]proto.Message {
	return map[auth.Action]proto.Message{
		auth.Publish:  &millracev1.PublishRequest{Channel: name, Data: jsonData(`1`)},
		auth.History:  &millracev1.HistoryRequest{Channel: name},
		auth.Watch:    &millracev1.PresenceRequest{Channel: name},
		auth.Presence: &millracev1.EnterPresenceRequest{Channel: name},
	}
}

func checkDecision(t *testing.T, err error, may, isPattern bool, what string) {
	t.Helper()
	reason := infoOf(err).GetReason()
	switch {
	case isPattern && err != nil && (reason == millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL || reason == millracev1.ErrorReason_ERROR_REASON_FORBIDDEN):
	case may && err != nil:
		t.Errorf("%s: %v, want that it is allowed", what, err)
	case !may && reason != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN:
		t.Errorf("%s: %v, want that it is forbidden", what, err)
	}
}
