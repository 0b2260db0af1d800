package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestN1ReadyIsFirstAndComesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1")
		stop := make(chan struct{})
		defer close(stop)
		go n.publishInBursts("a", stop)
		secrets := map[string]bool{}
		for range 20 {
			time.Sleep(burst)
			c := n.openWith(n.token("amy"), &millracev1.SubscribeRequest{
				Subscriptions: []*millracev1.Subscription{{Channel: "a", Recent: 3, Presence: true}, to("*")},
			})
			got := inWords(c.all())
			if got[0] != "ready" || slices.Contains(got[1:], "ready") {
				t.Fatalf("took %q", got)
			}
			ready := c.ready()
			if ready.GetUser() != "amy" || ready.GetSession() == "" || ready.GetHeartbeatInterval().AsDuration() != 15*time.Second {
				t.Errorf("ready says %v", ready)
			}
			if len(ready.GetSessionToken()) < 26 || ready.GetSession() == ready.GetSessionToken() {
				t.Errorf("the token %q can be guessed", ready.GetSessionToken())
			}
			secrets[ready.GetSessionToken()], secrets[ready.GetSession()] = true, true
			c.leave()
		}
		if len(secrets) != 40 {
			t.Errorf("20 sessions have %d ids and tokens", len(secrets))
		}
	})
}

func TestN2ASilentStreamSendsHeartbeats(t *testing.T) {
	for asked, want := range map[float64]time.Duration{0: 15 * time.Second, 0.01: time.Second, 7: 7 * time.Second, 9999: 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, keeping(10))
			request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}}
			if asked != 0 {
				request.HeartbeatInterval = seconds(asked)
			}
			c := n.open(request)
			c.takes("ready", "subscribed a/0")
			if said := c.ready().GetHeartbeatInterval().AsDuration(); said != want {
				t.Errorf("%v s were asked, and ready says %v", asked, said)
			}
			time.Sleep(want - time.Millisecond)
			c.takes()
			time.Sleep(time.Millisecond)
			c.takes("heartbeat")
			time.Sleep(want / 2)
			n.publish("a", "not silent")
			c.takes("a/1 not silent")
			time.Sleep(want - time.Millisecond)
			c.takes()
			time.Sleep(3*want + time.Millisecond)
			c.takes("heartbeat", "heartbeat", "heartbeat", "heartbeat")
		})
	}
}

func TestN2AStreamWhoseMessagesAreAllFilteredOutIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Filter: &millracev1.Filter{Types: []string{"none"}}})
		for range 31 {
			n.publish("a", "hidden")
			n.whisper("hidden")
			time.Sleep(time.Second)
		}
		got := c.news()
		if beats := len(got) - 1; beats < 2 {
			t.Errorf("took %q in 31 s", got)
		}
	})
}

func TestN3EveryErrorHasAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		ctx, token := t.Context(), n.subscribe().ready().GetSessionToken()
		notJSON := &millracev1.PublishRequest{Channel: "a", Data: &millracev1.PublishRequest_Payload{
			Payload: &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: "{"}},
		}}
		limited := n.token("amy", auth.Grant{Pattern: "a", Actions: auth.Actions})
		tests := []struct {
			reason, field string
			err           error
		}{
			{"INVALID_CHANNEL", "channel", failure(n.rpc.Publish(ctx, text("a b", "x")))},
			{"INVALID_JSON", "payload.json", failure(n.rpc.Publish(ctx, notJSON))},
			{"NOT_ENABLED", "channel", failure(n.rpc.History(ctx, &millracev1.HistoryRequest{Channel: "a"}))},
			{"SESSION_NOT_FOUND", "session_token", failure(n.rpc.UpdateSubscription(ctx, &millracev1.UpdateSubscriptionRequest{SessionToken: "x"}))},
			{"INVALID_CURSOR", "page_token", failure(n.rpc.Presence(ctx, &millracev1.PresenceRequest{Channel: "a", PageToken: "x"}))},
			{"INVALID_REQUEST", "channel", failure(n.rpc.UpdatePresence(ctx, &millracev1.UpdatePresenceRequest{SessionToken: token, Channel: "a"}))},
			{"TOO_LARGE", "data", failure(n.rpc.EnterPresence(ctx, &millracev1.EnterPresenceRequest{
				SessionToken: token, Channel: "a", Data: textPayload(strings.Repeat("x", 2049)),
			}))},
			{"FORBIDDEN", "", failure(n.admin.ListSessions(as(ctx, limited), &millracev1.ListSessionsRequest{}))},
			{"FORBIDDEN", "session_token", failure(n.rpc.UpdateSubscription(as(ctx, limited), &millracev1.UpdateSubscriptionRequest{SessionToken: token}))},
			{"UNAUTHENTICATED", "", failure(n.rpc.Publish(as(ctx, "nonsense"), text("a", "x")))},
		}
		for _, test := range tests {
			info := refused(t, test.err, test.reason)
			if info.GetField() != test.field || info.GetMessage() == "" || connect.CodeOf(test.err) != service.Code(info.GetReason()) {
				t.Errorf("want %s for %q, refused with %v and the code %v", test.reason, test.field, info, connect.CodeOf(test.err))
			}
		}
	})
}

