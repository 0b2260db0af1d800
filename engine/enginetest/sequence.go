package enginetest

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"millrace.dev/engine"
)

var sequencePromises = []promise{
	{"the sequence rises in each channel, and no two messages have the same", sequencesRise},
	{"what is appended after Sequence was read has a greater one", sequencesComeAfter},
	{"a message that was delivered is counted", deliveriesAreCounted},
	{"whoever reads Sequence, and lists the channels later, misses nothing", nothingIsMissed},
	{"Channels names those that match and have news, and no others", channelsWithNews},
	{"a message's previous sequence is that of the one before it, or not known", previousSequences},
	{"what a message says is settled was delivered before it", settledIsDelivered},
	{"a channel has news even when its messages have expired", newsOutlivesMessages},
}

func sequencesRise(s *subject) {
	seen := map[uint64]bool{}
	for _, channel := range s.crowd() {
		var last uint64
		for _, m := range s.delivered(channel) {
			if m.Sequence <= last || seen[m.Sequence] {
				s.Errorf("%s: sequence %d comes after %d, seen before: %v", channel, m.Sequence, last, seen[m.Sequence])
			}
			last = m.Sequence
			seen[last] = true
		}
		if state := s.state(channel); state.Sequence != last {
			s.Errorf("%s: the newest message has sequence %d, the state %+v", channel, last, state)
		}
	}
}

func sequencesComeAfter(s *subject) {
	first := s.sequence()
	if first.Epoch == "" {
		s.Errorf("the sequence is %v", first)
	}
	var mu sync.Mutex
	before := map[string]uint64{} // by payload
	each(publishers, func(i int) {
		for k := range perOne {
			at, err := s.Sequence(s.Context())
			data := strconv.Itoa(i) + "/" + strconv.Itoa(k)
			mu.Lock()
			before[data] = at.Offset
			mu.Unlock()
			if err != nil || at.Epoch != first.Epoch {
				s.Errorf("the sequence of %v is %v (%v)", first, at, err)
			}
			if _, err := s.Append(s.Context(), text("after."+strconv.Itoa(k%5), data), keep); err != nil {
				s.Errorf("append: %v", err)
			}
		}
	})
	for _, m := range s.since(0) {
		if at := before[string(m.Payload.Data)]; m.Sequence <= at {
			s.Errorf("a message has sequence %d, which was %d before it was appended", m.Sequence, at)
		}
	}
}

func deliveriesAreCounted(s *subject) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for finished := false; !finished; {
			select {
			case <-done:
				finished = true
			default:
			}
			messages := s.since(0)
			now, err := s.Sequence(s.Context())
			if err != nil {
				s.Errorf("sequence: %v", err)
				return
			}
			for _, m := range messages {
				if m.Sequence > now.Offset {
					s.Errorf("sequence %d was delivered, and only %d counted", m.Sequence, now.Offset)
					return
				}
			}
		}
	})
	s.crowd()
	close(done)
	watching.Wait()
}

// nothingIsMissed does what a pattern does that is resumed: it has what is
// delivered from some time on, and reads the channels that had news by then.
func nothingIsMissed(s *subject) {
	type resumed struct {
		from  uint64
		live  int // deliveries that were over when it began
		names []string
	}
	all := func(string) bool { return true }
	var looks []resumed
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		from, err := s.Sequence(s.Context())
		for finished := false; !finished && err == nil; {
			select {
			case <-done:
				finished = true
			default:
			}
			look := resumed{from: from.Offset, live: s.count()}
			if look.names, err = s.Channels(s.Context(), all, look.from); err != nil {
				break
			}
			looks = append(looks, look)
			if len(looks)%2 == 0 { // the same sequence serves more than once
				from, err = s.Sequence(s.Context())
			}
		}
		if err != nil {
			s.Errorf("look: %v", err)
		}
	})
	each(publishers, func(i int) {
		for k := range perOne {
			if _, err := s.Append(s.Context(), text("missed."+strconv.Itoa(i*perOne+k), ""), keep); err != nil {
				s.Errorf("append: %v", err)
			}
		}
	})
	close(done)
	looking.Wait()
	messages := s.since(0)
	for _, look := range looks {
		listed := map[string]bool{}
		for _, name := range look.names {
			listed[name] = true
		}
		for _, m := range messages[:look.live] {
			if m.Sequence > look.from && !listed[m.Channel] {
				s.Fatalf("%s has sequence %d and is not among the channels after %d", m.Channel, m.Sequence, look.from)
			}
		}
	}
}

func previousSequences(s *subject) {
	for _, channel := range s.crowd() {
		var last uint64
		for _, m := range s.delivered(channel) {
			if m.PreviousSequence != 0 && m.PreviousSequence != last {
				s.Errorf("%s: after sequence %d comes one that says %d was before it", channel, last, m.PreviousSequence)
			}
			last = m.Sequence
		}
	}
}

func settledIsDelivered(s *subject) {
	s.crowd()
	messages := s.since(0)
	seen := map[uint64]int{} // when each sequence was delivered
	for i, m := range messages {
		seen[m.Sequence] = i
	}
	for i, m := range messages {
		if m.Settled == 0 {
			continue
		}
		for _, other := range messages {
			if other.Sequence <= m.Settled && seen[other.Sequence] > i {
				s.Fatalf("sequence %d says that all up to %d was delivered, and %d came later", m.Sequence, m.Settled, other.Sequence)
			}
		}
	}
}

func channelsWithNews(s *subject) {
	s.fill("news.old", 3)
	s.fill("news.both", 1)
	s.state("news.empty")
	s.broadcast(ephemeral("news.ephemeral", "x"))
	middle := s.sequence()
	s.fill("news.new", 1)
	s.fill("news.both", 1)
	s.fill("other", 1)
	for _, look := range []struct {
		prefix string
		after  uint64
		want   []string
	}{
		{"", 0, []string{"news.both", "news.new", "news.old", "other"}},
		{"news.", 0, []string{"news.both", "news.new", "news.old"}},
		{"news.", middle.Offset, []string{"news.both", "news.new"}},
		{"news.", s.sequence().Offset, nil},
		{"none", 0, nil},
	} {
		names, err := s.Channels(s.Context(), func(name string) bool { return strings.HasPrefix(name, look.prefix) }, look.after)
		slices.Sort(names)
		if err != nil || !slices.Equal(names, look.want) {
			s.Errorf("channels %q after %d: got %q, %v; want %q", look.prefix, look.after, names, err, look.want)
		}
	}
}

func newsOutlivesMessages(s *subject) {
	start := s.sequence()
	s.publish(text("expired", "1"), keeping(10, s.options.Age))
	s.publish(text("unkept", "1"), engine.AppendOptions{})
	s.elapse(s.options.Age + s.options.Age/10)
	s.keeps("expired", nil)
	names, err := s.Channels(s.Context(), func(string) bool { return true }, start.Offset)
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"expired", "unkept"}) {
		s.Errorf("channels with news: %q, %v", names, err)
	}
}
