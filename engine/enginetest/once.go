package enginetest

import (
	"errors"
	"slices"
	"strconv"
	"sync"

	"millrace.dev/engine"
)

// oncePromises are about ids. What concerns settings of the engine is checked
// where they are known.
func oncePromises(options Options) []promise {
	promises := []promise{
		{"an id that was appended answers the first receipt and is not delivered again", idsCountOnce},
		{"an id that ten append at once has one position and one delivery", idsCountOnceAtOnce},
		{"an id with another content is refused and leaves nothing behind", idsStandForTheirContent},
		{"an id that ten append at once with ten contents belongs to one", idsBelongToTheFirst},
		{"an id counts in its own channel only", idsCountInTheirChannel},
		{"an id counts even where its message is not kept", idsOutliveMessages},
		{"messages without an id are never duplicates", noIDsNeverCount},
	}
	if options.DedupWindow > 0 {
		promises = append(promises, promise{"an id is free again after the deduplication window", idsAreFreeAgain})
	}
	if options.DedupIDs > 0 {
		promises = append(promises, promise{"a channel remembers its newest ids", newestIDsCount})
	}
	return promises
}

// again appends what was appended before.
func (s *subject) again(m *engine.Message, options engine.AppendOptions, want engine.Position) {
	s.Helper()
	receipt, err := s.Append(s.Context(), m, options)
	if err != nil || receipt != (engine.Receipt{Position: want, Duplicate: true}) {
		s.Errorf("append %q again, first at %v: got %+v, %v", m.ID, want, receipt, err)
	}
}

func idsCountOnce(s *subject) {
	first := s.publish(withID("once", "a", "x"), keep)
	s.again(withID("once", "a", "x"), keep, first)
	s.publish(withID("once", "b", "x"), keep)
	s.again(withID("once", "a", "x"), keep, first)
	s.alone("once", "x", "x")
}

// alone checks that a channel has certain messages and no others.
func (s *subject) alone(channel string, want ...string) {
	s.Helper()
	if got := texts(s.delivered(channel)); !slices.Equal(got, want) {
		s.Errorf("delivered %q, want %q", got, want)
	}
	if got := texts(s.kept(channel)); !slices.Equal(got, want) {
		s.Errorf("kept %q, want %q", got, want)
	}
}

func idsCountOnceAtOnce(s *subject) {
	for round := range 20 {
		channel := "once." + strconv.Itoa(round)
		var mu sync.Mutex
		receipts := map[engine.Receipt]int{}
		each(10, func(int) {
			receipt, err := s.Append(s.Context(), withID(channel, "a", "x"), keep)
			if err != nil {
				s.Errorf("append: %v", err)
			}
			mu.Lock()
			receipts[receipt]++
			mu.Unlock()
		})
		head := s.state(channel).Position()
		if receipts[engine.Receipt{Position: head}] != 1 || receipts[engine.Receipt{Position: head, Duplicate: true}] != 9 {
			s.Errorf("the message is at %v; receipts: %+v", head, receipts)
		}
		s.alone(channel, "x")
	}
}

func idsStandForTheirContent(s *subject) {
	s.publish(withID("once", "a", "x"), keep)
	before := s.state("once")
	typed, keyed, binary := withID("once", "a", "x"), withID("once", "a", "x"), withID("once", "a", "x")
	typed.Type, keyed.Key, binary.Payload.Kind = "other", "other", engine.Binary
	for _, m := range []*engine.Message{withID("once", "a", "y"), withID("once", "a", ""), typed, keyed, binary} {
		if _, err := s.Append(s.Context(), m, keep); !errors.Is(err, engine.ErrIDReused) {
			s.Errorf("append %+v: %v", m, err)
		}
	}
	s.alone("once", "x")
	if after := s.state("once"); after != before {
		s.Errorf("the channel was at %+v and is at %+v", before, after)
	}
}

func idsBelongToTheFirst(s *subject) {
	var mu sync.Mutex
	var taken []string
	each(10, func(i int) {
		data := strconv.Itoa(i)
		_, err := s.Append(s.Context(), withID("once", "a", data), keep)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			taken = append(taken, data)
		case !errors.Is(err, engine.ErrIDReused):
			s.Errorf("append: %v", err)
		}
	})
	if len(taken) != 1 {
		s.Fatalf("an id was taken by %q", taken)
	}
	s.alone("once", taken[0])
}

func idsCountInTheirChannel(s *subject) {
	s.publish(withID("once.a", "a", "x"), keep)
	s.publish(withID("once.b", "a", "y"), keep)
	s.alone("once.a", "x")
	s.alone("once.b", "y")
}

func idsOutliveMessages(s *subject) {
	unkept := s.publish(withID("once.unkept", "a", "x"), engine.AppendOptions{})
	s.again(withID("once.unkept", "a", "x"), engine.AppendOptions{}, unkept)

	one := engine.AppendOptions{Retention: engine.Retention{Messages: 1}}
	pushed := s.publish(withID("once.pushed", "a", "x"), one)
	s.publish(text("once.pushed", "y"), one)
	s.again(withID("once.pushed", "a", "x"), one, pushed)
}

func noIDsNeverCount(s *subject) {
	s.publish(text("once", "x"), keep)
	s.publish(text("once", "x"), keep)
	s.alone("once", "x", "x")
}

func idsAreFreeAgain(s *subject) {
	first := s.publish(withID("once", "a", "x"), keep)
	s.elapse(s.options.DedupWindow / 2)
	s.again(withID("once", "a", "x"), keep, first)
	s.elapse(s.options.DedupWindow/2 + s.options.DedupWindow/10)
	s.eventually(func() string {
		receipt, err := s.Append(s.Context(), withID("once", "a", "y"), keep)
		if err != nil || receipt.Duplicate {
			return "an id still counts after the window"
		}
		return ""
	})
	s.alone("once", "x", "y")
}

func newestIDsCount(s *subject) {
	positions := []engine.Position{}
	for i := range s.options.DedupIDs + 5 {
		positions = append(positions, s.publish(withID("once", strconv.Itoa(i), "x"), keep))
	}
	for i := 5; i < len(positions); i++ {
		s.again(withID("once", strconv.Itoa(i), "x"), keep, positions[i])
	}
}
