package service_test

import (
	"cmp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// keeper is a client that does what the protocol says of positions: it keeps those
// of each subscription, and resumes each from its own.
type keeper struct {
	since map[string]*millracev1.Position
	seen  map[string]map[string]*millracev1.Position // by pattern
	shown map[string][]string
}

// keep reads what a client has taken.
func keep(items []item) *keeper {
	k := &keeper{since: map[string]*millracev1.Position{}, seen: map[string]map[string]*millracev1.Position{}, shown: map[string][]string{}}
	for _, it := range items {
		for _, m := range it.frame.Response().GetMessages() {
			name := cmp.Or(m.GetPattern(), m.GetChannel())
			k.shown[name] = append(k.shown[name], say(it))
			k.move(m.GetPattern(), m.GetChannel(), m.GetPosition())
		}
		subscribed, checkpoint := it.frame.Notice.GetSubscribed(), it.frame.Notice.GetCheckpoint()
		if subscribed != nil {
			k.move("", subscribed.GetChannel(), subscribed.GetPosition())
		}
		if checkpoint != nil {
			k.move(checkpoint.GetPattern(), checkpoint.GetChannel(), checkpoint.GetPosition())
		}
	}
	return k
}

func (k *keeper) move(pattern, name string, to *millracev1.Position) {
	if pattern == "" {
		k.since[name] = to
		return
	}
	if k.seen[pattern] == nil {
		k.seen[pattern] = map[string]*millracev1.Position{}
	}
	k.seen[pattern][name] = to
}

// resume is a subscription that goes on where it was.
func (k *keeper) resume(wish *millracev1.Subscription) *millracev1.Subscription {
	wish.Since = k.since[wish.GetChannel()]
	for name, at := range k.seen[wish.GetChannel()] {
		wish.Seen = append(wish.Seen, &millracev1.ChannelPosition{Channel: name, Position: at})
	}
	return wish
}

// paced is a subscription that shows something once a minute.
func paced(name string) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: name, MinInterval: durationpb.New(time.Minute)}
}

// only is a subscription to the messages of one type.
func only(name, kind string) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: name, Filter: &millracev1.Filter{Types: []string{kind}}}
}

// typed is a message of a type in the channel that all of these tests have.
func typed(data, kind string) *millracev1.PublishRequest {
	request := text("a.x", data)
	request.Type = kind
	return request
}

// The pattern passes over what the channel's own subscription has still to show.
func TestD17APlaceOfAPatternIsNotOneOfTheChannelsOwnSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(paced("a.x"), only("a.*", "kind"))
		n.publish("a.x", "1")
		synctest.Wait()
		n.publish("a.x", "2", "3")
		n.send(typed("4", "kind"))
		synctest.Wait()
		took := keep(c.all())
		if got := slices.Concat(took.shown["a.x"], took.shown["a.*"]); !slices.Equal(got, []string{"a.x/1 1", "a.x/4 4"}) {
			t.Fatalf("took %q", got)
		}
		c.lose()
		again := n.subscribe(took.resume(to("a.x")), took.resume(only("a.*", "kind")))
		again.takes("subscribed a.x/4 resumed", "subscribed a.*/4 resumed", "a.x/2 2", "a.x/3 3", "a.x/4 4")
	})
}

func TestD17EachOfTwoPatternsShowsWhatItsFilterLetsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(only("a.*", "one"), only("a.>", "two"), to("a.x"))
		n.send(typed("1", "one"))
		n.send(typed("2", "two"))
		n.send(typed("3", "three"))
		synctest.Wait()
		shown := keep(c.all()).shown
		for name, want := range map[string][]string{"a.*": {"a.x/1 1"}, "a.>": {"a.x/2 2"}, "a.x": {"a.x/1 1", "a.x/2 2", "a.x/3 3"}} {
			if !slices.Equal(shown[name], want) {
				t.Errorf("by %s came %q, want %q", name, shown[name], want)
			}
		}
	})
}

func TestD17AnEphemeralMessageSaysByWhichPatternItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		c := n.subscribe(to("a.x"), to("a.*"))
		typing := text("a.x", "typing")
		typing.Ephemeral = true
		n.send(typing)
		synctest.Wait()
		shown := keep(c.all()).shown
		for _, name := range []string{"a.x", "a.*"} {
			if want := []string{"a.x/- typing"}; !slices.Equal(shown[name], want) {
				t.Errorf("by %s came %q, want %q", name, shown[name], want)
			}
		}
	})
}

func TestD17AGapSaysWhichPatternMissedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1))
		c := n.subscribe(to("a.*"))
		from := opened(c)
		n.publish("a.x", "1", "2", "3")
		c = n.subscribe(since("a.*", from), to("a.x"))
		c.takes("subscribed a.*/3 resumed", "subscribed a.x/3", "gap a.x 0..3 TRUNCATED")
		gap := c.all()[3].frame.Notice.GetGap()
		if gap.GetPattern() != "a.*" {
			t.Errorf("the gap is of %q, want a.*", gap.GetPattern())
		}
	})
}

// A cursor that was made on a stream of both keeps them apart.
func TestD17ACursorHasAPlaceForEachSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		began := opened(n.subscribe(to("a.*")))
		n.publish("a.x", "1", "2", "3")
		cursor := cursorOf(map[string]*millracev1.Position{"a.x": n.at("a.x", 1), "a.*": began}, "a.*", "a.x", n.at("a.x", 2))
		c := n.open(&millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{to("a.x"), to("a.*")}})
		synctest.Wait()
		shown := keep(c.all()).shown
		for name, want := range map[string][]string{"a.x": {"a.x/2 2", "a.x/3 3"}, "a.*": {"a.x/3 3"}} {
			if !slices.Equal(shown[name], want) {
				t.Errorf("by %s came %q, want %q", name, shown[name], want)
			}
		}
	})
}

// cursorOf is the text of a cursor with the places of subscriptions, and of a
// pattern in one of its channels.
func cursorOf(places map[string]*millracev1.Position, pattern, name string, at *millracev1.Position) string {
	var cursor service.Cursor
	for name, p := range places {
		cursor.Set(name, engine.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()})
	}
	cursor.Move(pattern, name, engine.Position{Epoch: at.GetEpoch(), Offset: at.GetOffset()})
	return cursor.String()
}
