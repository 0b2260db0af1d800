package enginetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace.dev/engine"
)

const (
	publishers = 16
	perOne     = 40 // messages of one publisher
)

var orderPromises = []promise{
	{"deliveries come in one unbroken chain of rising offsets", deliveriesAreAChain},
	{"a publisher's own messages keep their order", publishersKeepTheirOrder},
	{"what is delivered is what is read", deliveriesAreTheLog},
	{"a message is delivered and read as it was published", messagesAreWhole},
	{"a channel without any message has a position, which the first one follows", channelsBeginSomewhere},
}

// crowd has many publish to a few channels at once, and names the channels.
func (s *subject) crowd() []string {
	s.Helper()
	channels := []string{"crowd.a", "crowd.b", "crowd.c"}
	each(publishers, func(i int) {
		for k := range perOne {
			m := text(channels[(i+k)%len(channels)], strconv.Itoa(k))
			m.Publisher = strconv.Itoa(i)
			if _, err := s.Append(s.Context(), m, keep); err != nil {
				s.Errorf("append: %v", err)
			}
		}
	})
	return channels
}

func deliveriesAreAChain(s *subject) {
	total := 0
	for _, channel := range s.crowd() {
		messages := s.delivered(channel)
		total += len(messages)
		if broken := brokenChain(messages, engine.Position{Epoch: s.state(channel).Epoch}); broken != "" {
			s.Error(broken)
		}
	}
	if total != publishers*perOne {
		s.Errorf("%d messages were published, %d delivered", publishers*perOne, total)
	}
}

// brokenChain says where messages do not follow one another from a place on.
func brokenChain(messages []*engine.Message, at engine.Position) string {
	for i, m := range messages {
		if m.Position.Epoch != at.Epoch || m.Position.Offset <= at.Offset || m.Previous != at.Offset {
			return fmt.Sprintf("message %d at %v, previous %d, does not follow %v", i, m.Position, m.Previous, at)
		}
		at = m.Position
	}
	return ""
}

func publishersKeepTheirOrder(s *subject) {
	for _, channel := range s.crowd() {
		last := map[string]int{}
		for _, m := range s.delivered(channel) {
			k, err := strconv.Atoi(string(m.Payload.Data))
			if err != nil {
				s.Fatal(err)
			}
			if before, found := last[m.Publisher]; found && k <= before {
				s.Errorf("publisher %s: message %d comes after %d", m.Publisher, k, before)
			}
			last[m.Publisher] = k
		}
	}
}

func deliveriesAreTheLog(s *subject) {
	for _, channel := range s.crowd() {
		if d := difference("the log", s.kept(channel), "the deliveries", s.delivered(channel)); d != "" {
			s.Error(d)
		}
	}
}

func messagesAreWhole(s *subject) {
	now := time.Now()
	messages := []engine.Message{
		{Payload: engine.Payload{Kind: engine.JSON, Data: []byte(`{ "a": [1, 1.0, "ü\u2028"] }`)}, Type: "update"},
		{Payload: engine.Payload{Kind: engine.Text, Data: []byte("a\n\x00ü\u2028")}, Key: "k"},
		{Payload: engine.Payload{Kind: engine.Binary, Data: []byte{0, 0xff, '\n', 0xc0}, ContentType: "image/png"}, ID: "1"},
		{Payload: engine.Payload{Kind: engine.Empty}, Publisher: "ada", Headers: map[string]string{"a": "1", "ü": ""}},
		{Payload: engine.Payload{Kind: engine.Text}, TTL: time.Hour, Exclude: "session"},
		{Entity: &engine.Entity{Name: "user", ID: "7", Timestamp: "2026-01-02", QueryKeys: `[["users"]]`}, Type: "delete"},
		{Producer: &engine.Producer{ID: "outbox", Epoch: 2, Seq: 1}},
	}
	for i := range messages {
		m := messages[i]
		m.Channel, m.Time = "whole", now.Add(time.Duration(i)*time.Microsecond)
		messages[i] = m
		p := s.publish(&m, keep)
		messages[i].Position, messages[i].Previous = p, 0
		if i > 0 {
			messages[i].Previous = messages[i-1].Position.Offset
		}
	}
	var want []*engine.Message
	delivered := s.delivered("whole")
	for i := range messages {
		if i < len(delivered) {
			messages[i].Sequence, messages[i].PreviousSequence = delivered[i].Sequence, delivered[i].PreviousSequence
		}
		want = append(want, &messages[i])
	}
	if d := difference("the deliveries", delivered, "what was published", want); d != "" {
		s.Error(d)
	}
	if d := difference("the log", s.kept("whole"), "what was published", want); d != "" {
		s.Error(d)
	}
}

func channelsBeginSomewhere(s *subject) {
	for i := range 50 {
		channel := "begin." + strconv.Itoa(i)
		before := s.state(channel)
		if before.Epoch == "" || before.Low != before.Head+1 || before.Sequence != 0 {
			s.Fatalf("state of a channel without any message: %+v", before)
		}
		if page := s.read(channel, engine.ReadOptions{Limit: 1}); len(page.Messages) > 0 || page.More || page.State != before {
			s.Fatalf("a channel without any message at %+v reads as %+v", before, page)
		}
		if again := s.state(channel); again != before {
			s.Fatalf("a channel without any message was at %+v and is at %+v", before, again)
		}
		s.publish(text(channel, "first"), keep)
		if broken := brokenChain(s.delivered(channel), before.Position()); broken != "" {
			s.Fatal(broken)
		}
		if !slices.Equal(texts(s.kept(channel)), []string{"first"}) {
			s.Fatalf("the log of %s is %q", channel, texts(s.kept(channel)))
		}
	}
}
