package service_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// tableChannels are channels with five messages each, kept as their names say:
// 0 keeps none, 3 the last three, 9 all, and of "expired" none is left.
func tableChannels(t *testing.T, n *node) {
	t.Helper()
	for _, name := range []string{"keep.0", "keep.3", "keep.9", "keep.expired"} {
		n.publish(name, "1", "2", "3", "4", "5")
	}
	time.Sleep(2 * time.Minute)
}

func tableConfig() service.Config {
	kept := func(name string, messages int, age time.Duration) service.Rule {
		return service.Rule{Pattern: "keep." + name, History: engine.Retention{Messages: messages, Age: age}}
	}
	return service.Config{
		Limits: service.Limits{ReplayMessages: 4},
		Rules:  []service.Rule{kept("0", 0, 0), kept("3", 3, time.Hour), kept("9", 9, time.Hour), kept("expired", 9, time.Minute)},
	}
}

func TestD5TheFirstRowOfTheResumeTableThatFitsDecides(t *testing.T) {
	tests := []struct {
		row, channel string
		offset       uint64
		epoch        string // the channel's own, if empty
		want         []string
	}{
		{"another epoch", "keep.9", 3, "other", []string{"subscribed keep.9/5", "gap keep.9 3..5 EPOCH_CHANGED"}},
		{"another epoch, at the head", "keep.9", 5, "other", []string{"subscribed keep.9/5", "gap keep.9 5..5 EPOCH_CHANGED"}},
		{"another epoch, of a channel without messages", "keep.none", 0, "other", []string{"subscribed keep.none/0", "gap keep.none 0..0 EPOCH_CHANGED"}},
		{"at the head", "keep.9", 5, "", []string{"subscribed keep.9/5 resumed"}},
		{"at the head, all expired", "keep.expired", 5, "", []string{"subscribed keep.expired/5 resumed"}},
		{"at the head, no history", "keep.0", 5, "", []string{"subscribed keep.0/5 resumed"}},
		{"at the head of a channel without messages", "keep.none", 0, "", []string{"subscribed keep.none/0 resumed"}},
		{"beyond the head", "keep.9", 6, "", []string{"subscribed keep.9/5", "gap keep.9 6..5 DIVERGED"}},
		{"beyond the head, no history", "keep.0", 6, "", []string{"subscribed keep.0/5", "gap keep.0 6..5 DIVERGED"}},
		{"far beyond the head", "keep.3", ^uint64(0), "", []string{"subscribed keep.3/5", "gap keep.3 18446744073709551615..5 DIVERGED"}},
		{"no history", "keep.0", 4, "", []string{"subscribed keep.0/5", "gap keep.0 4..5 NO_HISTORY"}},
		{"before what is kept", "keep.3", 1, "", []string{"subscribed keep.3/5", "gap keep.3 1..5 TRUNCATED"}},
		{"before what is kept, and too far", "keep.3", 0, "", []string{"subscribed keep.3/5", "gap keep.3 0..5 TRUNCATED"}},
		{"before the head, all expired", "keep.expired", 4, "", []string{"subscribed keep.expired/5", "gap keep.expired 4..5 TRUNCATED"}},
		{"too far", "keep.9", 0, "", []string{"subscribed keep.9/5", "gap keep.9 0..5 TOO_FAR"}},
		{"as far as is replayed", "keep.9", 1, "", []string{"subscribed keep.9/5 resumed", "keep.9/2 2", "keep.9/3 3", "keep.9/4 4", "keep.9/5 5"}},
		{"just before what is kept", "keep.3", 2, "", []string{"subscribed keep.3/5 resumed", "keep.3/3 3", "keep.3/4 4", "keep.3/5 5"}},
		{"within what is kept", "keep.3", 4, "", []string{"subscribed keep.3/5 resumed", "keep.3/5 5"}},
	}
	for _, test := range tests {
		t.Run(test.row, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, tableConfig())
				tableChannels(t, n)
				position := n.at(test.channel, test.offset)
				if test.epoch != "" {
					position.Epoch = test.epoch
				}
				c := n.subscribe(since(test.channel, position))
				c.takes(test.want...)
				next := n.publish(test.channel, "next")
				c.takes(place(test.channel, next) + " next")
			})
		})
	}
}

func TestD6AfterAGapComesWhatTheSubscriberChose(t *testing.T) {
	latest := []string{"subscribed keep.3/5", "gap keep.3 1..5 TRUNCATED"}
	tests := map[millracev1.OnGap][]string{
		millracev1.OnGap_ON_GAP_UNSPECIFIED: latest,
		millracev1.OnGap_ON_GAP_LATEST:      latest,
		millracev1.OnGap_ON_GAP_OLDEST:      {"subscribed keep.3/5", "gap keep.3 1..2 TRUNCATED", "keep.3/3 3", "keep.3/4 4", "keep.3/5 5"},
	}
	for onGap, want := range tests {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, tableConfig())
			tableChannels(t, n)
			c := n.subscribe(choosing(since("keep.3", n.at("keep.3", 1)), onGap))
			c.takes(want...)
			n.publish("keep.3", "6")
			c.takes("keep.3/6 6")
		})
	}
}

