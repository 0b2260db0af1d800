package service_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// messages are the lines of what a client took that are messages of a channel.
func messages(c *client, channel string) []string {
	var lines []string
	for _, line := range inWords(c.all()) {
		if strings.HasPrefix(line, channel+"/") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestD1AllSessionsSeeOneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		sessions := []*client{
			n.subscribe(to("room.a")),
			n.subscribe(to("room.*")),
			n.subscribe(to("room.b"), to("room.a")),
			n.subscribe(&millracev1.Subscription{Channel: "room.a", MinInterval: seconds(1)}),
		}
		together(4, func(publisher int) {
			for i := range 50 {
				n.publish("room.a", fmt.Sprint(publisher, "-", i))
				n.publish("room.b", "beside")
			}
		})
		time.Sleep(2 * time.Second)
		sessions = append(sessions, n.subscribe(&millracev1.Subscription{Channel: "room.a", Recent: 1000}))
		want := messages(sessions[0], "room.a")
		if len(want) != 200 {
			t.Fatalf("took %d messages, want 200", len(want))
		}
		for i, line := range want {
			if !strings.HasPrefix(line, fmt.Sprintf("room.a/%d ", i+1)) {
				t.Fatalf("message %d is %q", i+1, line)
			}
		}
		for i, c := range sessions {
			if got := messages(c, "room.a"); !slices.Equal(got, want) {
				t.Errorf("session %d saw another order: %q", i, got)
			}
		}
	})
}

func TestD2OffsetsRiseWithinAnEpochWhichIsNewWithEveryLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epochs := map[string]bool{}
		for range 3 {
			n := start(t, keeping(10))
			for i := range uint64(5) {
				p := n.publish("a", "x")
				if p.GetOffset() != i+1 {
					t.Errorf("message %d has offset %d", i+1, p.GetOffset())
				}
				epochs[p.GetEpoch()] = true
			}
		}
		if len(epochs) != 3 {
			t.Errorf("3 logs have the epochs %v", epochs)
		}
	})
}

func TestD2AMessageSaysItsPredecessorWhereOffsetsHaveHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startOn(t, sparse(memory.Open(memory.Options{})), keeping(10))
		live := n.subscribe(to("a"))
		n.publish("a", "one", "two", "three")
		live.takes("subscribed a/0", "a/10 one", "a/20 two", "a/30 three")
		resumed := n.subscribe(&millracev1.Subscription{Channel: "a", Since: n.at("a", 10)})
		resumed.takes("subscribed a/30 resumed", "a/20 two", "a/30 three")
		for _, c := range []*client{live, resumed} {
			for _, it := range c.all() {
				for _, m := range it.frame.Response().GetMessages() {
					if at := m.GetPosition().GetOffset(); at > stride && m.GetPreviousOffset() != at-stride {
						t.Errorf("message %d says that %d is before it", at, m.GetPreviousOffset())
					}
				}
			}
		}
		dense := start(t, keeping(10))
		c := dense.subscribe(to("a"))
		dense.publish("a", "one", "two")
		for _, it := range c.fresh()[1:] {
			if p := it.frame.Response().GetMessages()[0].GetPreviousOffset(); p != 0 {
				t.Errorf("previous_offset is %d where nothing lies between", p)
			}
		}
	})
}

func TestD3AcknowledgedMeansPlacedAndReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		subscribers := []*client{n.subscribe(to("a")), n.subscribe(to("*")), n.subscribe(to("a"))}
		subscribers[2].stall()
		var mu sync.Mutex
		var acknowledged []string
		together(5, func(publisher int) {
			for i := range 20 {
				data := fmt.Sprint(publisher, "-", i)
				p := n.publish("a", data)
				mu.Lock()
				acknowledged = append(acknowledged, fmt.Sprintf("a/%d %s", p.GetOffset(), data))
				mu.Unlock()
			}
		})
		subscribers[2].goOn()
		synctest.Wait()
		slices.Sort(acknowledged)
		for i, c := range subscribers {
			if got := slices.Sorted(slices.Values(messages(c, "a"))); !slices.Equal(got, acknowledged) {
				t.Errorf("subscriber %d took %d messages, and %d were acknowledged", i, len(got), len(acknowledged))
			}
		}
	})
}

func TestD3ASubscriptionThatWasSilentForDaysReceivesTheNextMessage(t *testing.T) {
	for _, history := range []int{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			config := keeping(history)
			config.Limits.MaxAge = 100 * time.Hour
			n := start(t, config)
			c := n.open(&millracev1.SubscribeRequest{HeartbeatInterval: seconds(300), Subscriptions: []*millracev1.Subscription{to("a"), to("*")}})
			n.publish("a", "before")
			time.Sleep(30 * time.Hour) // the engine forgets where the channel was
			n.publish("a", "after", "last")
			synctest.Wait()
			got := messages(c, "a")
			if want := []string{"a/1 before", "a/1 before", "a/1 after", "a/2 last", "a/1 after", "a/2 last"}; len(got) != len(want) ||
				got[2] != want[2] || got[len(got)-1] != want[5] {
				t.Errorf("with %d kept, took %q", history, got)
			}
		})
	}
}

