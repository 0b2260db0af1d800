package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// budget is what the sessions of these tests may have waiting.
const budget = 10_000

func slowConfig(history int) service.Config {
	config := keeping(history)
	config.Limits.PendingBytes = budget
	return config
}

// stalled opens a session whose client takes nothing more: it is being sent a
// message of another channel.
func (n *node) stalled(subscriptions ...*millracev1.Subscription) *client {
	n.t.Helper()
	c := n.subscribe(append(subscriptions, to("plug"))...)
	c.stall()
	n.publish("plug", "x")
	synctest.Wait()
	return c
}

// flood publishes so many messages of about 300 bytes.
func (n *node) flood(channel string, messages int) {
	n.t.Helper()
	for i := range messages {
		n.publish(channel, fmt.Sprintf("%d %s", i+1, strings.Repeat(".", 200)))
	}
}

// offsets are those of the messages of channel a that c took since it was last
// asked, and the other lines.
func offsets(c *client) (found []int, others []string) {
	for _, line := range c.news() {
		var offset int
		if n, _ := fmt.Sscanf(line, "a/%d ", &offset); n == 1 {
			found = append(found, offset)
		} else {
			others = append(others, line)
		}
	}
	return found, others
}

// upTo are the numbers from the first to the last.
func upTo(first, last int) []int {
	var numbers []int
	for i := first; i <= last; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}

func TestS1NobodyWaitsForAClientThatDoesNotRead(t *testing.T) {
	for _, history := range []int{0, 5000} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, slowConfig(history))
			stalled, others := n.stalled(to("a"), to("*")), []*client{n.subscribe(to("a")), n.subscribe(to("*"))}
			before := time.Now()
			for range 100 {
				n.flood("a", 20)
				synctest.Wait()
			}
			if waited := time.Since(before); waited != 0 {
				t.Errorf("publishing waited for %v", waited)
			}
			for _, c := range others {
				if got, _ := offsets(c); !slices.Equal(got, upTo(1, 2000)) {
					t.Errorf("another session took %d messages", len(got))
				}
			}
			stalled.lose()
		})
	}
}

func TestS2AtMostTheBudgetWaitsForASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(5000))
		c := n.stalled(to("a"), to("b"), to("*"))
		for i := range 500 {
			n.flood([]string{"a", "b"}[i%2], 1)
			synctest.Wait() // the session is told by its writer
			if waits := n.pending(c); waits > budget+500 {
				t.Fatalf("%d bytes wait after %d messages, and the budget is %d", waits, i+1, budget)
			}
		}
	})
}

func TestS2TheBudgetIsForAllChannelsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(5000))
		var subscriptions []*millracev1.Subscription
		for i := range 100 {
			subscriptions = append(subscriptions, to(fmt.Sprint("a.", i)))
		}
		c := n.stalled(subscriptions...)
		for i := range 100 {
			n.flood(fmt.Sprint("a.", i), 1)
		}
		synctest.Wait() // as above
		if waits := n.pending(c); waits > budget+500 {
			t.Errorf("%d bytes wait, and the budget is %d", waits, budget)
		}
		c.goOn()
		synctest.Wait()
		for i := range 100 {
			if got := messages(c, fmt.Sprint("a.", i)); len(got) != 1 {
				t.Errorf("took %q of channel %d", got, i)
			}
		}
	})
}

func TestS3WithHistoryNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(5000))
		c := n.stalled(to("a"))
		n.flood("a", 2000)
		c.goOn()
		n.flood("a", 500)
		got, others := offsets(c)
		if want := []string{"subscribed a/0", "subscribed plug/0", "plug/1 x"}; !slices.Equal(got, upTo(1, 2500)) || !slices.Equal(others, want) {
			t.Errorf("took %d messages, and %q", len(got), others)
		}
	})
}