// choosing is a subscription that says what comes after a gap.
func choosing(s *millracev1.Subscription, onGap millracev1.OnGap) *millracev1.Subscription {
	s.OnGap = onGap
	return s
}

func TestD6OldestIsAsFarAsTheReplayLimitAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, tableConfig())
		tableChannels(t, n)
		c := n.subscribe(choosing(since("keep.9", n.at("keep.9", 0)), millracev1.OnGap_ON_GAP_OLDEST))
		c.takes("subscribed keep.9/5", "gap keep.9 0..1 TOO_FAR", "keep.9/2 2", "keep.9/3 3", "keep.9/4 4", "keep.9/5 5")
	})
}

func TestD6CloseRefusesWhatIsJustBeingOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, tableConfig())
		tableChannels(t, n)
		wish := choosing(since("keep.3", n.at("keep.3", 1)), millracev1.OnGap_ON_GAP_CLOSE)
		c := n.open(&millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{wish}})
		if why := c.ends("GAP"); why.GetChannel() != "keep.3" || len(c.all()) != 0 {
			t.Errorf("refused with %v after %q", why, inWords(c.all()))
		}
		other := n.subscribe(to("keep.9"))
		response := other.update(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{wish, to("keep.0")}})
		if errs := response.GetErrors(); len(errs) != 1 || reasonOf(errs[0]) != "GAP" || errs[0].GetChannel() != "keep.3" {
			t.Errorf("answered %v", response)
		}
		other.takes("subscribed keep.9/5", "subscribed keep.0/5")
	})
}

func TestD6CloseEndsASubscriptionThatFellBehind(t *testing.T) {
	config := keeping(3)
	config.Limits.PendingBytes = 1000
	for _, name := range []string{"a", "*"} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, config)
			c := n.subscribe(choosing(to(name), millracev1.OnGap_ON_GAP_CLOSE), to("b"))
			c.takes("subscribed "+name+"/0", "subscribed b/0")
			c.stall()
			for i := range 100 {
				n.publish("a", fmt.Sprint(i+1))
			}
			synctest.Wait() // until the session is known to be slow
			c.goOn()
			got := c.news()
			if last := got[len(got)-1]; last != "unsubscribed "+name+" GAP" {
				t.Errorf("took %q", got)
			}
			n.publish("a", "101")
			n.publish("b", "still here")
			c.takes("b/1 still here")
		})
	}
}

func TestD8WhereAChannelIsOutlivesItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1", "2")
		before := n.publish("a", "3")
		time.Sleep(23 * time.Hour)
		if now := n.head("a"); now.GetOffset() != 3 || now.GetEpoch() != before.GetEpoch() {
			t.Errorf("the channel was at %v, and is at %v", before, now)
		}
		c := n.subscribe(since("a", before))
		c.takes("subscribed a/3 resumed")
		c.leave()
		time.Sleep(23 * time.Hour) // asking was a use
		if next := n.publish("a", "4"); next.GetOffset() != 4 || next.GetEpoch() != before.GetEpoch() {
			t.Errorf("the next message is at %v", next)
		}
	})
}

func TestD8AChannelThatWasForgottenHasANewEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		before := n.publish("a", "1")
		time.Sleep(24*time.Hour + 11*time.Minute)
		n.subscribe(since("a", before)).takes("subscribed a/0", "gap a 1..0 EPOCH_CHANGED")
	})
}

func TestD8WhoComesToAForgottenChannelThatOthersAreSubscribedToIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.subscribe(to("a"))
		before := n.publish("a", "1", "2", "3")
		time.Sleep(30 * time.Hour)
		n.subscribe(to("a")).takes("subscribed a/0")
		n.subscribe(recent("a", 5)).takes("subscribed a/0")
		n.subscribe(choosing(since("a", before), millracev1.OnGap_ON_GAP_OLDEST)).takes("subscribed a/0", "gap a 3..0 EPOCH_CHANGED")
		n.publish("a", "1", "2")
		n.subscribe(recent("a", 1)).takes("subscribed a/2", "a/2 2")
		n.subscribe(since("a", n.at("a", 0))).takes("subscribed a/2 resumed", "a/1 1", "a/2 2")
	})
}

func TestD13WhatIsPublishedAfterGetPositionsFollowsFromItsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "before")
		n.publish("p.x", "before")
		_, cursor := n.positions("a", "b", "p.*")
		n.publish("a", "after")
		n.publish("b", "first")
		n.publish("p.x", "after")
		n.publish("p.y", "new")
		c := n.open(&millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{to("a"), to("b"), to("c"), to("p.*")}})
		c.takes("ready", "subscribed a/2 resumed", "subscribed b/1 resumed", "subscribed c/0", "subscribed p.*/6 resumed",
			"a/2 after", "b/1 first", "p.x/2 after", "p.y/1 new")
		later := n.subscribe()
		later.update(&millracev1.UpdateSubscriptionRequest{Cursor: cursor, Add: []*millracev1.Subscription{to("a")}})
		later.takes("subscribed a/2 resumed", "a/2 after")
	})
}

