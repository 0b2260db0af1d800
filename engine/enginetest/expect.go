package enginetest

import (
	"errors"
	"slices"
	"strconv"
	"sync"
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
	at := s.state("expect").Position()
	for round := range 30 {
		var mu sync.Mutex
		var won, lost []engine.Position
		each(8, func(int) {
			receipt, err := s.Append(s.Context(), text("expect", strconv.Itoa(round+1)), expecting(at))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, receipt.Position)
			case errors.Is(err, engine.ErrPositionMismatch):
				lost = append(lost, receipt.Position)
			default:
				s.Errorf("append, expecting %v: got %+v, %v", at, receipt, err)
			}
		})
		if len(won) != 1 || len(lost) != 7 || slices.ContainsFunc(lost, func(p engine.Position) bool { return p != won[0] }) {
			s.Fatalf("of those that expected %v, these won: %v, and these lost: %v", at, won, lost)
		}
		at = won[0]
	}
	s.alone("expect", numbers(1, 30)...)
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
