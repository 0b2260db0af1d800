package enginetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace.dev/engine"
)

var retentionPromises = []promise{
	{"a channel keeps its newest messages, as many as the retention says", countIsKept},
	{"a channel keeps no message beyond the age that the retention says", ageIsKept},
	{"epoch and head outlive the messages", positionsOutliveMessages},
	{"a changed retention holds from the next message on", retentionChanges},
	{"a retention of nothing keeps the position alone", positionsAreKept},
	{"a message with a time to live is passed over once it is dead, and is no hole", ttlPassesOver},
	{"a message's time to live ends before the age of its channel", ttlComesFirst},
}

// keeping are the options of an append.
func keeping(messages int, age time.Duration) engine.AppendOptions {
	return engine.AppendOptions{Retention: engine.Retention{Messages: messages, Age: age}}
}

// keeps checks what a channel keeps, and that its state says the same.
func (s *subject) keeps(channel string, want []string) {
	s.Helper()
	s.eventually(func() string { return s.notKept(channel, want) })
}

// keepsUntil is keeps of what is so until a time.
func (s *subject) keepsUntil(until time.Time, channel string, want []string) {
	s.Helper()
	s.until(until, func() string { return s.notKept(channel, want) })
}

// notKept is how what a channel keeps differs from what it should.
func (s *subject) notKept(channel string, want []string) string {
	page := s.read(channel, engine.ReadOptions{Limit: 1000})
	if got := texts(page.Messages); !slices.Equal(got, want) {
		return fmt.Sprintf("kept %q, want %q", got, want)
	}
	low := page.State.Head + 1
	if len(page.Messages) > 0 {
		low = page.Messages[0].Position.Offset
	}
	if page.State.Low != low || page.More {
		return fmt.Sprintf("state %+v, more %v, of messages from %d on", page.State, page.More, low)
	}
	if state := s.state(channel); state != page.State {
		return fmt.Sprintf("the state is %+v and reads as %+v", state, page.State)
	}
	return ""
}

func countIsKept(s *subject) {
	for n := 1; n <= 12; n++ {
		s.publish(text("count", strconv.Itoa(n)), keeping(5, 0))
		s.keeps("count", numbers(max(1, n-4), n))
	}
	s.elapse(s.options.Age)
	s.keeps("count", numbers(8, 12)) // whatever their age
}

func ageIsKept(s *subject) {
	age := s.options.Age
	first := time.Now()
	s.publish(text("age", "1"), keeping(100, age))
	s.elapse(age / 2)
	second := time.Now()
	s.publish(text("age", "2"), keeping(100, age))
	s.keepsUntil(first.Add(age), "age", numbers(1, 2))
	s.elapse(age/2 + age/10)
	s.keepsUntil(second.Add(age), "age", numbers(2, 2))
	s.elapse(age / 2)
	s.keeps("age", nil)
}

func positionsOutliveMessages(s *subject) {
	age := s.options.Age
	s.publish(text("outlive", "1"), keeping(100, age))
	s.publish(text("outlive", "2"), keeping(100, age))
	before := s.state("outlive")
	s.elapse(age + age/10)
	s.keeps("outlive", nil)
	want := engine.State{Epoch: before.Epoch, Low: before.Head + 1, Head: before.Head, Sequence: before.Sequence}
	if after := s.state("outlive"); after != want {
		s.Errorf("the channel is at %+v, want %+v", after, want)
	}
	third := time.Now()
	s.publish(text("outlive", "3"), keeping(100, age))
	if broken := brokenChain(s.delivered("outlive"), engine.Position{Epoch: before.Epoch}); broken != "" {
		s.Error(broken)
	}
	s.keepsUntil(third.Add(age), "outlive", numbers(3, 3))
}

func retentionChanges(s *subject) {
	n := 0
	for _, step := range []struct{ messages, keep, oldest int }{
		{messages: 10, keep: 100, oldest: 1},
		{messages: 1, keep: 3, oldest: 9},
		{messages: 2, keep: 100, oldest: 9}, // what is gone stays gone
		{messages: 1, keep: 1, oldest: 14},
		{messages: 30, keep: 20, oldest: 25},
		{messages: 1, keep: 1000, oldest: 25},
	} {
		for range step.messages {
			n++
			s.publish(text("change", strconv.Itoa(n)), keeping(step.keep, 0))
		}
		s.keeps("change", numbers(step.oldest, n))
	}
	if broken := brokenChain(s.delivered("change"), engine.Position{Epoch: s.state("change").Epoch}); broken != "" {
		s.Error(broken)
	}
	s.elapse(s.options.Age + s.options.Age/10)
	s.keeps("change", numbers(25, n))
	n++
	last := time.Now()
	s.publish(text("change", strconv.Itoa(n)), keeping(1000, s.options.Age))
	s.keepsUntil(last.Add(s.options.Age), "change", numbers(n, n))
}

func positionsAreKept(s *subject) {
	s.publish(text("nothing", "1"), keeping(0, 0))
	s.keeps("nothing", nil)
	s.publish(text("nothing", "2"), keeping(10, 0))
	s.publish(text("nothing", "3"), keeping(10, 0))
	s.keeps("nothing", numbers(2, 3))
	at := s.publish(text("nothing", "4"), keeping(0, 0))
	s.keeps("nothing", nil)
	if state := s.state("nothing"); state.Position() != at || state.Low != at.Offset+1 {
		s.Errorf("the last message was at %v, the channel is at %+v", at, state)
	}
	if got := texts(s.delivered("nothing")); !slices.Equal(got, numbers(1, 4)) {
		s.Errorf("delivered %q", got)
	}
	if broken := brokenChain(s.delivered("nothing"), engine.Position{Epoch: at.Epoch}); broken != "" {
		s.Error(broken)
	}
}

func ttlPassesOver(s *subject) {
	begun := time.Now()
	for n := range 7 {
		m := text("ttl", strconv.Itoa(n+1))
		if n == 2 || n == 3 || n == 5 {
			m.TTL = s.options.Age
		}
		s.publish(m, keep)
	}
	before := s.state("ttl")
	s.keepsUntil(begun.Add(s.options.Age), "ttl", numbers(1, 7))
	s.elapse(s.options.Age + s.options.Age/10)
	alive := []string{"1", "2", "5", "7"}
	s.keeps("ttl", alive)
	if after := s.state("ttl"); after != before {
		s.Errorf("the channel was at %+v and is at %+v", before, after)
	}
	for limit := 1; limit <= 5; limit++ {
		s.pages("ttl", limit, alive)
	}
}

func ttlComesFirst(s *subject) {
	age := s.options.Age
	m := text("ttl", "1")
	m.TTL = age
	s.publish(m, keeping(10, 3*age))
	second := time.Now()
	s.publish(text("ttl", "2"), keeping(10, 3*age))
	s.elapse(age + age/10)
	s.keepsUntil(second.Add(3*age), "ttl", numbers(2, 2))
	s.elapse(2 * age)
	s.keeps("ttl", nil)
}
