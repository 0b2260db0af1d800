package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func TestS5AClientThatTakesNothingForTenSecondsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(100))
		c, idle := n.stalled(to("a")), n.subscribe(to("a"))
		time.Sleep(9900 * time.Millisecond)
		synctest.Wait()
		if c.failure() != nil {
			t.Fatalf("cut after 9.9 s: %v", c.failure())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if c.failure() == nil {
			t.Error("not cut after 12.9 s")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if idle.failure() != nil {
			t.Errorf("a session that was sent nothing is cut: %v", idle.failure())
		}
	})
}

func TestS5AClientThatTakesLittleAtATimeIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(100))
		c := n.subscribe()
		c.delay = 8 * time.Second
		c.add(to("a"), to("b"), to("c"), to("d")) // four notices, one after the other
		time.Sleep(time.Minute)
		c.takes("subscribed a/0", "subscribed b/0", "subscribed c/0", "subscribed d/0", "heartbeat")
	})
}

func TestS6AtMostOneBatchIsSentInAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", MinInterval: seconds(1)}, to("b"))
		for range 45 {
			n.publish("a", "x")
			n.publish("b", "at once")
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		batches := map[int]time.Time{}
		for _, it := range c.all() {
			if line := say(it); strings.HasPrefix(line, "a/") {
				batches[it.batch] = it.at
			}
		}
		if len(batches) < 4 || len(batches) > 5 {
			t.Errorf("%d batches in 4.5 s", len(batches))
		}
		times := map[time.Time]bool{}
		for _, at := range batches {
			for earlier := range times {
				if d := at.Sub(earlier).Abs(); d < time.Second {
					t.Errorf("two batches within %v", d)
				}
			}
			times[at] = true
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if a, b := messages(c, "a"), messages(c, "b"); len(a) != 45 || len(b) != 45 {
			t.Errorf("took %d and %d messages", len(a), len(b))
		}
	})
}

func TestS6OfABatchOnlyTheLatestMessageOfEachKeyIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", MinInterval: seconds(1), LatestPerKey: true})
		n.publish("a", "at once")
		c.takes("subscribed a/0", "a/1 at once")
		for i := range 4 {
			n.send(keyed("x", fmt.Sprint("x", i)))
			n.send(keyed("y", fmt.Sprint("y", i)))
			n.publish("a", "no key")
		}
		n.send(keyed("x", "x4"))
		time.Sleep(time.Second)
		c.takes("a/4 no key", "a/7 no key", "a/10 no key", "a/12 y3", "a/13 no key", "a/14 x4")
	})
}

func TestS6KeysOfSeveralChannelsAreSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.subscribe(&millracev1.Subscription{Channel: "*", MinInterval: seconds(1), LatestPerKey: true})
		n.publish("c", "at once")
		c.takes("subscribed */0", "c/1 at once")
		for _, channel := range []string{"a", "b", "a", "b"} {
			request := keyed("x", "")
			request.Channel = channel
			n.send(request)
		}
		typing := keyed("x", "typing")
		typing.Ephemeral = true
		n.send(typing)
		time.Sleep(time.Second)
		c.takes("a/2", "b/2", "a/- typing")
	})
}

func TestS7AFilterChoosesByTypeAndHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		filters := map[string]*millracev1.Filter{
			"1 2 3 4 5": {},
			"1 2 4":     {Types: []string{"t", "u"}},
			"1 3 4":     {Headers: map[string]string{"h": "v"}},
			"4":         {Types: []string{"u"}, Headers: map[string]string{"h": "v"}},
			"3":         {Headers: map[string]string{"h": "v", "i": "w"}},
		}
		sessions := map[string]*client{}
		for want, filter := range filters {
			sessions[want] = n.subscribe(&millracev1.Subscription{Channel: "a", Filter: filter})
			sessions["* "+want] = n.subscribe(&millracev1.Subscription{Channel: "*", Filter: filter})
		}
		for i, m := range []*millracev1.PublishRequest{
			{Type: "t", Headers: map[string]string{"h": "v"}},
			{Type: "t", Headers: map[string]string{"h": "w"}},
			{Headers: map[string]string{"h": "v", "i": "w"}},
			{Type: "u", Headers: map[string]string{"h": "v", "i": ""}},
			{},
		} {
			m.Channel, m.Data = "a", text("", fmt.Sprint(i+1)).GetData()
			n.send(m)
		}
		n.sendTyped("t", "hidden from some")
		for want, c := range sessions {
			synctest.Wait()
			var got []string
			for _, line := range messages(c, "a") {
				_, data, _ := strings.Cut(line, " ")
				got = append(got, strings.TrimSuffix(data, "hidden from some"))
			}
			if strings.TrimSpace(strings.Join(got, " ")) != strings.TrimPrefix(want, "* ") {
				t.Errorf("want %s, took %q", want, got)
			}
		}
	})
}

func TestS7WhatIsFilteredOutStillMovesThePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.subscribe(&millracev1.Subscription{Channel: "a", Since: n.at("a", 0), Filter: &millracev1.Filter{Types: []string{"t"}}})
		c.takes("subscribed a/0 resumed")
		n.publish("a", "1", "2")
		n.sendTyped("t", "3")
		n.publish("a", "4")
		time.Sleep(15 * time.Second)
		c.takes("checkpoint a/2", "a/3 3", "checkpoint a/4", "heartbeat")
	})
}
