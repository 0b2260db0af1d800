package e2e_test

import (
	"context"
	"fmt"
	"sync"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func publishAndReceive(s *scene) {
	here, there := s.join(subscribe("chat.1")), s.on(rpc{}).join(subscribe("chat.1"))
	first := here.say("chat.1", `{"text":"from here"}`)
	second := there.say("chat.1", `{"text":"from there"}`)
	third := here.say("chat.1", `{"text":"from here again"}`)
	for _, c := range []*client{here, there} {
		c.sees(first, second, third)
		c.seesNoMore()
	}
	if at := third.GetPosition(); at.GetOffset() != 3 || at.GetEpoch() != first.GetPosition().GetEpoch() {
		s.Errorf("the third message is at %s, the first at %s", at, first.GetPosition())
	}
}

func keepOrder(s *scene) {
	c := s.join(subscribe(long + ".order"))
	messages := s.arrive("").sayAll(long+".order", 200)
	c.sees(messages...)
	c.seesNoMore()
}

func isolateChannels(s *scene) {
	names := []string{"a", "b", "a.b", "ab", "A"}
	publisher := s.arrive("")
	var clients []*client
	for _, name := range names {
		clients = append(clients, s.join(subscribe(name)))
	}
	for i, name := range names {
		message := publisher.say(name, fmt.Sprintf(`"to %s"`, name))
		clients[i].sees(message)
	}
	for _, c := range clients {
		c.seesNoMore()
	}
}

func carryManyChannels(s *scene) {
	const n = 100
	var subscriptions []*millracev1.Subscription
	for i := range n {
		subscriptions = append(subscriptions, subscribe(fmt.Sprintf("room.%d", i)))
	}
	c, publisher := s.join(subscriptions...), s.arrive("")
	for round := range 2 {
		for i := range n {
			c.sees(publisher.say(fmt.Sprintf("room.%d", i), fmt.Sprint(round)))
		}
	}
	c.seesNoMore()
}

func followPatterns(s *scene) {
	chat, user := s.join(subscribe("chat.*")), s.join(subscribe("user.>"))
	both := s.join(subscribe("user.*.inbox.*"), subscribe("chat.*"), subscribe("chat.1.>"))
	publisher := s.arrive("")
	for _, m := range []struct {
		channel          string
		chat, user, both bool
	}{
		{"chat.1", true, false, true},
		{"chat", false, false, false},
		{"chat.2", true, false, true},
		{"chat.1.typing", false, false, true},
		{"user", false, false, false},
		{"user.ada", false, true, false},
		{"user.ada.inbox.1", false, true, true},
		{"users.ada", false, false, false},
		{"chat.1", true, false, true},
	} {
		message := publisher.say(m.channel, `"to `+m.channel+`"`)
		for c, wanted := range map[*client]bool{chat: m.chat, user: m.user, both: m.both} {
			if wanted {
				c.sees(message)
			}
		}
	}
	for _, c := range []*client{chat, user, both} {
		c.seesNoMore()
	}

	info := publisher.isRefusedSubscription(subscribe(single+".*"), millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "channel")
	if info.GetChannel() != single+".*" {
		s.Errorf("the refusal is about %q", info.GetChannel())
	}
}

// isRefusedSubscription adds a subscription that must not be.
func (c *client) isRefusedSubscription(add *millracev1.Subscription, reason millracev1.ErrorReason, field string) *millracev1.ErrorInfo {
	c.Helper()
	response := c.add(add)
	if len(response.GetSubscribed()) > 0 || len(response.GetErrors()) != 1 {
		c.Errorf("subscribe to %s: %s, want it refused for %s", add, response, reason)
		return nil
	}
	return checkRefusal(c.T, &refusal{info: response.GetErrors()[0]}, reason, field)
}

func subscribeTwice(s *scene) {
	c := s.join(subscribe("twice"))
	if again := c.add(subscribe("twice")); len(again.GetErrors()) > 0 {
		s.Errorf("subscribe again: %s", again)
	}
	message := s.arrive("").say("twice", `1`)
	// Only the wire of browsers, where somebody asked, answers again.
	e := c.told()
	if e.kind() == "subscribed" {
		e = c.told()
	}
	if !same(e.message, s.wire.shows(message)) {
		s.Errorf("got %s, want the message", e)
	}
	c.seesNoMore()
}

func unsubscribe(s *scene) {
	c, publisher := s.join(subscribe("a"), subscribe("b"), subscribe("p.*")), s.arrive("")
	c.sees(publisher.say("a", `1`))
	c.remove("a")
	publisher.say("a", `"after unsubscribed"`)
	c.seesUnsubscribed("a")
	c.seesEach(publisher.say("b", `1`), publisher.say("p.1", `1`))

	c.remove("p.*")
	publisher.say("p.1", `"after unsubscribed"`)
	c.seesUnsubscribed("p.*")

	// What is not there is removed without a word.
	c.remove("a", "never.there", "p.*")
	c.seesNoMore()

	// Coming back is a new subscription, from now on.
	c.add(subscribe("a"))
	c.seesSubscribed("a")
	c.sees(publisher.say("a", `2`))
}

// changeWhileMessagesFlow comes and goes on a channel that never rests: between
// subscribed and unsubscribed are the messages after the position, without a
// hole, and elsewhere is none.
func changeWhileMessagesFlow(s *scene) {
	const name, turns = long + ".busy", 10
	stop := s.flow(name)
	c := s.arrive("")
	for range turns {
		c.add(subscribe(name))
		at := c.seesSubscribed(name).GetPosition().GetOffset()
		for range 3 {
			at = c.seesNext(at)
		}
		c.remove(name)
		for {
			e := c.told()
			if e.kind() == "unsubscribed" {
				break
			}
			at = c.checkNext(e, at)
		}
	}
	stop()
	c.seesNoMore()
}

// seesNext expects the message after an offset.
func (c *client) seesNext(offset uint64) uint64 {
	c.Helper()
	return c.checkNext(c.told(), offset)
}

func (c *client) checkNext(e event, offset uint64) uint64 {
	c.Helper()
	if e.message.GetPosition().GetOffset() != offset+1 {
		c.Fatalf("got %s, want the message at offset %d", e, offset+1)
	}
	return offset + 1
}

// flow publishes to a channel without rest, until the caller stops it.
func (s *scene) flow(name string) (stop func()) {
	publisher := s.on(rpc{}).arrive("")
	ctx, cancel := context.WithCancel(s.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if _, err := publisher.call(ctx, &millracev1.PublishRequest{Channel: name, Data: jsonData(`{}`)}); err != nil && ctx.Err() == nil {
				s.Errorf("publish: %v", err)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	s.Cleanup(stop)
	return stop
}