func TestS3WhatTheLogNoLongerKeepsIsAGap(t *testing.T) {
	tests := map[millracev1.OnGap]struct {
		gap  string
		rest []int
	}{
		millracev1.OnGap_ON_GAP_LATEST: {"gap a 0..2000 TRUNCATED", nil},
		millracev1.OnGap_ON_GAP_OLDEST: {"gap a 0..1900 TRUNCATED", upTo(1901, 2000)},
	}
	for onGap, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, slowConfig(100))
			c := n.stalled(choosing(to("a"), onGap))
			n.flood("a", 2000)
			synctest.Wait() // until the session is known to be slow
			c.goOn()
			got, others := offsets(c)
			if !slices.Equal(got, test.rest) || others[len(others)-1] != test.gap {
				t.Errorf("took %d messages, and %q", len(got), others)
			}
		})
	}
}

func TestS4WithoutHistoryASlowSessionIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(0))
		c, quick := n.stalled(to("a")), n.subscribe(to("a"))
		n.flood("a", 20)
		synctest.Wait()
		if c.failure() != nil {
			t.Fatalf("ended within the budget: %v", c.failure())
		}
		for range 5 {
			n.flood("a", 20)
			synctest.Wait()
		}
		c.goOn()
		info := c.ends("SLOW_CONSUMER")
		if after := info.GetRetryAfter(); after == nil || after.AsDuration() != 0 || info.GetChannel() != "a" {
			t.Errorf("ended with %v", info)
		}
		got, _ := offsets(c)
		if !slices.Equal(got, upTo(1, len(got))) {
			t.Errorf("took %v before the end", got)
		}
		if got, _ := offsets(quick); len(got) != 120 {
			t.Errorf("another session took %d messages", len(got))
		}
	})
}

func TestS4DropOldestDropsOnlyWhatItMustAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(0))
		c := n.stalled(&millracev1.Subscription{Channel: "a", OnSlow: millracev1.OnSlow_ON_SLOW_DROP_OLDEST})
		n.flood("a", 1000)
		synctest.Wait() // until the session is known to be slow
		c.goOn()
		got, others := offsets(c)
		first := 1000 - len(got) + 1
		gap := fmt.Sprintf("gap a 0..%d NO_HISTORY", first-1)
		if !slices.Equal(got, upTo(first, 1000)) || others[len(others)-1] != gap {
			t.Errorf("took %v, and %q, want %s", got, others, gap)
		}
		if kept := len(got) * 300; kept < budget/2-300 { // whole messages go
			t.Errorf("only %d bytes of %d were kept", kept, budget)
		}
		n.publish("a", "live")
		c.takes("a/1001 live")
	})
}

// keyed is a text with a key for channel a.
func keyed(key, data string) *millracev1.PublishRequest {
	request := text("a", data)
	request.Key = key
	return request
}

func TestS4LatestPerKeyKeepsTheLatestOfEachKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(0))
		c := n.stalled(&millracev1.Subscription{Channel: "a", OnSlow: millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY})
		for i := range 1000 {
			n.send(keyed(fmt.Sprint("k", i%7), fmt.Sprintf("k%d %d %s", i%7, i, strings.Repeat(".", 200))))
		}
		n.flood("a", 10)
		if waits := n.pending(c); waits > budget+500 {
			t.Errorf("%d bytes wait", waits)
		}
		c.goOn()
		got, others := offsets(c)
		if !slices.IsSorted(got) || len(others) != 3 || c.failure() != nil {
			t.Errorf("took %v and %q, ended with %v", got, others, c.failure())
		}
		for _, offset := range append(upTo(994, 1000), 1010) {
			if !slices.Contains(got, offset) {
				t.Errorf("took %v, without the latest of a key at %d", got, offset)
			}
		}
		n.publish("a", "live")
		c.takes("a/1011 live")
	})
}

func TestS4MoreKeysThanTheBudgetHoldsAreAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(0))
		c := n.stalled(&millracev1.Subscription{Channel: "a", OnSlow: millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY})
		for i := range 1000 {
			n.send(keyed(fmt.Sprint("k", i), strings.Repeat(".", 200)))
		}
		synctest.Wait()
		c.goOn()
		got, others := offsets(c)
		first := 1000 - len(got) + 1
		gap := fmt.Sprintf("gap a 0..%d NO_HISTORY", first-1)
		if len(got) < 10 || !slices.Equal(got, upTo(first, 1000)) || others[len(others)-1] != gap {
			t.Errorf("took %v and %q, want %s", got, others, gap)
		}
	})
}