// failure is the error of a call.
func failure[T any](_ T, err error) error { return err }

func TestN3ATimeThatIsOverIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		info := service.ErrorInfo(fmt.Errorf("ask another node: %w", cause))
		if reasonOf(info) != "UNAVAILABLE" || info.GetRetryAfter().AsDuration() <= 0 {
			t.Errorf("%v is told as %v", cause, info)
		}
	}
}

func TestN3ABadCommandDoesNotEndASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("a"))
		response := c.update(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{to("a b"), to("b"), {Channel: "*", Recent: 1}}, Remove: []string{"not there"}})
		var got []string
		for _, info := range response.GetErrors() {
			got = append(got, reasonOf(info)+" "+info.GetChannel()+" "+info.GetField())
		}
		if want := []string{"INVALID_CHANNEL a b channel", "INVALID_REQUEST * recent"}; !slices.Equal(got, want) {
			t.Errorf("refused with %q, want %q", got, want)
		}
		n.publish("a", "still here")
		c.takes("subscribed a/0", "subscribed b/0", "a/1 still here")
	})
}

func TestN4ARefusalIsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		limited := n.token("amy", auth.Grant{Pattern: "a", Actions: []auth.Action{auth.Subscribe}})
		open := func(token string, request *millracev1.SubscribeRequest) *client { return n.openWith(token, request) }
		refusals := map[string]*client{
			"UNAUTHENTICATED": open("nonsense", &millracev1.SubscribeRequest{}),
			"FORBIDDEN":       open(limited, &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a"), to("b")}}),
			"INVALID_CHANNEL": open("", &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a"), to("a..b")}}),
			"INVALID_CURSOR":  open("", &millracev1.SubscribeRequest{Cursor: "?"}),
			"TOO_LARGE":       open("", &millracev1.SubscribeRequest{Client: strings.Repeat("x", 129)}),
		}
		for reason, c := range refusals {
			c.ends(reason)
			if sent := inWords(c.all()); len(sent) > 0 {
				t.Errorf("%s comes after %q", reason, sent)
			}
		}
		if open := n.sessions(); len(open) != 0 {
			t.Errorf("still open: %v", open)
		}
	})
}

func TestN5DrainTellsWhenToGoOnElsewhereThenEndsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		var sessions []*client
		for range 50 {
			sessions = append(sessions, n.subscribe(to("a")))
		}
		n.flood("a", 5)
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(context.Background(), time.Minute) }()
		synctest.Wait()
		begin := map[time.Duration]bool{}
		for _, c := range sessions {
			after := c.drainsAfter()
			begin[after] = true
			if after < 0 || after > 30*time.Second {
				t.Errorf("go on elsewhere after %v, want the first half of a minute", after)
			}
		}
		n.open(&millracev1.SubscribeRequest{}).ends("DRAINING")
		time.Sleep(30*time.Second - time.Millisecond)
		n.flood("a", 3)
		synctest.Wait()
		end := map[time.Duration]bool{}
		for _, c := range sessions {
			if got, _ := offsets(c); !slices.Equal(got, upTo(1, 8)) || c.failure() != nil {
				t.Errorf("took %v, and then %v, while there was time", got, c.failure())
			}
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		for _, c := range sessions {
			after := c.ends("DRAINING").GetRetryAfter().AsDuration()
			end[after] = true
			if after < 0 || after > time.Minute {
				t.Errorf("come back after %v", after)
			}
		}
		if len(begin) < 40 || len(end) < 40 {
			t.Errorf("50 sessions go at %d times and come back at %d", len(begin), len(end))
		}
	})
}

