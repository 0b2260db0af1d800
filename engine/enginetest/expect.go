package enginetest

import (
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"millrace.dev/engine"
)

var expectPromises = []promise{
	{"an append that expects the channel's position is taken, any other is refused with the actual one", expectationsAreChecked},
	{"of many that expect the same position one wins", oneExpectationWins},
	{"the zero position expects a channel without any message", zeroExpectsNone},
	{"a retry of a conditional append answers the first receipt", expectedOnce},
	{"a refused append leaves nothing behind", refusalsLeaveNothing},
}

// expecting are the options of an append that expects a position.
func expecting(p engine.Position) engine.AppendOptions {
	return engine.AppendOptions{Retention: keep.Retention, Expect: &p}
}

// mismatch checks that an append is refused because the channel is elsewhere.
func (s *subject) mismatch(m *engine.Message, expect, actual engine.Position) {
	s.Helper()
	receipt, err := s.Append(s.Context(), m, expecting(expect))
	if !errors.Is(err, engine.ErrPositionMismatch) || receipt.Position != actual || receipt.Duplicate {
		s.Errorf("append, expecting %v at %v: got %+v, %v", expect, actual, receipt, err)
	}
}

func expectationsAreChecked(s *subject) {
	empty := s.state("expect").Position()
	one := s.publish(text("expect", "1"), expecting(empty))
	two := s.publish(text("expect", "2"), expecting(one))
	for _, wrong := range []engine.Position{
		{},
		empty,
		one,
		{Epoch: two.Epoch, Offset: two.Offset + 1},
		{Epoch: two.Epoch + "x", Offset: two.Offset},
		{Offset: two.Offset},
	} {
		s.mismatch(text("expect", "x"), wrong, two)
	}
	s.publish(text("expect", "3"), expecting(two))
	s.alone("expect", "1", "2", "3")
}

func oneExpectationWins(s *subject) {
	const racers, wins = 8, 5
	var lost atomic.Int64
	each(racers, func(i int) {
		at := s.state("expect").Position()
		for won := 0; won < wins; {
			receipt, err := s.Append(s.Context(), text("expect", strconv.Itoa(i)), expecting(at))
			switch {
			case err == nil:
				won++
			case errors.Is(err, engine.ErrPositionMismatch) && receipt.Position != at:
				lost.Add(1)
			default:
				s.Errorf("append, expecting %v: got %+v, %v", at, receipt, err)
				return
			}
			at = receipt.Position
		}
	})
	s.Logf("%d appends won, %d lost", racers*wins, lost.Load())
	messages := s.delivered("expect")
	if len(messages) != racers*wins {
		s.Errorf("%d appends won, %d messages were delivered", racers*wins, len(messages))
	}
	if broken := brokenChain(messages, engine.Position{Epoch: s.state("expect").Epoch}); broken != "" {
		s.Error(broken)
	}
}

func zeroExpectsNone(s *subject) {
	var won atomic.Int64
	each(8, func(int) {
		_, err := s.Append(s.Context(), text("expect", "x"), expecting(engine.Position{}))
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, engine.ErrPositionMismatch):
			s.Errorf("append: %v", err)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d of 8 were the first message", won.Load())
	}
	s.alone("expect", "x")
}

func expectedOnce(s *subject) {
	empty := s.state("expect").Position()
	first := s.publish(withID("expect", "a", "1"), expecting(empty))
	s.again(withID("expect", "a", "1"), expecting(empty), first)
	s.publish(text("expect", "2"), keep)
	s.again(withID("expect", "a", "1"), expecting(empty), first)
	s.again(withID("expect", "a", "1"), expecting(engine.Position{}), first)
	s.alone("expect", "1", "2")
}

func refusalsLeaveNothing(s *subject) {
	at := s.publish(text("expect", "1"), keep)
	before, sequence := s.state("expect"), s.sequence()
	s.mismatch(withID("expect", "a", "x"), engine.Position{}, at)
	if after := s.state("expect"); after != before {
		s.Errorf("the channel was at %+v and is at %+v", before, after)
	}
	if after := s.sequence(); after != sequence {
		s.Errorf("the sequence was %v and is %v", sequence, after)
	}
	s.publish(withID("expect", "a", "2"), keep) // the id is still free
	if got := texts(s.kept("expect")); !slices.Equal(got, numbers(1, 2)) {
		s.Errorf("kept %q", got)
	}
}
