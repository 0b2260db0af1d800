package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// opened is where the first subscription of a client began.
func opened(c *client) *millracev1.Position {
	return c.all()[1].frame.Notice.GetSubscribed().GetPosition()
}

// resuming is a subscription to a pattern that goes on from where it began, and
// in each channel from what was seen.
func resuming(from *millracev1.Position, seen ...*millracev1.ChannelPosition) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: "a.*", Since: from, Seen: seen}
}

func (n *node) seen(channel string, offset uint64) *millracev1.ChannelPosition {
	n.t.Helper()
	return &millracev1.ChannelPosition{Channel: channel, Position: n.at(channel, offset)}
}

func TestD12APatternDeliversEveryMatchingChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		tokens, rest := n.subscribe(to("a.*.c")), n.subscribe(to("a.>"))
		for _, name := range []string{"a.b.c", "a.b", "a", "a.x.c", "a.b.c.d", "b.b.c"} {
			n.publish(name, "x")
		}
		tokens.takes("subscribed a.*.c/0", "a.b.c/1 x", "a.x.c/1 x")
		rest.takes("subscribed a.>/0", "a.b.c/1 x", "a.b/1 x", "a.x.c/1 x", "a.b.c.d/1 x")
	})
}

func TestD12APatternHasTheMessagesOfOneChannelInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(to("a.*"))
		together(4, func(publisher int) {
			for i := range 50 {
				n.publish(fmt.Sprint("a.", i%3), fmt.Sprint(publisher))
			}
		})
		synctest.Wait()
		for i := range 3 {
			name := fmt.Sprint("a.", i)
			got := messages(c, name)
			for j, line := range got {
				if !strings.HasPrefix(line, fmt.Sprintf("%s/%d ", name, j+1)) {
					t.Fatalf("message %d of %d is %q", j+1, len(got), line)
				}
			}
			if len(got) != int(n.head(name).GetOffset()) {
				t.Errorf("took %d messages of %s", len(got), name)
			}
		}
	})
}

func TestD12APatternResumesFromItsPositionAndThoseOfTheChannelsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a.old", "1")
		n.publish("a.both", "1")
		c := n.subscribe(to("a.*"))
		n.publish("a.both", "2")
		c.takes("subscribed a.*/2", "a.both/2 2")
		start := opened(c)
		c.lose()
		n.publish("a.both", "3")
		n.publish("a.new", "1", "2")
		n.publish("b.other", "1")
		again := n.subscribe(resuming(start, n.seen("a.both", 2)))
		again.takes("subscribed a.*/7 resumed", "a.both/3 3", "a.new/1 1", "a.new/2 2")
		n.publish("a.old", "2")
		n.publish("a.both", "4")
		again.takes("a.old/2 2", "a.both/4 4")
		n.subscribe(resuming(start)).takes("subscribed a.*/9 resumed",
			"a.both/2 2", "a.both/3 3", "a.both/4 4", "a.new/1 1", "a.new/2 2", "a.old/2 2")
	})
}

func TestD12WhatAPatternCannotHaveIsAGapOfItsChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(2))
		n.publish("a.x", "1")
		c := n.subscribe(to("a.*"))
		c.takes("subscribed a.*/1")
		start := opened(c)
		n.publish("a.x", "2", "3", "4", "5")
		n.publish("a.y", "1", "2", "3")
		n.publish("a.z", "1", "2")
		wish := resuming(start, n.seen("a.x", 1))
		latest := n.subscribe(wish)
		latest.takes("subscribed a.*/10 resumed", "gap a.x 1..5 TRUNCATED", "gap a.y 0..3 TRUNCATED", "a.z/1 1", "a.z/2 2")
		oldest := n.subscribe(choosing(proto.CloneOf(wish), millracev1.OnGap_ON_GAP_OLDEST))
		oldest.takes("subscribed a.*/10 resumed", "gap a.x 1..3 TRUNCATED", "a.x/4 4", "a.x/5 5",
			"gap a.y 0..1 TRUNCATED", "a.y/2 2", "a.y/3 3", "a.z/1 1", "a.z/2 2")
		closed := n.subscribe(choosing(proto.CloneOf(wish), millracev1.OnGap_ON_GAP_CLOSE))
		closed.takes("subscribed a.*/10 resumed", "unsubscribed a.* GAP")
	})
}

func TestD12APatternOfAnotherEpochIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a.x", "1")
		wish := resuming(&millracev1.Position{Offset: 1, Epoch: "other"})
		c := n.subscribe(wish)
		n.publish("a.x", "2")
		c.takes("subscribed a.*/1", "gap a.* 1..1 EPOCH_CHANGED", "a.x/2 2")
		beyond := n.subscribe(resuming(&millracev1.Position{Offset: 99, Epoch: opened(c).GetEpoch()}))
		beyond.takes("subscribed a.*/2", "gap a.* 99..2 EPOCH_CHANGED")
		refusing := n.open(&millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{choosing(proto.CloneOf(wish), millracev1.OnGap_ON_GAP_CLOSE)}})
		refusing.ends("GAP")
	})
}

func TestD12APositionThatCannotBeIsAGapOfItsChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a.x", "1", "2")
		n.publish("a.y", "1")
		n.publish("b", "1")
		from := opened(n.subscribe(to("a.*")))
		other := &millracev1.ChannelPosition{Channel: "a.y", Position: &millracev1.Position{Offset: 1, Epoch: "other"}}
		c := n.subscribe(resuming(from, n.seen("a.x", 5), other, n.seen("b", 0), n.seen("a.never", 0)))
		c.takes("subscribed a.*/4 resumed", "gap a.x 5..2 DIVERGED", "gap a.y 1..1 EPOCH_CHANGED")
		n.publish("a.x", "3")
		n.publish("a.y", "2")
		c.takes("a.x/3 3", "a.y/2 2")
	})
}

func TestD12ACursorHoldsAPatternAndItsChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("a.x", "1")
		_, cursor := n.positions("a.*", "a.x", "a.y")
		n.publish("a.x", "2")
		n.publish("a.y", "1")
		n.publish("a.z", "1")
		c := n.open(&millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{to("a.*")}})
		c.takes("ready", "subscribed a.*/4 resumed", "a.x/2 2", "a.y/1 1", "a.z/1 1")
	})
}

func TestD12ASlowPatternReadsOnFromTheLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, slowConfig(1000))
		c := n.stalled(to("a.*"))
		for i := range 600 {
			n.flood(fmt.Sprint("a.", i%3), 1)
		}
		if waits := n.pending(c); waits > budget+500 {
			t.Errorf("%d bytes wait", waits)
		}
		c.goOn()
		for i := range 3 {
			n.flood(fmt.Sprint("a.", i), 10)
		}
		synctest.Wait()
		for i := range 3 {
			name := fmt.Sprint("a.", i)
			var got []int
			for _, line := range messages(c, name) {
				var offset int
				fmt.Sscanf(line, name+"/%d ", &offset) //nolint:errcheck // 0 is not expected
				got = append(got, offset)
			}
			if !slices.Equal(got, upTo(1, 210)) {
				t.Errorf("took %d messages of %s", len(got), name)
			}
		}
	})
}

func TestD12APatternPassesOverWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("a.*"))
		start := opened(c)
		n.publish("a.x", "1")
		brief := text("a.x", "brief")
		brief.Ttl = seconds(1)
		n.send(brief)
		n.publish("a.x", "3")
		time.Sleep(time.Second)
		n.subscribe(resuming(start)).takes("subscribed a.*/3 resumed", "a.x/1 1", "checkpoint a.x/2", "a.x/3 3")
	})
}