// drainsAfter is when the client was told to go on elsewhere.
func (c *client) drainsAfter() time.Duration {
	c.node.t.Helper()
	for _, it := range c.all() {
		if draining := it.frame.Notice.GetDraining(); draining != nil {
			return draining.GetRetryAfter().AsDuration()
		}
	}
	c.node.t.Errorf("was not told that the server drains: %q", inWords(c.all()))
	return 0
}

func TestN5DrainSendsWhatIsPendingBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		c := n.subscribe(to("a"))
		n.flood("a", 5)
		if err := n.Drain(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.ends("DRAINING")
		if got, _ := offsets(c); !slices.Equal(got, upTo(1, 5)) {
			t.Errorf("took %v before the end", got)
		}
	})
}

func TestN5DrainDoesNotWaitForWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		var sessions []*client
		for range 5 {
			sessions = append(sessions, n.subscribe(to("a")))
		}
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(context.Background(), time.Minute) }()
		synctest.Wait()
		began := time.Now()
		for _, c := range sessions {
			c.lose()
		}
		if err := <-drained; err != nil || time.Since(began) > 0 {
			t.Errorf("took %v after the last has gone: %v", time.Since(began), err)
		}
	})
}

func TestN5WhoOpensAnotherSessionFirstIsNeverWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		going, _ := m.start(t, keeping(0))
		staying, _ := m.start(t, keeping(0))
		w, tab := staying.watch(), going.tab("amy", "a", "x")
		time.Sleep(soon)
		drained := make(chan error, 1)
		go func() { drained <- going.Drain(context.Background(), time.Minute) }()
		synctest.Wait()
		time.Sleep(tab.drainsAfter())
		if err := tab.failure(); err != nil {
			t.Fatalf("ended before it was time: %v", err)
		}
		next := staying.openWith(staying.token("amy"), &millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()})
		if got := next.ready().GetSession(); got != tab.ready().GetSession() {
			t.Errorf("the session is %s, and was %s", got, tab.ready().GetSession())
		}
		tab.ends("DISCONNECTED")
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if err := going.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("have left: %v", left)
		}
		if got := w.believes(); got.String() != "amy=x" {
			t.Errorf("present are %s, want amy", got)
		}
	})
}

func TestN5WhoResumesAfterADrainLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.stalled(to("a"))
		n.flood("a", 600) // far more than a batch
		drained := make(chan error, 1)
		go func() { drained <- n.Drain(context.Background(), time.Minute) }()
		synctest.Wait()
		c.goOn()
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		c.ends("DRAINING")
		got, _ := offsets(c)
		rest := n.pages(&millracev1.HistoryRequest{Channel: "a", Since: n.at("a", uint64(len(got)))}, func() {})
		if !slices.Equal(append(got, rest...), upTo(1, 600)) {
			t.Errorf("took %d messages, and %d follow", len(got), len(rest))
		}
	})
}

func TestN5DrainDoesNotWaitForAStuckClientForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(10))
		n.stalled()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := n.Drain(ctx, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained: %v", err)
		}
	})
}

func TestASessionEndsWhenItsCredentialsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		token, err := n.keys.Sign("amy", []auth.Grant{auth.Everything}, 100*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c := n.openWith(token, &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{to("a")}})
		lasted := 0
		for ; c.failure() == nil && lasted < 200; lasted++ {
			n.publish("a", "x") // a busy stream ends as well
			time.Sleep(time.Second)
			synctest.Wait()
		}
		c.ends("EXPIRED")
		if took := len(messages(c, "a")); lasted < 100 || lasted > 131 || took != lasted { // clocks may differ by 30 s
			t.Errorf("lasted %d s, and took %d messages", lasted, took)
		}
	})
}
