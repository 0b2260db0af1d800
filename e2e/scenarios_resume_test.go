package e2e_test

import (
	"fmt"
	"slices"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func resumeFromPosition(s *scene) {
	const name = "news.1"
	publisher, first := s.arrive(""), s.join(subscribe(name))
	messages := publisher.sayAll(name, 4)
	first.sees(messages...)
	first.leave()

	missed := publisher.sayAll(name, 6)
	second := s.arrive("", since(name, messages[3].GetPosition()))
	second.seesResumed(name)
	second.sees(missed...)
	second.sees(publisher.say(name, `"live"`))
	second.seesNoMore()

	// From the middle of what it had seen, it sees the rest again.
	third := s.arrive("", since(name, messages[1].GetPosition()))
	third.seesResumed(name)
	third.sees(messages[2:]...)
	third.sees(missed...)
}

// seesResumed expects a subscription that goes on where it was.
func (c *client) seesResumed(channel string) {
	c.Helper()
	if got := c.seesSubscribed(channel); !got.GetResumed() {
		c.Fatalf("subscribed {%s}, want it resumed", got)
	}
}

func resumeFromNothing(s *scene) {
	const name = "news.2"
	first := s.arrive("", subscribe(name))
	before := first.seesSubscribed(name).GetPosition()
	first.leave()
	if before.GetOffset() != 0 {
		s.Errorf("a channel without a message is at %s", before)
	}

	publisher := s.arrive("")
	missed := publisher.sayAll(name, 3)
	second := s.arrive("", since(name, before))
	second.seesResumed(name)
	second.sees(missed...)
	second.sees(publisher.say(name, `"live"`))
	second.seesNoMore()
}

func resumeAtHead(s *scene) {
	const name = "news.3"
	publisher := s.arrive("")
	messages := publisher.sayAll(name, 3)
	c := s.arrive("", since(name, messages[2].GetPosition()))
	c.seesResumed(name)
	c.seesNoMore()
	c.sees(publisher.say(name, `"live"`))
}

func resumeWhileMessagesFlow(s *scene) {
	const name = long + ".news"
	at := s.on(rpc{}).arrive("").say(name, `"first"`).GetPosition()
	stop := s.flow(name)
	for range 10 {
		c := s.arrive("", since(name, at))
		c.seesResumed(name)
		offset := at.GetOffset()
		for range 20 {
			offset = c.seesNext(offset)
		}
		at.Offset = offset
		c.leave()
	}
	stop()
}

func askForRecent(s *scene) {
	const name = "news.4"
	publisher := s.arrive("")
	recent := func(n uint32) *client {
		s.Helper()
		c := s.arrive("", &millracev1.Subscription{Channel: name, Recent: n})
		if got := c.seesSubscribed(name); got.GetResumed() {
			s.Errorf("subscribed {%s}, want it not resumed", got)
		}
		return c
	}
	recent(3).seesNoMore()
	messages := publisher.sayAll(name, 5)
	s.isEverywhere(messages)
	some, one, more := recent(3), recent(1), recent(50)
	some.sees(messages[2:]...)
	one.sees(messages[4])
	more.sees(messages...)
	live := publisher.say(name, `"live"`)
	for _, c := range []*client{some, one, more} {
		c.sees(live)
		c.seesNoMore()
	}
}

// resumePattern goes away from a pattern and comes back with the position of the
// pattern and those of the channels of which it had seen something.
func resumePattern(s *scene) {
	publisher, first := s.arrive(""), s.arrive("", subscribe("shop.*"))
	from := first.seesSubscribed("shop.*").GetPosition()
	a, b := publisher.sayAll("shop.a", 2), publisher.sayAll("shop.b", 1)
	first.seesEach(append(a, b...)...)
	first.leave()

	// Of c it has seen nothing.
	missed := slices.Concat(publisher.sayAll("shop.a", 3), publisher.sayAll("shop.b", 2), publisher.sayAll("shop.c", 2))
	publisher.say("elsewhere", `1`)
	second := s.arrive("", &millracev1.Subscription{Channel: "shop.*", Since: from, Seen: []*millracev1.ChannelPosition{
		{Channel: "shop.a", Position: a[1].GetPosition()},
		{Channel: "shop.b", Position: b[0].GetPosition()},
	}})
	second.seesResumed("shop.*")
	second.seesEach(missed...)
	second.seesEach(publisher.say("shop.a", `"live"`), publisher.say("shop.d", `"live"`))
	second.seesNoMore()
}

// resumeFromCursor hands a place in several channels over: what a backend does
// when it answers with data and the cursor that the data is as of.
func resumeFromCursor(s *scene) {
	publisher := s.arrive("")
	publisher.sayAll("order.1", 2)
	publisher.sayAll("stock.a", 3)
	at := ask[*millracev1.GetPositionsResponse](publisher, &millracev1.GetPositionsRequest{Channels: []string{"order.1", "order.2", "stock.*"}})
	if len(at.GetPositions()) != 3 || at.GetCursor() == "" {
		s.Fatalf("positions: %s, want three and a cursor", at)
	}
	missed := map[string][]*millracev1.Message{
		"order.1": publisher.sayAll("order.1", 2),
		"order.2": publisher.sayAll("order.2", 2),
		"stock.a": publisher.sayAll("stock.a", 1),
		"stock.b": publisher.sayAll("stock.b", 2),
	}
	publisher.say("order.3", `"not asked for"`)
	subscriptions := []*millracev1.Subscription{subscribe("order.1"), subscribe("order.2"), subscribe("stock.*"), subscribe("new")}
	c, err := s.open("", &millracev1.SubscribeRequest{Subscriptions: subscriptions, Cursor: at.GetCursor()})
	if err != nil {
		s.Fatal(err)
	}
	// The cursor does not know the last channel, which begins now. Replays of one
	// channel may come before the confirmation of the next.
	resumed, total := map[string]bool{}, 0
	for len(resumed) < len(subscriptions) || total < 7 {
		e := c.told()
		if e.subscribed != nil {
			resumed[e.subscribed.GetChannel()] = e.subscribed.GetResumed()
			continue
		}
		of := missed[e.message.GetChannel()]
		if len(of) == 0 || !same(e.message, s.wire.shows(of[0])) {
			s.Fatalf("got %s, want the next of its channel", e)
		}
		missed[e.message.GetChannel()], total = of[1:], total+1
	}
	if want := "map[new:false order.1:true order.2:true stock.*:true]"; fmt.Sprint(resumed) != want {
		s.Errorf("resumed: %v, want %s", resumed, want)
	}
	c.seesEach(publisher.say("new", `"live"`), publisher.say("order.2", `"live"`), publisher.say("stock.c", `"live"`))
	c.seesNoMore()
}

// resumeFromStreamCursor comes back with the cursor that the stream itself gave,
// as browsers do. Wires whose streams have none say where each channel was.
func resumeFromStreamCursor(s *scene) {
	names := []string{"s.a", "s.b", "t.*"}
	first := s.arrive("", subscribe(names[0]), subscribe(names[1]), subscribe(names[2]))
	request, cursor := &millracev1.SubscribeRequest{}, ""
	for _, name := range names {
		e := first.toldOf("subscribed")
		cursor = e.cursor
		request.Subscriptions = append(request.Subscriptions, since(name, e.subscribed.GetPosition()))
	}
	publisher := s.arrive("")
	for i, name := range []string{"s.a", "t.x", "s.a", "t.y", "s.b", "t.x"} {
		first.expect(publisher.say(name, fmt.Sprint(i)), request, &cursor)
	}
	first.leave()
	missed := map[string][]*millracev1.Message{}
	for _, name := range []string{"s.a", "s.b", "t.x", "t.y", "t.z"} {
		missed[name] = publisher.sayAll(name, 2)
	}
	if cursor != "" {
		request = &millracev1.SubscribeRequest{Cursor: cursor}
		for _, name := range names {
			request.Subscriptions = append(request.Subscriptions, subscribe(name))
		}
	}
	second, err := s.open("", request)
	if err != nil {
		s.Fatal(err)
	}
	for confirmed := 0; confirmed < len(names) || len(missed) > 0; {
		e := second.told()
		if e.subscribed.GetResumed() {
			confirmed++
			continue
		}
		of := missed[e.message.GetChannel()]
		if len(of) == 0 || !same(e.message, s.wire.shows(of[0])) {
			s.Fatalf("got %s, want the next of its channel", e)
		}
		if missed[e.message.GetChannel()] = of[1:]; len(of) == 1 {
			delete(missed, e.message.GetChannel())
		}
	}
	second.seesNoMore()
}

// expect sees a message and notes where its channel is.
func (c *client) expect(want *millracev1.Message, request *millracev1.SubscribeRequest, cursor *string) {
	c.Helper()
	e := c.toldOf("message")
	if !same(e.message, c.wire.shows(want)) {
		c.Fatalf("got %s, want {%s}", e, want)
	}
	*cursor = e.cursor
	name := want.GetChannel()
	for _, s := range request.GetSubscriptions() {
		if s.GetChannel() == name {
			s.Since = want.GetPosition()
			return
		}
	}
	pattern := request.GetSubscriptions()[2]
	for _, seen := range pattern.GetSeen() {
		if seen.GetChannel() == name {
			seen.Position = want.GetPosition()
			return
		}
	}
	pattern.Seen = append(pattern.Seen, &millracev1.ChannelPosition{Channel: name, Position: want.GetPosition()})
}

// resumeWidePattern follows more channels than a cursor can name. What it notes
// stays small, because the pattern's own position moves past them, and nothing
// is lost or seen twice.
func resumeWidePattern(s *scene) {
	const channels = 400
	publisher, first := s.arrive(""), s.arrive("", subscribe("wide.*"))
	name := func(i int) string { return fmt.Sprintf("wide.a-channel-with-quite-a-long-name-%d", i) }
	opening := first.toldOf("subscribed")
	request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{since("wide.*", opening.subscribed.GetPosition())}}
	cursor := opening.cursor
	for i := range channels {
		message := publisher.say(name(i), fmt.Sprint(i))
		e := first.told()
		for ; e.checkpoint != nil; e = first.told() {
			passed(request.GetSubscriptions()[0], e.checkpoint)
		}
		if !same(e.message, s.wire.shows(message)) {
			s.Fatalf("got %s, want {%s}", e, message)
		}
		cursor = e.cursor
		passed(request.GetSubscriptions()[0], &millracev1.Checkpoint{Channel: name(i), Position: message.GetPosition()})
		if known := len(request.GetSubscriptions()[0].GetSeen()); len(cursor) > 4<<10 || cursor == "" && known > 40 {
			s.Fatalf("after %d channels the cursor has %d bytes and the client knows %d", i+1, len(cursor), known)
		}
	}
	first.leave()
	var missed []*millracev1.Message
	for i := 0; i < channels; i += 7 {
		missed = append(missed, publisher.say(name(i), `"missed"`))
	}
	if cursor != "" {
		request = &millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{subscribe("wide.*")}}
	}
	second, err := s.open("", request)
	if err != nil {
		s.Fatal(err)
	}
	second.seesResumed("wide.*")
	second.seesEach(missed...)
	second.seesNoMore()
}

// passed notes where a pattern is, as a client does: its own position stands for
// all channels that it has seen.
func passed(pattern *millracev1.Subscription, at *millracev1.Checkpoint) {
	if at.GetChannel() == pattern.GetChannel() {
		pattern.Since, pattern.Seen = at.GetPosition(), nil
		return
	}
	for _, seen := range pattern.GetSeen() {
		if seen.GetChannel() == at.GetChannel() {
			seen.Position = at.GetPosition()
			return
		}
	}
	pattern.Seen = append(pattern.Seen, &millracev1.ChannelPosition{Channel: at.GetChannel(), Position: at.GetPosition()})
}
