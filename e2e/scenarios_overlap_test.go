package e2e_test

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// resumeOverlapping has a channel twice: by its own subscription, which waits, and
// by a pattern that passes over most of it. What the pattern is past, the other has
// after it came back.
func resumeOverlapping(s *scene) {
	const name, pattern = "o.x", "o.*"
	publisher := s.arrive("")
	first := s.arrive("", &millracev1.Subscription{Channel: name, MinInterval: durationpb.New(time.Minute)})
	own := first.seesSubscribed(name).GetPosition()
	first.add(&millracev1.Subscription{Channel: pattern, Filter: &millracev1.Filter{Types: []string{"kind"}}})
	request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{
		since(name, own), since(pattern, first.seesSubscribed(pattern).GetPosition()),
	}}
	one := publisher.say(name, `"1"`)
	first.sees(one)
	request.Subscriptions[0].Since = one.GetPosition()
	missed := publisher.sayAll(name, 2)
	shown := publisher.publish(&millracev1.PublishRequest{Channel: name, Type: "kind", Data: jsonData(`"kind"`)})
	first.toldOf("checkpoint")
	last := first.toldOf("message")
	first.leave()

	stream, isStream := s.wire.(eventStream)
	if by := last.message.GetPattern(); by != pattern && (!isStream || stream.envelope) {
		s.Errorf("the message of the pattern comes by %q", by)
	}
	request.Subscriptions[1].Seen = []*millracev1.ChannelPosition{{Channel: name, Position: shown.GetPosition()}}
	if last.cursor != "" {
		request = &millracev1.SubscribeRequest{Cursor: last.cursor, Subscriptions: []*millracev1.Subscription{subscribe(name), subscribe(pattern)}}
	}
	second, err := s.open("", request)
	if err != nil {
		s.Fatal(err)
	}
	confirmed := 0
	for want := slices.Concat(missed, []*millracev1.Message{shown}); confirmed < 2 || len(want) > 0; {
		e := second.told()
		if e.subscribed.GetResumed() {
			confirmed++
			continue
		}
		if len(want) == 0 || e.message.GetPayload().GetJson() != want[0].GetPayload().GetJson() || e.message.GetPattern() != "" {
			s.Fatalf("got %s, want two confirmations and %v", e, want)
		}
		want = want[1:]
	}
	second.seesNoMore()
}