func TestD4ASubscriberThatComesBackHasEachMessageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		published := make(chan struct{})
		go func() {
			defer close(published)
			for i := range 500 {
				n.publish("a", fmt.Sprint(i+1))
				if i%7 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		}()
		var got []string
		since := n.at("a", 0)
		for range 50 {
			c := n.subscribe(&millracev1.Subscription{Channel: "a", Since: since})
			time.Sleep(2 * time.Millisecond)
			c.lose()
			lines := messages(c, "a")
			got = append(got, lines...)
			since.Offset += uint64(len(lines))
		}
		<-published
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Since: since})
		got = append(got, messages(c, "a")...)
		for i := range 500 {
			if want := fmt.Sprintf("a/%d %d", i+1, i+1); len(got) != 500 || got[i] != want {
				t.Fatalf("took %d messages, that at %d is %q, want %q", len(got), i, got[min(i, len(got)-1)], want)
			}
		}
	})
}

func TestD4WhatCannotBeHadIsAGapBeforeAnyLaterMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(3))
		n.publish("a", "1", "2", "3", "4", "5")
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Since: n.at("a", 1), OnGap: millracev1.OnGap_ON_GAP_OLDEST})
		n.publish("a", "6")
		c.takes("subscribed a/5", "gap a 1..2 TRUNCATED", "a/3 3", "a/4 4", "a/5 5", "a/6 6")
	})
}

func TestD7SubscribedComesBeforeAnythingOfTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1", "2")
		c := n.subscribe()
		c.stall()
		c.add(&millracev1.Subscription{Channel: "a", Recent: 1, Presence: true})
		n.publish("a", "3")
		n.whisper("psst")
		c.goOn()
		got := c.news()
		if slices.Index(got, "subscribed a/2") > slices.Index(got, "a/2 2") || !slices.Contains(got, "a/3 3") {
			t.Errorf("took %q", got)
		}
	})
}

func TestD7WhatIsPublishedAfterUpdateSubscriptionIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		stop := make(chan struct{})
		defer close(stop)
		go n.publishInBursts("a", stop)
		for range 100 {
			c := n.open(&millracev1.SubscribeRequest{})
			time.Sleep(burst) // so that the next one begins now
			c.add(to("a"))
			mine := n.publish("a", "mine").GetOffset()
			synctest.Wait()
			got := messages(c, "a")
			from := c.all()[1].frame.Notice.GetSubscribed().GetPosition().GetOffset()
			first, last := fmt.Sprintf("a/%d ", from+1), fmt.Sprintf("a/%d mine", mine)
			if !strings.HasPrefix(got[0], first) || !slices.Contains(got, last) {
				t.Fatalf("subscribed at %d and published at %d, took %q", from, mine, got)
			}
			c.leave()
		}
	})
}

func TestD9NothingComesUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(3))
		n.publish("a", "1", "2", "3", "4")
		n.subscribe(to("a")).takes("subscribed a/4")
		n.subscribe(to("*")).takes("subscribed */4")
		n.subscribe(recent("a", 1)).takes("subscribed a/4", "a/4 4")
		n.subscribe(recent("a", 2)).takes("subscribed a/4", "a/3 3", "a/4 4")
		n.subscribe(recent("a", 9)).takes("subscribed a/4", "a/2 2", "a/3 3", "a/4 4")
		n.subscribe(recent("empty", 9)).takes("subscribed empty/0")
	})
}

func TestD9RecentCountsWhatIsStillKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "1", "2")
		for range 3 {
			brief := text("a", "brief")
			brief.Ttl = seconds(1)
			n.send(brief)
		}
		time.Sleep(2 * time.Second)
		n.subscribe(recent("a", 1)).takes("subscribed a/5", "a/2 2")
		n.subscribe(recent("a", 2)).takes("subscribed a/5", "a/1 1", "a/2 2")
	})
}

func TestD10SubscribingTwiceIsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a", "0")
		c := n.subscribe(to("a"), to("a"))
		c.takes("subscribed a/1", "subscribed already a/1")
		again := c.update(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{to("a"), recent("a", 5)}})
		if len(again.GetSubscribed())+len(again.GetErrors()) != 0 {
			t.Errorf("subscribing again answers %v", again)
		}
		n.publish("a", "1")
		c.takes("subscribed already a/1", "subscribed already a/1", "a/2 1")
		c.update(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{to("a")}})
		c.takes("subscribed already a/2")
		c.remove("a", "a")
		n.publish("a", "2")
		c.takes("unsubscribed a")
	})
}

func TestD10AChannelAndAPatternBothDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("a.b"), to("a.*"))
		n.publish("a.b", "1", "2")
		synctest.Wait()
		got := slices.Sorted(slices.Values(messages(c, "a.b")))
		if want := []string{"a.b/1 1", "a.b/1 1", "a.b/2 2", "a.b/2 2"}; !slices.Equal(got, want) {
			t.Errorf("took %q, want %q", got, want)
		}
	})
}

func TestD11AfterUnsubscribedNothingFollows(t *testing.T) {
	for _, name := range []string{"a", "*"} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, keeping(0))
			c := n.subscribe(to(name), to("b"))
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 1000 {
					n.publish("a", "x")
				}
			}()
			c.remove(name)
			<-done
			synctest.Wait()
			got := inWords(c.all())
			at := slices.Index(got, "unsubscribed "+name)
			if at < 0 || at != len(got)-1 {
				t.Errorf("%q is followed by %q", got[at], got[at+1:])
			}
		})
	}
}

func TestD11WhatWaitsForAStalledClientIsNotSentAfterUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("a"), to("b"))
		c.takes("subscribed a/0", "subscribed b/0")
		c.stall()
		n.publish("b", "holds the client")
		synctest.Wait()
		n.publish("a", "1", "2")
		c.remove("a")
		c.goOn()
		c.takes("b/1 holds the client", "unsubscribed a")
		time.Sleep(15 * time.Second)
		c.takes("heartbeat")
	})
}
