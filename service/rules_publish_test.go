package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestB4EphemeralMessagesGoToTheSubscribersOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c, p := n.subscribe(to("a")), n.subscribe(to("*"))
		n.publish("a", "1")
		n.whisper("typing")
		n.publish("a", "2")
		c.takes("subscribed a/0", "a/1 1", "a/- typing", "a/2 2")
		p.takes("subscribed */0", "a/1 1", "a/- typing", "a/2 2")
		n.subscribe(since("a", n.at("a", 0))).takes("subscribed a/2 resumed", "a/1 1", "a/2 2")
		response, err := n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: "a"})
		if err != nil || len(response.GetMessages()) != 2 {
			t.Errorf("history has %v, %v", response, err)
		}
		whisper := text("a", "typing")
		whisper.Ephemeral = true
		if p := n.send(whisper).GetPosition(); p != nil {
			t.Errorf("an ephemeral message is placed at %v", p)
		}
	})
}

func TestB4EphemeralMessagesAreTheFirstToGoWhenASessionIsSlow(t *testing.T) {
	tests := map[string]struct {
		history, whispers int
		onSlow            millracev1.OnSlow
	}{
		"half of the budget waits":         {0, 50, millracev1.OnSlow_ON_SLOW_DISCONNECT},
		"more than the budget, of history": {10, 500, millracev1.OnSlow_ON_SLOW_DISCONNECT},
		"more than the budget, conflated":  {0, 500, millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := keeping(test.history)
			config.Limits.PendingBytes = 10_000
			synctest.Test(t, func(t *testing.T) {
				n := start(t, config)
				c := n.subscribe(&millracev1.Subscription{Channel: "a", OnSlow: test.onSlow}, to("b"))
				c.takes("subscribed a/0", "subscribed b/0")
				c.stall()
				n.publish("b", "holds the client")
				synctest.Wait()
				n.publish("a", "kept")
				for range test.whispers {
					n.whisper(strings.Repeat("typing", 5))
				}
				synctest.Wait() // until the session is known to be slow
				c.goOn()
				got := c.news()
				if len(got) < 2 || got[1] != "a/1 kept" || len(got) > test.whispers {
					t.Errorf("took %d: %q; ended with %v", len(got), got[:min(len(got), 5)], c.failure())
				}
			})
		})
	}
}

func TestB5TheSessionThatPublishesDoesNotReceiveItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		mine, other := n.subscribe(to("a"), to("*")), n.subscribe(to("a"))
		start := n.at("a", 0)
		own := text("a", "own")
		own.ExcludeSelf, own.SessionToken = true, mine.ready().GetSessionToken()
		n.send(own)
		ephemeral := text("a", "typing")
		ephemeral.ExcludeSelf, ephemeral.Ephemeral = true, true
		if _, err := n.rpc.Publish(mine.ctx(), ephemeral); err != nil {
			t.Fatal(err)
		}
		n.publish("a", "next")
		if got := messages(mine, "a"); strings.Contains(strings.Join(got, " "), "own") {
			t.Errorf("took %q", got)
		}
		mine.takes("subscribed a/0", "subscribed */0", "checkpoint a/1", "a/2 next", "checkpoint a/1", "a/2 next")
		other.takes("subscribed a/0", "a/1 own", "a/- typing", "a/2 next")
		mine.remove("a")
		mine.add(since("a", start))
		mine.takes("unsubscribed a", "subscribed a/2 resumed", "checkpoint a/1", "a/2 next")
	})
}

func TestB5ExcludingSelfNeedsASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		own := text("a", "own")
		own.ExcludeSelf = true
		_, err := n.rpc.Publish(t.Context(), own)
		refused(t, err, "SESSION_NOT_FOUND")
	})
}

func TestB6ABatchAnswersForEachMessageInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(to("a"), to("b"))
		c.takes("subscribed a/0", "subscribed b/0")
		response, err := n.rpc.PublishBatch(t.Context(), &millracev1.PublishBatchRequest{Requests: []*millracev1.PublishRequest{
			text("a", "1"), text("not a channel", "x"), with("id", "b", "1"), text("a", "2"), with("id", "b", "1"),
			with("id", "b", "other"), text("b", "2"), text("a", "3"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, result := range response.GetResults() {
			if info := result.GetError(); info != nil {
				got = append(got, reasonOf(info))
				continue
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(result.GetResponse().GetPosition().GetOffset(), " ", map[bool]string{true: "again"}[result.GetResponse().GetDuplicate()])))
		}
		if want := "1,INVALID_CHANNEL,1,2,1 again,ID_REUSED,2,3"; strings.Join(got, ",") != want {
			t.Errorf("answered %q, want %s", got, want)
		}
		synctest.Wait()
		if a, b := strings.Join(messages(c, "a"), ","), strings.Join(messages(c, "b"), ","); a != "a/1 1,a/2 2,a/3 3" || b != "b/1 1,b/2 2" {
			t.Errorf("took %s and %s", a, b)
		}
	})
}

func TestB6ABatchThatIsTooLargeIsRefusedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, service.Config{Limits: service.Limits{BatchMessages: 3}})
		batch := &millracev1.PublishBatchRequest{}
		for range 4 {
			batch.Requests = append(batch.Requests, text("a", "x"))
		}
		_, err := n.rpc.PublishBatch(t.Context(), batch)
		if info := refused(t, err, "TOO_MANY"); info.GetField() != "requests" || info.GetLimit() != 3 {
			t.Errorf("refused with %v", info)
		}
		if n.head("a").GetOffset() != 0 {
			t.Error("something was placed")
		}
	})
}

// limits are requests that are one over a limit, with the field and the limit.
func limits() map[string]struct {
	change func(*millracev1.PublishRequest)
	reason string
	limit  uint64
} {
	type limit = struct {
		change func(*millracev1.PublishRequest)
		reason string
		limit  uint64
	}
	headers := func(n, size int) map[string]string {
		h := map[string]string{}
		for i := range n {
			h[fmt.Sprintf("h%02d", i)] = strings.Repeat("v", size-3)
		}
		return h
	}
	return map[string]limit{
		"payload": {func(r *millracev1.PublishRequest) {
			r.Data = &millracev1.PublishRequest_Payload{Payload: textPayload(strings.Repeat("x", 512<<10+1))}
		}, "TOO_LARGE", 512 << 10},
		"id":      {func(r *millracev1.PublishRequest) { r.Id = strings.Repeat("x", 129) }, "TOO_LARGE", 128},
		"type":    {func(r *millracev1.PublishRequest) { r.Type = strings.Repeat("x", 129) }, "TOO_LARGE", 128},
		"key":     {func(r *millracev1.PublishRequest) { r.Key = strings.Repeat("x", 129) }, "TOO_LARGE", 128},
		"headers": {func(r *millracev1.PublishRequest) { r.Headers = headers(17, 4) }, "TOO_MANY", 16},
		"headers, all": {func(r *millracev1.PublishRequest) {
			r.Headers = headers(16, 256)
			r.Headers["h00"] += "v"
		}, "TOO_LARGE", 4096},
		"channel": {func(r *millracev1.PublishRequest) { r.Channel = strings.Repeat("x", 256) }, "INVALID_CHANNEL", 255},
	}
}

func TestB7LimitsAreCheckedBeforeAnythingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		for name, test := range limits() {
			request := with("id", "a", "x")
			test.change(request)
			_, err := n.rpc.Publish(t.Context(), request)
			info := refused(t, err, test.reason)
			field, _, _ := strings.Cut(name, ",")
			if info.GetField() != field || info.GetLimit() != test.limit {
				t.Errorf("%s is refused with %v, want the limit %d", name, info, test.limit)
			}
		}
		if n.head("a").GetOffset() != 0 {
			t.Error("something was placed")
		}
	})
}

func TestB7WhatIsJustWithinTheLimitsIsPlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		long := strings.Repeat("x", 128)
		request := with(long, strings.Repeat("x", 255), strings.Repeat("x", 512<<10))
		request.Type, request.Key, request.Headers = long, long, map[string]string{}
		for i := range 16 {
			request.Headers[fmt.Sprintf("h%02d", i)] = strings.Repeat("v", 253)
		}
		if p := n.send(request).GetPosition(); p.GetOffset() != 1 {
			t.Errorf("placed at %v", p)
		}
	})
}
