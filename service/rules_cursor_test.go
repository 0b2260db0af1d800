package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// position is what the subscription that was confirmed last begins at.
func (c *client) position() *millracev1.Position {
	var p *millracev1.Position
	for _, item := range c.all() {
		if s := item.frame.Notice.GetSubscribed(); s != nil {
			p = s.GetPosition()
		}
	}
	return p
}

func TestD7WhoIsCutAfterSubscribedMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(3))
		n.publish("a", "1", "2", "3", "4")
		for _, begin := range []struct {
			subscription *millracev1.Subscription
			want         []string
		}{
			{to("a"), nil},
			{recent("a", 2), []string{"a/3 3", "a/4 4"}},
			{recent("a", 9), []string{"a/2 2", "a/3 3", "a/4 4"}},
			{since("a", n.at("a", 2)), []string{"a/3 3", "a/4 4"}},
			{since("a", n.at("a", 0)), []string{"gap a 0..4 TRUNCATED"}},
			{choosing(since("a", n.at("a", 0)), millracev1.OnGap_ON_GAP_OLDEST), []string{"gap a 0..1 TRUNCATED", "a/2 2", "a/3 3", "a/4 4"}},
		} {
			c := n.subscribe(begin.subscription)
			opening := c.news()
			if !slices.Equal(opening[1:], begin.want) {
				t.Errorf("took %q, want %q", opening, begin.want)
			}
			// Whoever took nothing but the confirmation comes back from there.
			again := choosing(since("a", c.position()), begin.subscription.GetOnGap())
			if got := n.subscribe(again).news(); !slices.Equal(got[1:], begin.want) {
				t.Errorf("came back to %q, want %q", got, begin.want)
			}
		}
	})
}

func TestD7SubscribedComesBeforeWhoIsPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(3))
		n.publish("a", "1", "2")
		watching := recent("a", 2)
		watching.Presence = true
		for range 20 {
			got := n.subscribe(watching).news()
			if got[0] != "subscribed a/2" {
				t.Fatalf("took %q", got)
			}
		}
	})
}

func TestD6APatternBeginsWithTheOldestAfterAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(2))
		n.publish("a.x", "1", "2", "3")
		n.publish("a.y", "1")
		lost := &millracev1.Position{Epoch: "another", Offset: 7}
		c := n.subscribe(choosing(since("a.*", lost), millracev1.OnGap_ON_GAP_OLDEST))
		c.takes("subscribed a.*/4", "gap a.* 7..0 EPOCH_CHANGED", "a.x/2 2", "a.x/3 3", "a.y/1 1")
		n.publish("a.y", "2")
		c.takes("a.y/2 2")
		n.subscribe(since("a.*", lost)).takes("subscribed a.*/5", "gap a.* 7..5 EPOCH_CHANGED")
	})
}

// What a channel that keeps nothing is published right after the subscription, before
// its reader comes to look, is not part of what the pattern's gap says.
func TestD12APatternThatBeginsWithTheOldestSaysWhatItMissesSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, service.Config{Rules: []service.Rule{{Pattern: "a.kept", History: engine.Retention{Messages: 2}}, {Pattern: ">"}}})
		n.publish("a.x", "1")
		n.publish("a.kept", "1", "2")
		c := n.subscribe(to("other"))
		c.takes("subscribed other/0")
		c.stall()
		n.publish("other", "1")
		synctest.Wait() // the reader is in the middle of a write
		c.add(choosing(since("a.*", &millracev1.Position{Epoch: "another", Offset: 7}), millracev1.OnGap_ON_GAP_OLDEST))
		n.publish("a.y", "1")
		n.publish("a.kept", "3", "4", "5")
		c.goOn()
		c.takes("other/1 1", "subscribed a.*/4", "gap a.* 7..0 EPOCH_CHANGED",
			"gap a.kept 0..3 TRUNCATED", "a.kept/4 4", "a.kept/5 5", "gap a.y 0..1 NO_HISTORY")
		n.publish("a.y", "2")
		n.publish("a.x", "2")
		c.takes("a.y/2 2", "a.x/2 2")
	})
}

// A channel that keeps only its latest value has lost nothing to a pattern that
// has seen the one before.
func TestD12APatternsPositionProvesThatNothingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1))
		n.publish("a.x", "1")
		c := n.subscribe(to("a.*"))
		c.takes("subscribed a.*/1")
		n.publish("a.x", "2")
		n.subscribe(since("a.*", c.position())).takes("subscribed a.*/2 resumed", "a.x/2 2")
		n.publish("a.x", "3")
		n.subscribe(since("a.*", c.position())).takes("subscribed a.*/3 resumed", "gap a.x 0..3 TRUNCATED")
	})
}

func TestD12APatternMovesPastTheChannelsThatItHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := keeping(10)
		config.Limits.PatternChannels = 3
		n := start(t, config)
		c := n.subscribe(to("a.*"))
		for i := range 4 {
			n.publish(fmt.Sprint("a.", i), "x")
		}
		c.takes("subscribed a.*/0", "a.0/1 x", "a.1/1 x", "a.2/1 x", "a.3/1 x")
		n.publish("a.4", "x")
		c.takes("checkpoint a.*/4", "a.4/1 x")
		n.publish("a.1", "y")
		c.takes("a.1/2 y")
		c.stall()
		for i := range 6 {
			n.publish(fmt.Sprint("a.", i), "z")
		}
		c.goOn()
		c.takes("a.0/2 z", "a.1/3 z", "a.2/2 z", "checkpoint a.*/9", "a.3/2 z", "a.4/2 z", "a.5/1 z")
	})
}

func TestD13ACursorThatIsTooLongForAHeaderIsAGapToWhatItLeavesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		n.publish("kept", "1", "2")
		n.publish("cut", "1")
		var cursor service.Cursor
		at := n.at("kept", 1)
		cursor.Set("kept", engine.Position{Epoch: at.GetEpoch(), Offset: at.GetOffset()})
		cursor.Set("p.*", engine.Position{Epoch: "e", Offset: 1})
		for i := range 600 {
			cursor.Set(fmt.Sprintf("%s%d", strings.Repeat("x", 50), i), engine.Position{Epoch: "e", Offset: 1})
		}
		text := cursor.Header()
		if len(text) > service.MaxHeaderCursor || len(cursor.String()) <= service.MaxHeaderCursor {
			t.Fatalf("the cursor has %d bytes, for a header %d", len(cursor.String()), len(text))
		}
		c := n.open(&millracev1.SubscribeRequest{Cursor: text, Subscriptions: []*millracev1.Subscription{to("kept"), to("cut"), to("p.*")}})
		c.takes("ready", "subscribed kept/2 resumed", "subscribed cut/1", "gap cut 0..1 EPOCH_CHANGED",
			"subscribed p.*/3", "gap p.* 0..3 EPOCH_CHANGED", "kept/2 2")
	})
}