func TestD13AStartOfTheSubscriptionsOwnComesBeforeTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1", "2")
		_, cursor := n.positions("a")
		c := n.open(&millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{since("a", n.at("a", 1))}})
		c.takes("ready", "subscribed a/2 resumed", "a/2 2")
	})
}

func TestD13ACursorThatCannotBeReadIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		live := n.subscribe()
		for _, cursor := range []string{"?", "AAAA", "CgQKAWE=", "Cg", "CgMKASo-"} {
			c := n.open(&millracev1.SubscribeRequest{Cursor: cursor})
			if info := c.ends("INVALID_CURSOR"); info.GetField() != "cursor" {
				t.Errorf("%q is refused for its %s", cursor, info.GetField())
			}
			_, err := n.rpc.UpdateSubscription(live.ctx(), &millracev1.UpdateSubscriptionRequest{Cursor: cursor})
			refused(t, err, "INVALID_CURSOR")
		}
	})
}

func TestD15WhatExpiredInBetweenIsNoGap(t *testing.T) {
	brief := text("a", "brief")
	brief.Ttl = seconds(60)
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1")
		n.send(brief)
		n.publish("a", "3")
		n.send(brief)
		start := n.at("a", 0)
		n.subscribe(since("a", start)).takes("subscribed a/4 resumed", "a/1 1", "a/2 brief", "a/3 3", "a/4 brief")
		time.Sleep(time.Minute)
		c := n.subscribe(since("a", start))
		c.takes("subscribed a/4 resumed", "a/1 1", "checkpoint a/2", "a/3 3")
		time.Sleep(15 * time.Second)
		c.takes("checkpoint a/4", "heartbeat")
	})
}

func TestD15MessagesOlderThanTheRulesAgeAreNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1")
		time.Sleep(5 * time.Minute)
		n.publish("a", "2")
		time.Sleep(5 * time.Minute)
		n.subscribe(since("a", n.at("a", 1))).takes("subscribed a/2 resumed", "a/2 2")
		n.subscribe(since("a", n.at("a", 0))).takes("subscribed a/2", "gap a 0..2 TRUNCATED")
		n.subscribe(recent("a", 5)).takes("subscribed a/2", "a/2 2")
	})
}

func TestD16WhereAPositionMovesWithoutAMessageACheckpointSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Filter: &millracev1.Filter{Types: []string{"chosen"}}})
		c.takes("subscribed a/0")
		n.publish("a", "1", "2")
		c.takes()
		n.sendTyped("chosen", "3")
		c.takes("checkpoint a/2", "a/3 3")
		n.sendTyped("chosen", "4")
		c.takes("a/4 4")
		n.publish("a", "5", "6")
		time.Sleep(15 * time.Second)
		c.takes("checkpoint a/6", "heartbeat")
		time.Sleep(15 * time.Second)
		c.takes("heartbeat")
		own := text("a", "7")
		own.Type, own.ExcludeSelf, own.SessionToken = "chosen", true, c.ready().GetSessionToken()
		n.send(own)
		n.sendTyped("chosen", "8")
		c.takes("checkpoint a/7", "a/8 8")
	})
}

func TestD16APatternSaysWhereItsChannelsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(&millracev1.Subscription{Channel: "*", Filter: &millracev1.Filter{Types: []string{"chosen"}}})
		c.takes("subscribed */0")
		n.publish("a", "1", "2")
		n.publish("b", "1")
		n.sendTyped("chosen", "3")
		c.takes("checkpoint a/2", "a/3 3")
		n.publish("a", "4")
		time.Sleep(15 * time.Second)
		got := c.news()
		slices.Sort(got[:2])
		if want := []string{"checkpoint a/4", "checkpoint b/1", "heartbeat"}; !slices.Equal(got, want) {
			t.Errorf("took %q, want %q", got, want)
		}
	})
}

func TestD16ACheckpointComesInTimeAlsoWhereAnotherChannelIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Filter: &millracev1.Filter{Types: []string{"none"}}}, to("busy"))
		n.publish("a", "hidden")
		for range 20 {
			time.Sleep(time.Second)
			n.publish("busy", "x")
		}
		synctest.Wait()
		if got := inWords(c.all()); !slices.Contains(got, "checkpoint a/1") {
			t.Errorf("took %q", got)
		}
	})
}

func TestD2AMessageThatExpiredIsPassedOverWhereOffsetsHaveHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startOn(t, sparse(memory.Open(memory.Options{})), keeping(10))
		n.publish("a", "1")
		brief := text("a", "brief")
		brief.Ttl = seconds(1)
		n.send(brief)
		n.publish("a", "3")
		time.Sleep(time.Second)
		n.subscribe(since("a", n.at("a", 0))).takes("subscribed a/30 resumed", "a/10 1", "checkpoint a/20", "a/30 3")
	})
}
