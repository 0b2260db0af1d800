package enginetest

import (
	"errors"
	"sync/atomic"

	"millrace.dev/engine"
)

var producerPromises = []promise{
	{"a producer's next number is appended, an earlier one is a duplicate, a later one is refused", producersCount},
	{"a producer's number that ten append at once is appended once", producersCountAtOnce},
	{"the first number of an unknown producer may be any", producersBeginAnywhere},
	{"a producer's newer epoch begins at one and shuts the older one out", producersAreFenced},
	{"a producer counts in its own channel only", producersCountInTheirChannel},
}

// numbered makes a message of a producer.
func numbered(channel string, epoch, seq uint64, data string) *engine.Message {
	m := text(channel, data)
	m.Producer = &engine.Producer{ID: "outbox", Epoch: epoch, Seq: seq}
	return m
}

// refused checks that a message is not appended, and what would have been.
func (s *subject) refused(m *engine.Message, want error, expected uint64) {
	s.Helper()
	receipt, err := s.Append(s.Context(), m, keep)
	if !errors.Is(err, want) || receipt.Expected != expected {
		s.Errorf("append %+v: got %+v, %v; want %d, %v", *m.Producer, receipt, err, expected, want)
	}
}

func producersCount(s *subject) {
	s.publish(numbered("p", 1, 1, "1"), keep)
	second := s.publish(numbered("p", 1, 2, "2"), keep)
	s.again(numbered("p", 1, 2, "2"), keep, second)
	receipt, err := s.Append(s.Context(), numbered("p", 1, 1, "1"), keep)
	if err != nil || !receipt.Duplicate {
		s.Errorf("append an earlier number: got %+v, %v", receipt, err)
	}
	s.refused(numbered("p", 1, 4, "4"), engine.ErrSequenceMismatch, 3)
	s.publish(numbered("p", 1, 3, "3"), keep)
	s.publish(numbered("p", 1, 4, "4"), keep)
	s.alone("p", "1", "2", "3", "4")
}

func producersCountAtOnce(s *subject) {
	const last = 20
	for seq := range uint64(last) {
		var appended atomic.Int64
		each(10, func(int) {
			receipt, err := s.Append(s.Context(), numbered("p", 1, seq+1, "x"), keep)
			if err != nil {
				s.Errorf("append: %v", err)
			}
			if !receipt.Duplicate {
				appended.Add(1)
			}
		})
		if n := appended.Load(); n != 1 {
			s.Errorf("number %d was appended %d times", seq+1, n)
		}
	}
	if n := len(s.delivered("p")); n != last {
		s.Errorf("%d messages were delivered, want %d", n, last)
	}
}

func producersBeginAnywhere(s *subject) {
	s.publish(numbered("p", 7, 42, "42"), keep)
	s.publish(numbered("p", 7, 43, "43"), keep)
	s.alone("p", "42", "43")
}

func producersAreFenced(s *subject) {
	s.publish(numbered("p", 1, 1, "a"), keep)
	s.refused(numbered("p", 2, 2, "x"), engine.ErrSequenceMismatch, 1)
	s.publish(numbered("p", 2, 1, "b"), keep)
	s.refused(numbered("p", 1, 2, "x"), engine.ErrProducerFenced, 2)
	s.refused(numbered("p", 1, 1, "a"), engine.ErrProducerFenced, 2)
	s.publish(numbered("p", 2, 2, "c"), keep)
	s.alone("p", "a", "b", "c")
}

func producersCountInTheirChannel(s *subject) {
	s.publish(numbered("p.a", 1, 1, "a"), keep)
	s.publish(numbered("p.b", 1, 1, "b"), keep)
	s.alone("p.a", "a")
	s.alone("p.b", "b")
}
