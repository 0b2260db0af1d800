package e2e_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/proto"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

func TestA4ARefreshOnALiveStreamLosesNothing(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := besiege(t)
			s := &scene{T: t, at: f.server, wire: w.wire}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			opened, err := w.wire.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{
				Subscriptions: []*millracev1.Subscription{subscribe("chat.1"), subscribe("chat.2")},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := &client{scene: s, session: opened}
			t.Cleanup(c.leave)
			c.seesSubscribed("chat.1")
			c.seesSubscribed("chat.2")
			publisher := f.connect()
			publish := func(channel string, i int) *millracev1.Message {
				request := &millracev1.PublishRequest{Channel: channel, Data: jsonData(fmt.Sprint(i))}
				response, err := unary(ctx, publisher, backendKey, request)
				if err != nil {
					t.Error(err)
					return nil
				}
				return published(request, response.(*millracev1.PublishResponse)) //nolint:errcheck // it is what the method returns
			}
			// Messages come all the while: before, during and after each refresh.
			var sent []*millracev1.Message
			refreshed := make(chan struct{})
			var publishing sync.WaitGroup
			publishing.Go(func() {
				for i := range 500 { // less than its budget has place for
					sent = append(sent, publish("chat.1", i))
					select {
					case <-refreshed:
						return
					default:
					}
				}
			})
			for range 20 {
				refresh := &millracev1.RefreshTokenRequest{Token: f.good("ada", auth.Everything)}
				if _, err := c.refresh(ctx, f, refresh); err != nil {
					t.Error(err)
				}
			}
			close(refreshed)
			publishing.Wait()
			c.sees(sent...)
			// What the last token does not allow ends, and the rest goes on.
			one := auth.Grant{Pattern: "chat.1", Actions: auth.Actions}
			if _, err := c.refresh(ctx, f, &millracev1.RefreshTokenRequest{Token: f.good("ada", one)}); err != nil {
				t.Fatal(err)
			}
			if ended := c.toldOf("unsubscribed").unsubscribed; ended.GetChannel() != "chat.2" || ended.GetError().GetReason() != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN {
				t.Errorf("unsubscribed {%s}", ended)
			}
			publish("chat.2", 1)
			c.sees(publish("chat.1", 1))
			_, err = c.refresh(ctx, f, &millracev1.RefreshTokenRequest{Token: f.good("bob", auth.Everything)})
			checkRefusal(t, err, millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "token")
		})
	}
}

// refresh gives the session a new token, the wire's own way.
func (c *client) refresh(ctx context.Context, f *fortress, request *millracev1.RefreshTokenRequest) (proto.Message, error) {
	if plain, ok := c.session.(*plainSession); ok {
		return plain.do(ctx, command{"type": "auth", "token": request.GetToken()})
	}
	if _, isTyped := c.session.(*typedSession); isTyped {
		return c.try(request)
	}
	// With nothing but the handle of the session and the new token.
	return unary(ctx, f.connect(), "", withSession(request, sessionTokenOf(c)))
}

// The second is from the answer of Revoke to the end that a client sees. How long
// a busy machine lets anybody wait is not the server's doing, so nothing else runs
// beside this test, and of several ends the middle one counts.
func TestA5RevocationEndsLiveStreamsOnEveryWireWithinASecond(t *testing.T) { //nolint:paralleltest // see above
	f := besiege(t)
	adminCtx, admin := f.admin()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) { //nolint:paralleltest // the same
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			took := make([]time.Duration, 5)
			for i := range took {
				user := rand.Text()
				s, err := w.wire.open(ctx, f.server, f.good(user, auth.Everything), &millracev1.SubscribeRequest{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.close)
				response, err := admin.Revoke(adminCtx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: user}})
				if err != nil || response.GetSessions() != 1 {
					t.Fatal(response, err)
				}
				began := time.Now()
				if e, err := s.next(ctx); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("%s, %v", e, err)
				}
				took[i] = time.Since(began)
			}
			slices.Sort(took)
			if middle := took[len(took)/2]; middle >= time.Second {
				t.Errorf("took %v", took)
			}
			t.Log(took)
		})
	}
}

// A session token stands for the credentials of its session, and ends with them.
func TestA5TheHandleOfARevokedSessionIsWorthless(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := rpc{options: []connecthttp.Option{connecthttp.WithGRPC()}}.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	handle := s.(*rpcSession).sessionToken //nolint:errcheck // it is what the wire opens
	withHandle := func() context.Context {
		ctx, info := connect.NewClientContext(ctx)
		info.RequestHeader().Set(service.HeaderSession, handle)
		return ctx
	}
	client := millracev1connect.NewRealtimeServiceClient(f.connect())
	if _, err := client.Publish(withHandle(), &millracev1.PublishRequest{Channel: "chat.1"}); err != nil {
		t.Errorf("while it lives: %v", err)
	}
	adminCtx, admin := f.admin()
	if _, err := admin.Revoke(adminCtx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "ada"}}); err != nil {
		t.Fatal(err)
	}
	_, _ = s.next(ctx) // its end
	if _, err := client.Publish(withHandle(), &millracev1.PublishRequest{Channel: "chat.1"}); err == nil {
		t.Error("afterwards it is good")
	}
}
